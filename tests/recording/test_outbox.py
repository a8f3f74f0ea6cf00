"""The outbox keeps order, waits for a server that is away, and never drops a report without a word."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from recording import lanes
from recording import outbox as outbox_module
from recording.client import LiteralAPI
from recording.outbox import Outbox
from tests.app_process import wait_until
from tests.recording.outbox_server import Server, Variables, fine, refusing, step

pytestmark = pytest.mark.anyio


@pytest.fixture
async def outbox(server: Server, file: Path, anyio_backend: str) -> AsyncIterator[Outbox]:
    made = Outbox(server.api, file)
    yield made
    await made.stop(0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pauses between tries too short to wait for."""
    for module in (outbox_module, lanes):
        monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.001)
        monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.01)


async def test_reports_arrive_in_order_and_in_batches(server: Server, outbox: Outbox) -> None:
    """Steps in a row share a request; a thread and a deletion between them keep their places."""
    outbox.put_thread("t", name="n")
    for step_id in ("1", "2"):
        outbox.put_step(step(step_id))
    outbox.put_deletion("1")
    outbox.put_step(step("3"))

    outbox.start()

    assert await outbox.flush(5)
    assert server.received == [["t"], ["1", "2"], ["1"], ["3"]]


async def test_reports_gather_until_somebody_waits_for_them(
    server: Server, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While they may, start and end wait to be told at once, in however many threads; who waits gets them sent."""
    for limit in ("GATHERING_SECONDS_A_THREAD", "LONGEST_GATHERING_SECONDS"):
        monkeypatch.setattr(outbox_module, limit, 3_600.0)
    outbox.start()
    for number in range(2 * lanes.BATCH):
        outbox.put_step(step(f"{number}", f"t{number}", startTime="2026-01-01T00:00:00Z"))
        await outbox.written()
    assert server.received == []
    for number in range(2 * lanes.BATCH):
        outbox.put_step(step(f"{number}", f"t{number}", endTime="2026-01-01T00:00:01Z"))

    assert await outbox.flush(30)
    assert sorted(len(batch) for batch in server.received) == [lanes.BATCH, lanes.BATCH]
    assert all({"startTime", "endTime"} <= told.keys() for told in server.steps.values())


async def test_a_clock_that_is_set_back_does_not_stop_recording(
    server: Server, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was put at a moment that is still to come, as the clock has it now, is sent all the same."""
    clock = time.time
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: clock() + 3_600)
        outbox.put_step(step("1"))
    outbox.start()

    # A flush would hurry the outbox.
    await asyncio.to_thread(wait_until, lambda: "1" in server.steps, 10, lambda: "It does not arrive.")
    assert all(delay >= 0 for delay in outbox.status()["to_server_ms"].values())


async def test_what_was_told_of_one_step_is_told_at_once(server: Server, outbox: Outbox) -> None:
    """Reports of one step that wait are one report, in which the later counts; after its deletion it is a new one."""
    outbox.put_step(step("1", startTime="1", metadata={"a": 1}, generation={"model": "m"}))
    outbox.put_step(step("2"))
    outbox.put_step(step("1", endTime="2", metadata={"b": 2}, generation={"tokenCount": 3}, error=None))
    outbox.put_deletion("1")
    outbox.put_step(step("1", name="again"))
    outbox.put_thread("t", name="a", metadata={"x": 1})
    outbox.put_thread("t", participant="ada", metadata={"y": 2})

    outbox.start()

    assert await outbox.flush(5)
    assert server.received == [["1", "2"], ["1"], ["1"], ["t"]]
    merged = {"startTime": "1", "endTime": "2", "metadata": {"b": 2}, "generation": {"model": "m", "tokenCount": 3}}
    assert server.steps["1"] == {**step("1"), **merged, "name": "again"}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("status", [500, 503, 429, 401, 404])
