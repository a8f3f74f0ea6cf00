"""What a certificate claims, on the page of a thread and as JSON, and the order of steps that follows from stamps."""

import re
import time
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from literal_server import clock
from tests.literal_server.test_certificates import report, stamp, step
from tests.literal_server.wire import KEY, Wire, gql

pytestmark = pytest.mark.anyio

HOUR = 3_600_000_000
BEGUN = {"type": "run", "startTime": "2026-01-01T12:00:00Z"}
ENDED = BEGUN | {"endTime": "2026-01-01T12:01:00Z"}


async def certificate(wire: Wire, thread: str = "t") -> dict[str, Any]:
    """Return the certificate of a thread as JSON."""
    response = await wire.http.get(f"/api/verbatim/threads/{thread}/certificate")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def on_page(wire: Wire, server: Starlette) -> str:
    """Return what the page of the thread says of its record, in words."""
    response = await wire.http.get(f"/projects/{server.state.api.project}/logs/threads/t")
    assert response.status_code == 200, response.text
    (found,) = re.findall(r"<dt>Record</dt><dd>(.*?)</dd>", response.text, re.DOTALL)
    return " ".join(re.sub("<[^>]*>", "", found).split())


async def test_all_has_arrived(wire: Wire, server: Starlette) -> None:
    """With every number of every writer stored and no run open, the record is complete."""
    await report(wire, (step("1", **ENDED), stamp([[1, 2]])), (step("2"), stamp([[1, 1]], writer="next")))

    found = await certificate(wire)

    assert (found["state"], found["events"]) == ("complete", {"put": 3, "stored": 3, "missing": 0})
    assert [(one["writer"], one["put"], one["missing"]) for one in found["writers"]] == [("w", 2, []), ("next", 1, [])]
    assert await on_page(wire, server) == "complete, 3 of 3"


async def test_what_is_missing_is_named(wire: Wire, server: Starlette) -> None:
    """A gap says how many are missing and after which step; one at the end says since when nothing was heard."""
    await report(
        wire,
        (step("1", name="search", **ENDED), stamp([[1, 1]], place=["w", 1])),
        (step("2", name="calculate"), stamp([[4, 4]], of=6, place=["w", 4])),
    )

    found = await certificate(wire)
    (writer,) = found["writers"]
    said = await on_page(wire, server)

    assert (found["state"], found["events"]) == ("incomplete", {"put": 6, "stored": 2, "missing": 4})
    assert [(gap["from"], gap["to"], gap["afterStep"]["id"]) for gap in writer["missing"]] == [(2, 3, "1"), (5, 6, "2")]
    assert writer["hasStopped"] is True
    assert abs(clock.parse_time(writer["lastHeardAt"]) - clock.now()) < 60_000_000
    assert said.startswith("4 events missing after search, after calculate; the writer stopped at ")
    assert said.endswith("UTC (2 of 6)")

    await report(wire, (step("1"), stamp([[2, 3]])), (step("3"), stamp([[5, 6]])))
    assert await on_page(wire, server) == "complete, 6 of 6"


async def test_a_gap_before_anything(wire: Wire, server: Starlette) -> None:
    """Where a writer goes on after a gap it has not stopped; a gap before all that is known is one, too."""
    await report(wire, (step("1"), stamp([[2, 2]])))

    assert await on_page(wire, server) == "1 event missing before the first step (1 of 2)"


async def test_an_open_run_is_never_complete(wire: Wire, server: Starlette) -> None:
    """As long as a run has no end there may be more; when it has been silent for long, its writer has stopped."""
    await report(wire, (step("old", **BEGUN), stamp([[1, 1]])))
    unfinished = await on_page(wire, server)
    await report(wire, (step("new", type="run", startTime=clock.format_time(clock.now())), stamp([[2, 2]], of=3)))
    running = await on_page(wire, server)

    assert unfinished.startswith("1 of 1, but a run never ended; the writer stopped at ")
    assert running == "2 of 3 so far"
    assert (await certificate(wire))["openRuns"] == 2


