"""The outbox behind a socket: what is put on the other side is on disk once it is confirmed, else it is told again."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from recording import outbox_client
from recording.journal import Journal
from recording.outbox import Outbox
from recording.outbox_client import OutboxClient, _Untold
from recording.outbox_service import OutboxService, take_up_journals
from recording.outbox_store import OutboxStore
from recording.updates import as_json
from tests.recording.outbox_server import Server, fine, step
from tests.recording.test_stamps import by_writer

pytestmark = pytest.mark.anyio


class Beside:
    """What is in the other process, here on the same loop: it can end without a word and be started anew."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder, self.socket = server, folder, folder / "s"
        self.outbox: Outbox
        self._listening: asyncio.Server | None = None

    async def start(self, own: str = "") -> None:
        """Open the file and listen; for another chat than before, with its own journal's name, take up what is left."""
        self.socket.unlink(missing_ok=True)
        self.outbox = Outbox(self.server.api, self.folder / "outbox.db")
        if own:
            await take_up_journals(self.outbox, self.folder, own)
        self.outbox.start()
        self.service = OutboxService(self.outbox)
        self._listening = await self.service.listen(str(self.socket))

    async def end(self) -> None:
        """Cut all connections, and close the file without sending anything."""
        assert self._listening
        self._listening.close()
        self.socket.unlink(missing_ok=True)
        for line in list(self.service._open):
            assert line.transport
            line.transport.abort()
        await self.outbox.stop(0)


@pytest.fixture
async def beside(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Beside]:
    made = Beside(Server(), tmp_path)
    await made.start()
    yield made
    with contextlib.suppress(AssertionError):
        await made.end()


@pytest.fixture
async def client(beside: Beside) -> AsyncIterator[OutboxClient]:
    made = OutboxClient(beside.socket, limit=100_000)
    made.start()
    await made.ready()
    yield made
    await made.stop(0)


async def test_what_is_put_is_on_disk_once_it_is_written(beside: Beside, client: OutboxClient) -> None:
    """All kinds of reports arrive, in order; `written` returns when they are in the file, and the delay is measured."""
    client.put_thread("t", name="Name", participant="ada", metadata={"a": 1})
    client.put_step(step("one", threadId="t"), in_order=True)
    client.put_step(step("gone", threadId="t"))
    client.put_deletion("gone")
    client.put_score_deletion("score", "t")
    await client.written()

    assert [update.key for update in beside.outbox._store.waiting()] == ["t", "one", "gone", "gone", "score"]
    assert [one["id"] for one in await client.waiting_steps()] == ["one", "gone"]
    assert await client.waiting_score_deletions() == {"score"}
    assert await client.flush(5, "t")
    status = await client.status()
    assert (status["waiting"], status["refused"], status["to_disk_ms"]["p50"] > 0) == (0, 0, True)
    assert beside.server.received == [["t"], ["one", "gone"], ["gone"], ["score"]]


async def test_what_was_not_confirmed_is_told_again(beside: Beside, client: OutboxClient) -> None:
    """Reports put while the other process is gone wait for the next one, and so does who asked for `written`."""
    client.put_step(step("before"))
    await client.written()
    await beside.end()
    client.put_step(step("meanwhile"))
    waiting = asyncio.create_task(client.written())
    asking = asyncio.create_task(client.waiting_steps())
    await still_waits(waiting, asking)

    await beside.start()
    await waiting

    assert {one["id"] for one in await asking} >= {"meanwhile"}
    assert await client.flush(5)
    assert set(beside.server.steps) == {"before", "meanwhile"}


