"""Where there is no room: at its limit the outbox refuses with a word, and on a full disk it goes on from memory."""

import asyncio
import logging
from pathlib import Path

import pytest

from recording import outbox as outbox_module
from recording.client import LiteralAPI
from recording.outbox import Outbox
from tests.app_process import wait_until
from tests.recording.outbox_server import Server, Variables, step

pytestmark = pytest.mark.anyio


def numbers_of(server: Server) -> list[tuple[int, list[list[int]]]]:
    """Return what each stamp says: the highest number, and what is covered."""
    return [(put, covers) for stamp in server.stamps if stamp for put, covers in stamp["told"].values()]


async def test_at_the_limit_the_newest_are_refused_with_a_word(
    server: Server, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full outbox keeps what it has and what completes it, and says, to the server too, that it took no more."""
    outbox = Outbox(server.api, file, limit=200)

    with caplog.at_level(logging.ERROR, logger="recording.outbox"):
        for step_id in ("1", "2", "3"):
            outbox.put_step(step(step_id))
        outbox.put_step(step("1", endTime="2"))
    outbox.start()

    assert await outbox.flush(5)
    assert server.received == [["1", "2"], ["t"]]
    assert server.steps["1"]["endTime"] == "2"
    assert numbers_of(server) == [(4, [[1, 1], [4, 4]]), (4, [[2, 2]]), (4, [])]
    assert outbox.status()["refused"] == 1
    assert "tool 3 of thread t" in caplog.text
    assert "OUTBOX_LIMIT_BYTES" in caplog.text
    await outbox.stop(1)


async def test_at_the_limit_the_end_of_a_step_that_is_being_sent_is_taken(server: Server, file: Path) -> None:
    """What completes a report that is on its way is taken as what completes one that waits: its answer may not come."""
    outbox = Outbox(server.api, file, limit=200)
    sending, going_on = asyncio.Event(), asyncio.Event()

    async def pause(_variables: Variables) -> None:
        sending.set()
        await going_on.wait()

    server.pause = pause
    for step_id in ("1", "2"):
        outbox.put_step(step(step_id))
    outbox.start()
    await sending.wait()
    outbox.put_step(step("1", endTime="2"))
    going_on.set()

    assert await outbox.flush(5)
    assert server.steps["1"]["endTime"] == "2"
    assert outbox.status()["refused"] == 0
    await outbox.stop(1)


async def test_a_full_disk_does_not_end_a_turn(server: Server, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be written waits in memory and is sent all the same; it is said once, counted, and written later."""
    outbox = Outbox(server.api, file)
    database = outbox._store._db
    database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0] + 2}")

    with caplog.at_level(logging.WARNING, logger="recording.outbox"):
        for number in range(10):
            outbox.put_step(step(str(number), output={"content": "x" * 5_000}))
            await asyncio.wait_for(outbox.written(), 5)
        full = outbox.status()
        database.execute("PRAGMA max_page_count = 100000")
        outbox.start()
        outbox.put_step(step("with room"))
        await outbox.written()
        assert await outbox.flush(5)

    assert len(server.steps) == 11
    assert full["disk_fails"] is True
    assert full["only_in_memory"] > 0
    assert caplog.text.count("The outbox cannot be written") == 1
    assert "can be written again" in caplog.text
    assert outbox.status()["only_in_memory"] == 0
    await outbox.stop(1)


async def test_what_was_not_written_is_written_when_there_is_room(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports that wait in memory alone go to the disk as soon as it takes them."""
    monkeypatch.setattr(outbox_module, "SECONDS_BETWEEN_LOOKS", 0.01)
    api = LiteralAPI("http://127.0.0.1:9", "key")
    outbox = Outbox(api, file)
    database = outbox._store._db
    database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0]}")
    outbox.put_step(step("1", output={"content": "x" * 20_000}))
    await outbox.written()
    assert outbox.status()["only_in_memory"] == 1

    database.execute("PRAGMA max_page_count = 100000")
    outbox.start()
    await asyncio.to_thread(wait_until, lambda: outbox.status()["only_in_memory"] == 0, 5, lambda: "It is not written")

    await outbox.stop(0)
    assert len(list(Outbox(api, file)._store.waiting())) == 1
    await api.close()
