"""`GET /health` tells that the app answers, and in figures how its recording fares."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.app_process import AppProcess, wait_until
from tests.chat_client import ChatTab

pytestmark = pytest.mark.anyio


def health(app: AppProcess) -> dict[str, Any]:
    answer = httpx.get(f"{app.url}/health")
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    assert body["status"] == "ok"
    recording: dict[str, Any] = body["recording"]
    return recording


async def test_what_is_recorded_shows_in_the_figures(app: AppProcess) -> None:
    """After a turn all is stored, and the delays to disk and to the server are told."""
    async with ChatTab(app.url) as tab:
        await tab.ask("What is 2 + 3?")
    wait_until(lambda: health(app)["waiting"] == 0, 10, lambda: str(health(app)))

    figures = health(app)

    assert (figures["on"], figures["server_answers"], figures["disk_fails"]) == (True, True, False)
    assert (figures["retries"], figures["refused"], figures["set_aside"]) == (0, 0, 0)
    assert figures["to_disk_ms"]["p95"] >= figures["to_disk_ms"]["p50"] > 0
    assert figures["to_server_ms"]["p50"] > 0
    assert metrics(f"{app.url}/metrics") == metrics(f"{app.url}/literal/metrics")
    counted = metrics(f"{app.url}/metrics")
    assert [counted[name] for name in ("waiting", "server_answers", "disk_fails", "retries_total")] == [0, 1, 0, 0]
    assert counted['to_disk_seconds{quantile="0.95"}'] == pytest.approx(figures["to_disk_ms"]["p95"] / 1000)
    assert counted['to_server_seconds{quantile="0.5"}'] == pytest.approx(figures["to_server_ms"]["p50"] / 1000)
    page = httpx.get(f"{app.url}/literal/", follow_redirects=True).text
    shown = " ".join(re.sub("<[^>]*>", " ", page[page.index("<footer") : page.index("</footer>")]).split())
    assert re.fullmatch(
        r"Waiting to be recorded 0 On disk after \S+ ms, 95 % .* Recorded after .* Retries 0 Set aside 0 Refused 0",
        shown,
    )


def metrics(address: str) -> dict[str, float]:
    """Return what the metrics at an address tell of recording."""
    answer = httpx.get(address)
    assert answer.status_code == 200, answer.text
    told = [line.rpartition(" ") for line in answer.text.splitlines() if line.startswith("verbatim_recording_")]
    return {name.removeprefix("verbatim_recording_"): float(value) for name, _, value in told}


async def test_a_recording_server_that_is_away_shows_too(start_app: Callable[..., AppProcess]) -> None:
    """What waits is counted, and neither the address nor the key of the server is told."""
    app = start_app(LITERAL_API_URL="http://127.0.0.1:9", LITERAL_API_KEY="the-key")
    async with ChatTab(app.url) as tab:
        await tab.ask("What is 2 + 3?")
    wait_until(lambda: health(app)["retries"] > 0, 10, lambda: str(health(app)))

    figures = health(app)

    assert figures["server_answers"] is False
    assert figures["waiting"] > 3
    assert figures["oldest_waiting_seconds"] >= 0
    assert "the-key" not in str(figures)
    counted = metrics(f"{app.url}/metrics")
    assert (counted["server_answers"], counted["waiting"] > 3, counted["retries_total"] > 0) == (0, True, True)


async def test_with_recording_off_there_is_nothing_to_tell(start_app: Callable[..., AppProcess]) -> None:
    """The app answers all the same."""
    app = start_app(RECORDING="off")

    assert health(app) == {"on": False}
    assert metrics(f"{app.url}/metrics") == {}


async def test_the_metrics_are_for_who_has_the_token(start_app: Callable[..., AppProcess]) -> None:
    """With METRICS_TOKEN the app's own metrics open to nobody else."""
    app = start_app(RECORDING="off", METRICS_TOKEN="of the watcher")

    answers = [
        httpx.get(f"{app.url}/metrics", headers=headers)
        for headers in ({}, {"authorization": "Bearer of nobody"}, {"authorization": "Bearer of the watcher"})
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 200]