async def test_a_server_that_fails_is_asked_again(status: int, server: Server, outbox: Outbox) -> None:
    """While the server answers 5xx, later or not you, nothing is lost, and all arrives once it is well again."""
    failures = iter([Response(status_code=status)] * 12)
    server.answer = lambda variables: next(failures, None) or fine(variables)
    outbox.start()

    for number in range(5):
        outbox.put_step(step(str(number), f"thread {number % 2}"))

    assert await outbox.flush(5)
    assert sorted(step_id for ids in server.received for step_id in ids) == ["0", "1", "2", "3", "4"]
    assert outbox.status()["set_aside"] == 0
    assert outbox.status()["retries"] > 0


async def test_a_server_that_wants_to_be_left_alone_is(server: Server, outbox: Outbox) -> None:
    """The seconds of a Retry-After header are waited for."""
    refusal = iter([Response(status_code=429, headers={"Retry-After": "1"})])
    asked: list[float] = []

    async def note(variables: Variables) -> None:
        asked.append(time.monotonic())

    server.pause = note
    server.answer = lambda variables: next(refusal, None) or fine(variables)
    outbox.start()
    outbox.put_step(step("1"))

    assert await outbox.flush(5)
    assert asked[1] - asked[0] >= 1


@pytest.mark.parametrize(
    "answer",
    [
        refusing("bad"),
        lambda variables: JSONResponse({"errors": [{"message": "bad step"}]}) if bad(variables) else fine(variables),
        lambda variables: Response("bad step", 413) if bad(variables) else fine(variables),
    ],
    ids=["ok-false", "errors", "status"],
)
async def test_one_refused_report_does_not_hold_the_others_up(
    answer: Callable[[Variables], Response], server: Server, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The culprit alone is set aside, with its reason in the log; what stands before and behind it arrives."""
    server.answer = answer
    for number in range(20):
        outbox.put_step(step(str(number), f"thread {number % 3}"))
        if number == 11:
            outbox.put_step(step("bad", "thread 1"))

    with caplog.at_level(logging.ERROR, logger="recording.outbox"):
        outbox.start()
        assert await outbox.flush(5)

    assert {str(number) for number in range(20)} <= server.steps.keys()
    assert outbox.status()["set_aside"] == 1
    assert "tool bad of thread thread 1" in caplog.text
    assert ("bad step" in caplog.text) or ("413" in caplog.text)


def bad(variables: Variables) -> bool:
    return "bad" in variables.values()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("trouble", ["500", "cut", "silence"])
async def test_one_threads_trouble_does_not_hold_the_others_up(
    trouble: str, server: Server, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report over which the server breaks, or falls silent, waits with its thread; it is set aside in the end."""
    monkeypatch.setattr(outbox_module, "TRIES_ALONE", 3)

    async def stumble(variables: Variables) -> None:
        if bad(variables):
            error: Exception = httpx.ReadError("cut") if trouble == "cut" else httpx.ReadTimeout("silence")
            raise error

    class Stumbling(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if b'"bad"' in await request.aread() and trouble != "500":
                await stumble({"id_0": "bad"})
            return await super().handle_async_request(request)

    server.api._http = httpx.AsyncClient(transport=Stumbling(app=server.app, raise_app_exceptions=False))
    server.answer = lambda variables: Response(status_code=500) if bad(variables) else fine(variables)
    outbox.put_step(step("bad", "ill"))
    outbox.put_step(step("after", "ill"))
    outbox.start()

    number = 0
    while outbox.status()["set_aside"] == 0:
        number += 1
        outbox.put_step(step(str(number), "well"))
        assert await outbox.flush(5, "well")

    assert await outbox.flush(5, "ill")
    assert "after" in server.steps
    assert [ids for ids in server.received if "bad" in ids] == []


async def test_stopping_with_a_dead_server_ends_in_time_and_the_rest_is_sent_later(
    server: Server, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Stop waits no longer than told; what could not be sent is sent after the next start, in its order."""
    api = LiteralAPI("http://127.0.0.1:9", "key")  # the discard port: nobody listens
    outbox = Outbox(api, file)
    outbox.start()
    outbox.put_thread("t", name="n")
    outbox.put_step(step("1"))
    outbox.put_step(step("2"))

    with caplog.at_level(logging.WARNING, logger="recording.outbox"):
        await asyncio.wait_for(outbox.stop(0.05), 5)
    await api.close()
    again = Outbox(server.api, file)
    again.start()
    again.put_step(step("3"))

    assert "3 reports wait on disk" in caplog.text
    assert await again.flush(5)
    assert server.received == [["t"], ["1", "2", "3"]]
    await again.stop(1)


async def test_flush_waits_for_what_was_put_before_it_only(server: Server, outbox: Outbox) -> None:
    """Reports that keep coming do not hold a flush up."""
    outbox.put_step(step("1"))
    flushing = asyncio.create_task(outbox.flush(5))

    def answer_and_put(variables: Variables) -> Response:
        if not flushing.done():
            outbox.put_step(step(f"more {len(server.received)}"))
        return fine(variables)

    server.answer = answer_and_put
    outbox.start()

    assert await flushing


@pytest.mark.usefixtures("quick")
async def test_flush_of_one_thread_does_not_wait_for_another(server: Server, outbox: Outbox) -> None:
    """Whoever reads one thread is not delayed by what waits for others."""
    server.answer = lambda variables: Response(status_code=500) if bad(variables) else fine(variables)
    outbox.put_step(step("bad", "ill"))
    outbox.put_step(step("1", "well"))
    outbox.start()

    assert await outbox.flush(5, "well")
    assert await outbox.flush(0, "unknown")
    assert not await outbox.flush(0, "ill")


async def test_what_was_put_is_on_disk_before_anything_goes_on(server: Server, file: Path) -> None:
    """After `written` a kill loses nothing: another outbox on a copy of the file sends all of it."""
    outbox = Outbox(server.api, file)
    for number in range(100):
        outbox.put_step(step(str(number), f"thread {number % 7}", output={"content": "\ud83d \u0000 é"}))
    await outbox.written()
    for part in file.parent.glob("outbox.db*"):
        part.with_name(f"copy-{part.name}").write_bytes(part.read_bytes())
    copy = Outbox(server.api, file.with_name("copy-outbox.db"))

    assert copy.status()["waiting"] == 100
    for one in (outbox, copy):
        await one.stop(0)


@pytest.fixture
def broken_file(file: Path) -> Path:
    file.write_bytes(b"no database" * 1000)
    return file


async def test_a_broken_file_is_kept_and_the_app_starts(
    server: Server, broken_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is no database is put aside with a word, and recording begins anew."""
    file = broken_file
    outbox = Outbox(server.api, file)
    outbox.start()
    outbox.put_step(step("1"))

    assert await outbox.flush(5)
    assert "cannot be read" in caplog.text
    assert [path.read_bytes()[:11] for path in file.parent.glob("outbox.db.broken-*")] == [b"no database"]
    await outbox.stop(1)


async def test_the_status_tells_how_recording_fares(server: Server, outbox: Outbox) -> None:
    """The figures are there from the start and follow what happens; nothing of what is recorded is in them."""
    before = outbox.status()
    outbox.put_step(step("secret"))
    waiting = outbox.status()
    outbox.start()
    assert await outbox.flush(5)
    after = outbox.status()

    assert (before["waiting"], before["server_answers"], before["to_disk_ms"]["p50"]) == (0, None, None)
    assert (waiting["waiting"], waiting["waiting_bytes"] > 0, waiting["oldest_waiting_seconds"]) == (1, True, 0.0)
    assert (after["waiting"], after["server_answers"], after["oldest_waiting_seconds"]) == (0, True, None)
    assert after["to_server_ms"]["p95"] >= after["to_server_ms"]["p50"] > 0
    assert after["to_server_ms"]["p50"] > 0
    assert "secret" not in str([before, waiting, after])


async def test_what_comes_after_the_end_does_not_wait_for_ever(server: Server, file: Path) -> None:
    """A turn that is still running when the app ends is told at once that nothing is written any more."""
    outbox = Outbox(server.api, file)
    outbox.start()
    await outbox.stop(1)

    outbox.put_step(step("late"))

    await asyncio.wait_for(outbox.written(), 5)
    assert outbox.status()["disk_fails"] is True
