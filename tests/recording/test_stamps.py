"""Whatever is put in a thread has a number, and whatever becomes of it, the server can tell that it was there."""

import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recording import stamps
from recording.client import LiteralAPI
from recording.outbox import Outbox
from recording.stamps import Numbers, Stamp, merged
from tests.recording.outbox_server import Server, refusing, step

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens


def by_writer(server: Server, thread_id: str = "t") -> dict[str, tuple[int, list[list[int]]]]:
    """Return what the server knows of a thread: by writer the highest number, and all that is covered."""
    known: dict[str, tuple[int, list[list[int]]]] = {}
    for stamp in (one for one in server.stamps if one and one["thread"] == thread_id):
        for writer, (put, covers) in stamp["told"].items():
            last, ranges = known.get(writer, (0, []))
            known[writer] = (max(last, put), stamps.union([*ranges, *covers]))
    return known


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 40), st.booleans()), min_size=1), st.randoms())
def test_stamps_merge_alike_in_any_order(puts: list[tuple[str, int, bool]], chance: Any) -> None:
    """However reports are merged, the stamp covers the same numbers, in as few ranges as there can be."""
    some = [Stamp({writer: (n, [[n, n]])}, (writer, n) if placed else None) for writer, n, placed in puts]
    shuffled = [*some, *some]
    chance.shuffle(shuffled)
    one, other = some[0], shuffled[0]
    for stamp in some[1:]:
        one = merged(one, stamp) or one
    for stamp in shuffled[1:]:
        other = merged(other, stamp) or other

    assert one.told == other.told
    assert {(writer, n) for writer, n, _ in puts} == {
        (writer, n) for writer, (_, covers) in one.told.items() for a, b in covers for n in range(a, b + 1)
    }
    assert all(a[1] + 1 < b[0] for _, covers in one.told.values() for a, b in pairwise(covers))
    assert Stamp.read(one.as_text()) == one


