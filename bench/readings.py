"""How long a very long thread takes in each reading of the review pages: opened, in its middle, and to its end."""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from bench import history
from bench.measuring import median, table
from literal_server.dashboard.views import StepNode
from literal_server.steps import FullStep
from literal_server.tables import Step
from tests.browser.chromium import find_chromium
from tests.literal_server.server_process import ServerProcess

TURNS = 720
REPEATS = 5
GOAL_SECONDS = 1.0
READINGS = {
    "transcript": "transcript",
    "timeline": "timeline",
    "sides": "user saw, model saw",
    "player": "player",
    "raw": "raw",
}
SHOWN = {"sides": ".sides article", "player": ".controls:not([hidden])"}

SECTION = """\
A thread of {steps:,} steps ({turns} turns of {of_turn}) lies in the server's database. Real Chromium opens it in each
reading of the review pages, {repeats} times each, in a fresh context: the seconds run until what was asked for is on
the screen. It is opened at a step in its middle (`?currentStepId=`), then at its beginning, and from there it is
scrolled to its end in one jump, until the last step is there ("user saw, model saw" shows one turn, the last one first;
the player is taken to the thread's last moment instead, until the last message is there). The goal is {goal:.0f} s for
each.

{table}

The server's memory was {memory} MB at the most.
"""

_PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
_TO_THE_END = """async (anchor) => {
  for (;;) {
    scrollTo(0, document.documentElement.scrollHeight);
    const last = document.getElementById(anchor);
    if (last) return last.scrollIntoView({ block: "end" });
    await new Promise(requestAnimationFrame);
  }
}"""
_PLAYED_TO_THE_END = """() => {
  const scrub = document.querySelector(".scrub");
  scrub.value = scrub.max;
  scrub.dispatchEvent(new Event("input"));
}"""


@dataclass(frozen=True)
class LongThread:
    """Where the thread is, and its step in the middle and the last one, by their ids."""

    address: str
    middle: str
    last: str


def measure(*, quick: bool) -> str:
    """Fill a server with one long thread, open it in each reading, and answer what came of it."""
    turns, repeats = (20, 1) if quick else (TURNS, REPEATS)
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        data.mkdir(mode=0o700)
        steps = asyncio.run(history.fill(data / "literal.db", 1, turns))
        server = ServerProcess(data)
        try:
            thread = _thread(server, data)
            with sync_playwright() as playwright:
                flags = ["--no-sandbox", "--disable-gpu"]
                chromium = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
                rows = [_row(chromium, thread, reading, repeats) for reading in READINGS]
                chromium.close()
            memory = server.memory("VmHWM")
        finally:
            server.stop()
    written = table(("reading", "opened", "opened in its middle", "then to its end", "goal"), rows)
    return SECTION.format(
        steps=steps, turns=turns, of_turn=history.STEPS_OF_A_TURN, repeats=repeats, goal=GOAL_SECONDS, table=written,
        memory=memory,
    )  # fmt: skip


def _thread(server: ServerProcess, data: Path) -> LongThread:
    with sqlite3.connect(data / "literal.db") as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM steps ORDER BY start_time, rowid")]
    connection.close()
    address = f"{server.url}/projects/{history.PROJECT}/logs/threads/{history.LONG_THREAD}"
    return LongThread(address, ids[len(ids) // 2], ids[-1])


def _row(chromium: Browser, thread: LongThread, reading: str, repeats: int) -> tuple[str, ...]:
    print(f"  {READINGS[reading]}", flush=True)
    measured = [_opened(chromium, thread, reading) for _ in range(repeats + 1)][1:]  # the first warms up both sides
    parts = [median(each) for each in zip(*measured, strict=True)]
    spread = [f"{value:.2f} s" + (f" (up to {max(each):.2f})" if len(measured) > 1 else "")
              for value, each in zip(parts, zip(*measured, strict=True), strict=True)]  # fmt: skip
    verdict = "met" if max(parts) < GOAL_SECONDS else "**missed**"
    return READINGS[reading], *spread, verdict


def _opened(chromium: Browser, thread: LongThread, reading: str) -> tuple[float, float, float]:
    """Open the thread at its beginning, in its middle, and go from its beginning to its end; answers seconds."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-US")
    page = context.new_page()
    address = f"{thread.address}?view={reading}"
    first = SHOWN.get(reading, ".row, .message")
    wanted = ".sides article" if reading == "sides" else f'[data-step="{thread.middle}"][aria-current="step"]'
    middle = _seconds(page, lambda: _goto(page, f"{address}&currentStepId={thread.middle}", wanted))
    opened = _seconds(page, lambda: _goto(page, address, first))
    end = _seconds(page, lambda: _to_the_end(page, thread, reading))
    context.close()
    return opened, middle, end


def _goto(page: Page, address: str, shown: str) -> None:
    page.goto(address, wait_until="load")
    page.locator(shown).first.wait_for(state="visible")


def _to_the_end(page: Page, thread: LongThread, reading: str) -> None:
    if reading in ("transcript", "timeline", "raw"):
        page.evaluate(_TO_THE_END, StepNode(FullStep(Step(id=thread.last), None), 0).anchor)
    elif reading == "player":
        page.evaluate(_PLAYED_TO_THE_END)
        page.locator(f'[data-step="{thread.last}"]').wait_for(state="visible")
    else:
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")


def _seconds(page: Page, work: Callable[[], Any]) -> float:
    began = time.monotonic()
    work()
    page.evaluate(_PAINTED)
    return time.monotonic() - began