async def test_a_process_that_stays_away_stops_no_turn(
    beside: Beside, client: OutboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while `written` returns although nothing is on disk; that is told, and all of it arrives later."""
    monkeypatch.setattr(outbox_client, "GONE_SECONDS", 0.05)
    await beside.end()
    client.put_step(step("one"))

    await asyncio.wait_for(client.written(), 5)

    status = await client.status()
    assert (status["waiting"], status["only_in_memory"]) == (1, 1)
    assert await client.knows_step("one") is False
    await beside.start()
    assert await client.flush(5)
    assert (await client.status())["only_in_memory"] == 0
    assert set(beside.server.steps) == {"one"}


async def test_a_process_that_hangs_stops_no_turn(
    beside: Beside, client: OutboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is there and confirms nothing is waited for no longer; when it goes on, so is `written`."""
    monkeypatch.setattr(outbox_client, "GONE_SECONDS", 0.05)
    goes_on = asyncio.Event()
    written = beside.outbox.written

    async def hang() -> None:
        await goes_on.wait()
        await written()

    monkeypatch.setattr(beside.outbox, "written", hang)
    client.put_step(step("one"))

    await asyncio.wait_for(client.written(), 5)

    assert (await client.status())["only_in_memory"] == 1
    goes_on.set()
    assert await client.flush(5)
    client.put_step(step("two"))
    await client.written()
    assert "two" in {update.key for update in beside.outbox._store.waiting()}
    assert (await client.status())["only_in_memory"] == 0


async def test_beyond_the_limit_the_newest_are_refused(
    beside: Beside, client: OutboxClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits for a process that is away is bounded: the newest are refused, said in the log and counted.

    The server hears of it, too, so that the thread does not pass for complete.
    """
    monkeypatch.setattr(outbox_client, "GONE_SECONDS", 0.05)
    await beside.end()
    for number in range(3):
        client.put_step(step(f"s{number}", output={"content": "x" * 40_000}))
    await client.written()

    assert (await client.status())["refused"] == 1
    assert "OUTBOX_LIMIT_BYTES" in caplog.text
    await beside.start()
    assert await client.flush(5)
    assert set(beside.server.steps) == {"s0", "s1"}
    assert list(by_writer(beside.server).values()) == [(3, [[1, 2]])]


async def test_a_report_of_any_size_and_content_passes(beside: Beside, client: OutboxClient) -> None:
    """Megabytes, line breaks, halves of surrogate pairs and what JSON has no form for come out as they went in."""
    text = "line\nbreak\r\n\u2028 \ud83d " + "long " * 400_000
    client._limit = 10_000_000
    client.put_step(step("big", output={"content": text}, metadata={"path": Path("a")}))
    await client.written()

    (waiting,) = [update.body for update in beside.outbox._store.waiting()]
    assert (waiting["output"]["content"], waiting["metadata"]) == (text, {"path": "a"})


async def test_a_question_that_hangs_holds_up_no_report(beside: Beside, client: OutboxClient) -> None:
    """While the server is asked for a step and does not answer, reports are written; the step counts as unknown."""
    hangs = asyncio.Event()

    async def pause(_variables: dict[str, object]) -> None:
        await hangs.wait()

    beside.server.pause = pause
    asking = asyncio.create_task(client.knows_step("step"))
    client.put_step(step("one"))
    await client.written()

    assert not asking.done()
    assert await asking is False
    hangs.set()


async def test_a_broken_report_stops_no_other(
    beside: Beside, client: OutboxClient, caplog: pytest.LogCaptureFixture
) -> None:
    """One that cannot be taken is in the log, and those around it are written."""
    client.put_step(step("one"))
    client.put_step({"threadId": "t"})  # it has no id
    client.put_step(step("two"))
    await client.written()

    assert await client.flush(5)
    assert set(beside.server.steps) == {"one", "two"}
    assert "could not be taken" in caplog.text


async def test_the_end_is_told_and_waited_for(beside: Beside) -> None:
    """`stop` has what waits sent, and returns when the other process has said that it ends."""
    client = OutboxClient(beside.socket, limit=100_000)
    client.start()
    await client.ready()
    client.put_step(step("one"))

    await client.stop(5)

    assert beside.service.ended.is_set()
    assert set(beside.server.steps) == {"one"}


@pytest.fixture
async def journaling(beside: Beside, tmp_path: Path) -> AsyncIterator[OutboxClient]:
    """A chat with a journal, which is killed in the end: it says nothing more."""
    made = OutboxClient(beside.socket, limit=100_000, journal=Journal(tmp_path), flush_each=False)
    made.start()
    await made.ready()
    yield made
    kill(made)


@pytest.fixture
async def flushing(beside: Beside, tmp_path: Path) -> AsyncIterator[OutboxClient]:
    """A chat whose turns wait for the disk."""
    made = OutboxClient(beside.socket, limit=100_000, journal=Journal(tmp_path))
    made.start()
    await made.ready()
    yield made
    kill(made)


async def test_a_flush_is_waited_for_while_there_is_somebody_to_flush(beside: Beside, flushing: OutboxClient) -> None:
    """`written` returns when the other process has flushed; should it die meanwhile, what is in the journal is enough.

    So it is for those that waited and for those that come, until the next process confirms something.
    """
    goes_on = asyncio.Event()
    beside.outbox.written = goes_on.wait  # type: ignore[method-assign, assignment]
    flushing.put_step(step("one"))
    waiting = asyncio.create_task(flushing.written())
    await still_waits(waiting)
    goes_on.set()
    await asyncio.wait_for(waiting, 5)

    goes_on.clear()
    flushing.put_step(step("two"))
    waiting = asyncio.create_task(flushing.written())
    del beside.outbox.written
    await beside.end()
    await asyncio.wait_for(waiting, 0.5)
    flushing.put_step(step("three"))
    await asyncio.wait_for(flushing.written(), 0.5)

    await beside.start()
    assert await flushing.flush(5)
    assert set(beside.server.steps) == {"one", "two", "three"}
    flushing.put_step(step("four"))
    await flushing.written()
    assert "four" in {update.key for update in beside.outbox._store.waiting()}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chat that soon takes a process that confirms nothing for one that hangs."""
    monkeypatch.setattr(outbox_client, "HANGS_SECONDS", 0.05)
    monkeypatch.setattr(outbox_client, "SECONDS_BETWEEN_LOOKS", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_what_is_in_the_journal_waits_for_nobody_who_hangs(
    beside: Beside, flushing: OutboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that confirms nothing is waited for a moment once, and what is not in the journal for longer."""
    goes_on = asyncio.Event()
    beside.outbox.written = goes_on.wait  # type: ignore[method-assign, assignment]
    flushing.put_step(step("one"))
    await asyncio.wait_for(flushing.written(), 5)
    flushing.put_step(step("two"))
    await asyncio.wait_for(flushing.written(), 0.5)
    monkeypatch.setattr(flushing._journal, "append", lambda *_line: False)
    flushing.put_step(step("three"))
    waiting = asyncio.create_task(flushing.written())
    await still_waits(waiting)

    goes_on.set()

    await asyncio.wait_for(waiting, 5)


async def still_waits(*tasks: "asyncio.Task[Any]") -> None:
    """Give tasks time to end, and see that none does."""
    done, _ = await asyncio.wait(tasks, timeout=0.2)
    assert not done


def kill(client: OutboxClient) -> None:
    """Let a chat say no more."""
    assert client._staying
    client._staying.cancel()
    if client._line and client._line.transport:
        client._line.transport.abort()
    client._line = None


async def test_what_is_in_the_journal_is_not_waited_for(beside: Beside, journaling: OutboxClient) -> None:
    """While the other process is away turns go on at once, `/health` says so, and the next one hears all of it."""
    await beside.end()
    journaling.put_step(step("one"))

    await asyncio.wait_for(journaling.written(), 0.5)

    status = await journaling.status()
    assert (status["away"], status["waiting"], status["only_in_memory"]) == (True, 1, 0)
    await beside.start()
    assert await journaling.flush(5)
    assert (await journaling.status())["away"] is False
    assert set(beside.server.steps) == {"one"}


async def test_what_was_in_the_journal_of_a_killed_chat_is_taken_up(beside: Beside, journaling: OutboxClient) -> None:
    """With both processes killed at once the next start takes up what neither could pass on, each report once.

    A turn that was left open is ended at the moment when it was last heard of; then the journal is gone.
    """
    journaling.put_step(step("told"))
    assert await journaling.flush(5)
    await beside.end()
    journaling.put_step({"id": "run", "threadId": "t", "type": "run", "name": "r", "startTime": "2020-01-01T00:00:00Z"})
    journaling.put_deletion("told")
    await journaling.written()
    kill(journaling)
    (left,) = beside.folder.glob("journal-*")
    os.utime(left, (1.7e9, 1.7e9))

    await beside.start(own="another")

    assert await beside.outbox.flush(5)
    assert list(beside.server.steps)[:2] == ["told", "run"]
    assert [keys for keys in beside.server.received if keys == ["told"]] == [["told"], ["told"]]
    assert beside.server.steps["run"]["endTime"].startswith("2023-11-14T22:13:20")
    assert sorted(by_writer(beside.server).values())[0] == (1, [[1, 1]])
    assert list(beside.folder.glob("journal-*")) == []
    await beside.end()
    await beside.start(own="a third")
    assert await beside.outbox.flush(5)
    assert beside.outbox.status()["waiting"] == 0


async def test_what_was_written_but_not_confirmed_is_put_once(beside: Beside, journaling: OutboxClient) -> None:
    """Told again to the next process, or found in the journal, what the file has already is passed over."""
    beside.server.answer = lambda _variables: Response(status_code=503)
    journaling.put_step(step("one", tags=["first"]))
    assert not await journaling.flush(0.2)
    journaling._kept = 0  # as if the word that it is on disk had been cut off
    await beside.end()
    journaling._untold.extend(lost := [_Untold(1, as_json(["step", 0.0, step("one", tags=["again"]), {}]), 0.0, True)])
    await beside.start()
    journaling.put_step(step("two"))
    assert not await journaling.flush(0.2)
    assert lost[0] not in journaling._untold

    assert {one["id"]: one.get("tags") for one in await journaling.waiting_steps()} == {"one": ["first"], "two": None}


async def test_what_nobody_can_read_in_a_journal_is_passed_over(
    beside: Beside, journaling: OutboxClient, caplog: pytest.LogCaptureFixture
) -> None:
    """After a power cut there may be anything in a line: the rest is taken up, the app starts, and the file is kept."""
    await beside.end()
    for name in ("one", "spoilt", "two"):
        journaling.put_step(step(name))
    kill(journaling)
    (left,) = beside.folder.glob("journal-*")
    first, _, third = left.read_bytes().splitlines(keepends=True)
    left.write_bytes(first + b'2 ["step\0\0\0\n' + b"2 7\n2 []\n" + b'2 ["step", 0.0]\n' + third)

    await beside.start(own="another")

    assert await beside.outbox.flush(5)
    assert list(beside.server.steps) == ["one", "two"]
    assert "cannot be read" in caplog.text
    assert [path.name for path in beside.folder.glob("journal-*")] == [f"{left.name}.broken"]


async def test_a_kill_as_journals_are_removed_puts_nothing_twice(
    beside: Beside, journaling: OutboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a file is there it is known how far it was read."""
    journaling.put_step(step("one"))
    assert await journaling.flush(5)
    await beside.end()
    kill(journaling)
    with monkeypatch.context() as patched:

        def killed(_path: Path) -> None:
            raise OSError("as if it was killed here")

        patched.setattr(Path, "unlink", killed)
        outbox = Outbox(beside.server.api, beside.folder / "outbox.db")
        with pytest.raises(OSError, match="killed here"):
            await take_up_journals(outbox, beside.folder, "another")
        await outbox.stop(0)

    await beside.start(own="a third")

    assert await beside.outbox.flush(5)
    assert beside.server.received == [["one"]]
    assert list(beside.folder.glob("journal-*")) == []


async def test_a_journal_stays_until_all_of_it_is_on_disk(
    beside: Beside, journaling: OutboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only some of what was left finds no room in the outbox's file."""
    await beside.end()
    journaling.put_step(step("\ud800"))  # a name that the file cannot hold
    journaling.put_step(step("two"))
    kill(journaling)

    await beside.start(own="another")

    assert len(list(beside.folder.glob("journal-*"))) == 1
    assert await beside.outbox.flush(5)
    assert len(beside.server.steps) == 2


async def test_what_comes_after_the_end_is_for_the_next_start(beside: Beside, journaling: OutboxClient) -> None:
    """A report that the outbox can write no more is not said to be on disk, so the chat leaves it in its journal."""
    journaling.put_step(step("one"))
    assert await journaling.flush(5)
    await beside.outbox.stop(0)
    journaling.put_step(step("late"))
    await journaling.waiting_steps()  # so that the report has come, too

    await journaling.stop(0)

    await beside.end()
    await beside.start(own="another")
    assert await beside.outbox.flush(5)
    assert list(beside.server.steps) == ["one", "late"]


async def test_nobody_waits_beyond_the_end(beside: Beside) -> None:
    """A turn that outlives the end of the app does not wait for a process that says nothing more."""
    client = OutboxClient(beside.socket, limit=100_000)
    client.start()
    await client.ready()
    await client.stop(0)
    await beside.end()
    client.put_step(step("late"))

    await asyncio.wait_for(client.written(), 5)


async def test_what_finds_no_room_in_the_outbox_stays_in_the_journal(
    beside: Beside, journaling: OutboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the outbox's disk full a report is in that process's memory alone: the next start finds it here."""
    beside.server.answer = lambda _variables: Response(status_code=503)
    with monkeypatch.context() as patched:
        full = sqlite3.OperationalError("database or disk is full")
        patched.setattr(OutboxStore, "_commit", lambda _store, jobs: [(job, full) for job in jobs])
        journaling.put_step(step("one"))
        assert len(await journaling.waiting_steps()) == 1
        await journaling.stop(0)
        assert journaling._kept == 1
        await beside.end()
    beside.server.answer = fine

    await beside.start(own="another")

    assert await beside.outbox.flush(5)
    assert list(beside.server.steps) == ["one"]