def test_a_thread_that_was_forgotten_has_a_new_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are not given twice, also where a process has seen more threads than it remembers."""
    monkeypatch.setattr(stamps, "THREADS_REMEMBERED", 2)
    numbers = Numbers()
    given_out = [writer for thread in "abacbab" for writer in numbers.next(thread).told.items()]

    assert len({(writer, put) for writer, (put, _) in given_out}) == 7
    assert [put for _, (put, _) in given_out] == [1, 1, 2, 1, 1, 1, 2]


async def test_numbers_count_what_is_put_in_a_thread(server: Server, file: Path) -> None:
    """Each thread has its own numbers; a merged report covers several, and those of steps that are in order say so."""
    outbox = Outbox(server.api, file)
    outbox.put_thread("t", name="n")
    outbox.put_step(step("1", startTime="1"), in_order=True)
    outbox.put_step(step("2"))
    outbox.put_step(step("1", endTime="2"), in_order=True)
    outbox.put_step(step("of another", "u"))
    outbox.put_step({"id": "without a thread"})
    outbox.put_score_deletion("score", "t")
    outbox.start()
    assert await outbox.flush(5)
    await outbox.stop(1)

    ((writer, known),) = by_writer(server).items()
    assert known == (5, [[1, 5]])
    assert [put for put, _ in by_writer(server, "u").values()] == [1]
    assert server.stamps.count(None) == 1
    steps = [stamp for stamp in server.stamps if stamp and stamp["thread"] == "t"][1:3]
    assert [stamp["told"] for stamp in steps] == [{writer: [5, [[2, 2], [4, 4]]]}, {writer: [5, [[3, 3]]]}]
    assert [stamp["place"] for stamp in steps] == [[writer, 2], None]


async def test_what_waits_over_a_restart_keeps_its_numbers(server: Server, file: Path) -> None:
    """The next process is another writer; where both speak in one report, it covers numbers of both.

    What the clock shows now is told of the one that runs.
    """
    api = LiteralAPI(NOWHERE, "key")
    first = Outbox(api, file)
    for step_id in ("1", "2", "1"):
        first.put_step(step(step_id))
    await first.stop(0)
    await api.close()
    second = Outbox(server.api, file)
    second.put_step(step("1", endTime="9"))
    second.put_step(step("3"))
    second.start()
    assert await second.flush(5)
    await second.stop(1)

    assert sorted(by_writer(server).values()) == [(2, [[1, 2]]), (3, [[1, 3]])]
    assert server.received == [["1", "2", "3"]]
    assert len((server.stamps[0] or {})["told"]) == 2
    assert [bool((stamp or {})["at"]) for stamp in server.stamps] == [False, False, True]


async def test_a_report_that_is_set_aside_leaves_a_gap_that_is_told(server: Server, file: Path) -> None:
    """The server learns that there was one more, also when nothing follows it; sent again, it closes the gap."""
    server.answer = refusing("2")
    outbox = Outbox(server.api, file)
    outbox.start()
    outbox.put_step(step("1"))
    outbox.put_step(step("2"))
    assert await outbox.flush(5)
    assert await outbox.flush(5)
    await outbox.stop(1)
    # The fake server notes the stamp of a refused step like any other: what is told of the gap is the last one.
    assert server.received[-1] == ["t"]
    assert list((server.stamps[-1] or {})["told"].values()) == [[2, []]]
    with sqlite3.connect(file) as db:
        db.execute("UPDATE dead_letters SET retry = 1")
    server.answer, server.stamps = refusing("nothing"), []
    again = Outbox(server.api, file)
    again.start()
    while not server.stamps:
        assert await again.flush(5)
        await again._store.ask(lambda db: None)
    await again.stop(1)

    assert list(by_writer(server).values()) == [(2, [[2, 2]])]


async def test_what_only_tells_of_a_gap_is_no_dead_letter(server: Server, file: Path) -> None:
    """A server that refuses that, too, is not told again of it, and nobody has to look after it."""
    server.answer = lambda variables: refusing("x")({"id_0": "x"})
    outbox = Outbox(server.api, file)
    outbox.start()
    outbox.put_step(step("x"))
    assert await outbox.flush(5)
    assert await outbox.flush(5)

    assert (outbox.status()["set_aside"], outbox.status()["waiting"]) == (1, 0)
    await outbox.stop(1)


async def test_a_full_outbox_does_not_fill_up_with_gaps(server: Server, file: Path) -> None:
    """A tenth more than the limit is the most that is kept for telling which threads have lost something."""
    outbox = Outbox(server.api, file, limit=3_000)
    for number in range(200):
        outbox.put_step(step(str(number), f"thread {number}"))
    status = outbox.status()
    await outbox.stop(0)

    assert 3_000 < status["waiting_bytes"] < 3_500
    assert status["refused"] > 100


async def test_a_file_of_an_older_version_is_read(server: Server, file: Path) -> None:
    """What waits there without a stamp is sent without one, and what was set aside can be sent again."""
    with sqlite3.connect(file) as db:
        rest = "lane TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, put_at REAL NOT NULL"
        db.execute(f"CREATE TABLE waiting (number INTEGER PRIMARY KEY, {rest})")
        more = "reason TEXT NOT NULL, at REAL NOT NULL, retry INTEGER NOT NULL DEFAULT 0"
        db.execute(f"CREATE TABLE dead_letters (number INTEGER PRIMARY KEY, {rest}, {more})")
        body = '{"id":"1","threadId":"t","type":"tool"}'
        db.execute("INSERT INTO waiting VALUES (1, 't', 'step', '1', ?, 0)", (body,))
        db.execute("INSERT INTO dead_letters VALUES (2, 't', 'step', '2', ?, 0, 'r', 0, 1)", (body.replace("1", "2"),))
    outbox = Outbox(server.api, file)
    outbox.put_step(step("3"))
    outbox.start()
    assert await outbox.flush(5)
    while "2" not in server.steps:
        await outbox._store.ask(lambda db: None)
        assert await outbox.flush(5)
    await outbox.stop(1)

    assert list(by_writer(server).values()) == [(1, [[1, 1]])]
    assert server.steps["1"] == step("1")
