"""How long a long thread takes to open: in the chat, by how many steps are shown, and in the review pages' readings."""

import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from literalai.api import LiteralAPI
from playwright.sync_api import Browser, expect, sync_playwright

from bench import readings
from bench.measuring import median, table
from bench.options import Options
from tests.app_process import AppProcess
from tests.browser.chromium import find_chromium

PACKAGES: tuple[str, ...] = ("chainlit", "playwright", "starlette", "Jinja2")
TURNS = 286
BOUNDS = (100, 200, 400, 800, 5_000)
REPEATS = 5
PATIENCE_MILLISECONDS = 180_000
START = datetime(2026, 1, 1, tzinfo=UTC)

_SECTION = """\
## A long thread (`bench/long_thread.py`)

### In the chat

A thread of {steps:,} steps ({turns} turns of 7) is recorded through the SDK. Then the app is started once for each
bound on the steps shown, and real Chromium, signed in already, opens the thread, {repeats} times each. The seconds run
from the navigation until the last answer is in the page; the page's own scripts and the reading of the thread are part.

{table}

### In the review pages

{readings}"""


def run(options: Options) -> str:
    """Open the thread under each bound."""
    turns, bounds, repeats = (3, (200,), 1) if options.quick else (TURNS, BOUNDS, REPEATS)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        data, thread = Path(folder) / "data", str(uuid.uuid4())
        app = AppProcess(data).start()
        record(app, thread, turns)
        app.stop()
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        seconds = {bound: openings(chromium, data, (thread, turns), bound, repeats) for bound in bounds}
        chromium.close()
    reviewed = readings.measure(quick=options.quick)
    first = median(seconds[bounds[0]])
    rows = [
        (f"{bound:,}", f"{median(each):.2f} s", f"{median(each) / first:.1f}", " ".join(f"{one:.2f}" for one in each))
        for bound, each in seconds.items()
    ]
    written = table(("steps shown at most", "median", f"to {bounds[0]}", "each"), rows)
    return _SECTION.format(steps=turns * 7, turns=turns, repeats=repeats, table=written, readings=reviewed)


def openings(chromium: Browser, data: Path, recorded: tuple[str, int], bound: int, repeats: int) -> list[float]:
    """Start the app with a bound and open the thread, given by its id and its turns."""
    app = AppProcess(data, settings={"CHAT_STEPS_SHOWN": str(bound)}).start()
    try:
        return [opening(chromium, app.url, *recorded) for _ in range(repeats)]
    finally:
        app.stop()


def record(app: AppProcess, thread: str, turns: int) -> None:
    """Record the thread, with its owner, as any client of the Literal API would."""
    api = LiteralAPI(api_key=(app.data / "literal-api-key").read_text().strip(), url=f"{app.url}/literal")
    api.upsert_thread(thread, name="A long thread", participant_id="local")
    steps = [step for number in range(turns) for step in turn(thread, number)]
    for start in range(0, len(steps), 50):
        api.send_steps(steps[start : start + 50])


def turn(thread: str, number: int) -> list[Any]:
    """Return a question with a run of two model calls and two tool calls, and its answer."""
    question, run = str(uuid.uuid4()), str(uuid.uuid4())
    text = f"Question {number}: what is the weather in San Francisco and Paris?"
    answer = f"Answer {number}: it is sunny in San Francisco and windy in Paris."
    inside = [
        ("llm", "gpt", {"content": None, "role": "assistant"}),
        ("tool", "get_current_weather", {"content": "sunny"}),
        ("tool", "get_current_weather", {"content": "windy"}),
        ("llm", "gpt", {"content": answer, "role": "assistant"}),
        ("assistant_message", "Verbatim", {"content": answer}),
    ]
    outside = [
        (question, None, "user_message", "local", {"content": text}),
        (run, question, "run", "on_message", {"content": answer}),
    ]
    whole = [*outside, *((str(uuid.uuid4()), run, kind, name, output) for kind, name, output in inside)]
    return [
        {
            "id": step_id,
            "threadId": thread,
            "parentId": parent,
            "type": kind,
            "name": name,
            "startTime": moment(number, place),
            "endTime": moment(number, place),
            "output": output,
            "metadata": {"client": "chat"},
            **({"input": {"content": text}} if kind == "run" else {}),
        }
        for place, (step_id, parent, kind, name, output) in enumerate(whole)
    ]


def moment(number: int, place: int) -> str:
    """Return a time of its own for each step, in order."""
    return (START + timedelta(minutes=number, seconds=place)).isoformat().replace("+00:00", "Z")


def opening(chromium: Browser, url: str, thread: str, turns: int) -> float:
    """Return the seconds until the last answer is there, in a browser of its own."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-US")
    page = context.new_page()
    page.goto(url)
    expect(page.get_by_role("link", name="A long thread")).to_be_visible(timeout=PATIENCE_MILLISECONDS)
    page.wait_for_load_state("networkidle")  # to sign in, the page loads twice
    began = time.monotonic()
    page.goto(f"{url}/thread/{thread}")
    expect(page.get_by_text(f"Answer {turns - 1}:").last).to_be_visible(timeout=PATIENCE_MILLISECONDS)
    seconds = time.monotonic() - began
    context.close()
    return seconds