async def test_clients_without_stamps(wire: Wire, server: Starlette) -> None:
    """A thread of the stock SDK is not stamped; where only some steps are, nothing is claimed of the others."""
    await wire.report(step("1", **ENDED), step("2"))
    without = (await certificate(wire), await on_page(wire, server))
    await report(wire, (step("3"), stamp([[1, 1]])))

    assert (without[0]["state"], without[0]["writers"], without[1]) == ("not stamped", [], "not stamped")
    assert (await certificate(wire))["state"] == "partly stamped"
    assert await on_page(wire, server) == "1 of 1, 2 steps not stamped"


def test_the_stock_sdk_is_not_stamped(client: Any, address: str) -> None:
    """What an application records through the SDK alone has no certificate, and says so."""
    with client.thread() as thread, client.step(name="work", type="run"):
        pass
    client.flush()

    found = httpx.get(f"{address}/api/verbatim/threads/{thread.id}/certificate", headers={"x-api-key": KEY}).json()

    assert (found["state"], found["unstampedSteps"], found["events"]["put"]) == ("not stamped", 1, 0)


async def test_a_certificate_is_for_those_with_a_key(wire: Wire) -> None:
    """Without a key there is none, and of a thread that is not there or deleted neither."""
    await wire.report(step("1", "a/b"))

    assert (await certificate(wire, "a/b"))["threadId"] == "a/b"
    wrong = await wire.http.get("/api/verbatim/threads/a/b/certificate", headers={"x-api-key": "wrong"})
    unknown = await wire.http.get("/api/verbatim/threads/nobody/certificate")
    await wire.send(gql.DELETE_THREAD, {"thread_id": "a/b"})
    deleted = await wire.http.get("/api/verbatim/threads/a/b/certificate")
    assert [answer.status_code for answer in (wrong, unknown, deleted)] == [401, 404, 404]
    assert [bool(answer.json()["errors"]) for answer in (wrong, unknown, deleted)] == [True] * 3


def at(minutes: float, behind: int = 0) -> dict[str, str]:
    """Return the start of a step as a clock tells it that is so many microseconds behind."""
    return {"startTime": clock.format_time(int(minutes * 60_000_000) + HOUR * 1_000 - behind)}


async def order(wire: Wire) -> list[str]:
    return [one["id"] for one in (await wire.thread("t"))["steps"]]


@pytest.mark.parametrize("behind", [HOUR, -HOUR, 60_000_000])
async def test_a_wrong_clock_is_put_right(behind: int, wire: Wire, server: Starlette) -> None:
    """Steps of a writer whose clock is off stand between those of others where they happened, and the page says so."""
    mine: dict[str, Any] = {"at": time.time_ns() // 1_000 - behind, "writer": "off"}
    for number, minutes in enumerate((1, 3, 5), start=1):
        await report(wire, (step(f"right {number}", **at(minutes - 0.5)), stamp([[number, number]], writer="right")))
        await report(wire, (step(f"off {number}", **at(minutes, behind)), stamp([[number, number]], **mine)))

    assert await order(wire) == [f"{name} {number}" for number in (1, 2, 3) for name in ("right", "off")]
    said = await on_page(wire, server)
    assert said.startswith("complete, 6 of 6")
    assert ("behind" if behind > 0 else "ahead") in said
    off = next(one for one in (await certificate(wire))["writers"] if one["writer"] == "off")
    assert off["clockBehindSeconds"] == pytest.approx(behind / 1_000_000, abs=30)


async def test_a_slow_request_is_no_wrong_clock(wire: Wire, server: Starlette) -> None:
    """The fastest request tells the clock: what came late once does not move the steps."""
    for delay in (50_000_000, 100_000):
        sent = stamp([[1, 1]], at=time.time_ns() // 1_000 - delay)
        await report(wire, (step("1"), sent))

    assert await on_page(wire, server) == "complete, 1 of 1"


async def test_one_writer_is_read_in_the_order_of_its_numbers(wire: Wire) -> None:
    """A clock that was set back does not turn events round; steps without a place go by their time among them."""
    await report(
        wire,
        (step("first", **at(10)), stamp([[1, 1]], place=["w", 1])),
        (step("set back", **at(3)), stamp([[2, 2]], place=["w", 2])),
        (step("third", **at(11)), stamp([[4, 4]], place=["w", 4])),
        (step("told late", **at(1)), stamp([[5, 5]])),
        (step("of nobody", **at(10.5)), None),
    )

    assert await order(wire) == ["told late", "first", "set back", "of nobody", "third"]
