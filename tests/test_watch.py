"""`chainlit run -w`: a save drops and re-imports all our modules while turns, engine and writer stay as they were."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from agent.approval import UNKNOWN
from tests.app_process import ROOT, AppProcess, wait_until
from tests.chat_client import ChatTab
from tests.test_approval import asked, decide, notes
from tests.test_chat import recorded

pytestmark = pytest.mark.anyio


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[AppProcess]:
    """The app under `-w` in a copy of the source that a test may change."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    copy = tmp_path / "source"
    for name in filter(None, tracked.split("\0")):
        if not name.startswith(("tests/", "docs/", "bench/")) and (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    app = AppProcess(tmp_path / "data", folder=copy, watch=True, settings={"OFFLINE_TOKEN_SECONDS": "0.15"})
    yield app.start()
    app.stop()


async def test_a_save_in_the_middle_of_a_turn_loses_nothing(watched: AppProcess) -> None:
    """The turn that a save interrupts is answered and recorded to its end, and the new code answers the next one."""
    async with ChatTab(watched.url) as tab:
        await tab.send("Hello!")
        await tab.heard("stream_start")
        source = watched.folder / "process.py"
        source.write_text(source.read_text().replace('{"error": refusal.detail}', '{"error": "SAVED"}'))
        await tab.heard("reload")
        await tab.heard("task_end")
        await tab.ask("What is 2 + 3?")
        thread = recorded(watched, await tab.thread(), runs=2)

    runs = [step for step in thread.steps if step.type == "run"]
    assert [run.metadata["outcome"] for run in runs] == ["answered", "answered"]
    assert len([step for step in thread.steps if step.type == "llm"]) == 3
    assert httpx.post(f"{watched.url}/process/", json={}).json() == {"error": "SAVED"}
    wait_until(lambda: "Reloading app" in watched.text(), 5, watched.text)
    assert "Error reloading" not in watched.text()


async def test_a_save_while_a_call_waits_for_consent_loses_nothing(watched: AppProcess) -> None:
    """The newer code takes the decision on a call that the older one has asked about, and refuses what does not fit."""
    async with ChatTab(watched.url) as tab:
        step = (await asked(tab, "Saved"))["step"]
        source = watched.folder / "process.py"
        source.write_text(source.read_text() + "\n")
        await tab.heard("reload")

        problem = await decide(tab, step_id=step, decision="approve", arguments="{}")
        assert problem is not None
        assert "title: Field required" in problem
        assert await decide(tab, step_id="another", decision="deny") == UNKNOWN
        assert await decide(tab, step_id=step, decision="approve") is None
        await tab.heard("task_end")
        thread = recorded(watched, await tab.thread())

    [tool] = [step for step in thread.steps if step.type == "tool"]
    assert tool.metadata["approval"]["decision"] == "approved"
    assert notes(watched) == {"note-saved.md": "# Saved\n\nmilk and bread\n"}
    assert "Error reloading" not in watched.text()


COUNT = """
import gc as _gc
_gc.unfreeze()  # what was there at the start is not among the objects else
_routes = [route.name for route in server.router.routes if getattr(route, "name", None) in ("process", "literal")]
_outboxes = sum(type(one).__name__ == "OutboxClient" for one in _gc.get_objects())
_layers = sum(type(one).__name__ == "ChainlitLayer" for one in _gc.get_objects())
logger.warning("COUNTED routes=%s outboxes=%d layers=%d", _routes, _outboxes, _layers)
"""


async def test_saves_good_and_bad_leave_one_of_each(watched: AppProcess) -> None:
    """After a save that cannot be run the chat answers as before; after the next good one there is one set of all."""
    source = watched.folder / "app.py"
    good = source.read_text()
    source.write_text(good + "\nthis is no Python\n")
    wait_until(lambda: "Error reloading module" in watched.text(), 20, watched.text)
    async with ChatTab(watched.url) as tab:
        assert "5" in await tab.ask("What is 2 + 3?")
        thread_id = await tab.thread()
        recorded(watched, thread_id)

    source.write_text(good + COUNT)
    wait_until(lambda: "COUNTED" in watched.text(), 20, watched.text)
    async with ChatTab(watched.url, thread_id) as tab:
        await tab.ask("What is 3 + 4?")
        thread = recorded(watched, thread_id, runs=2)

    counted = re.findall(r"COUNTED routes=(.*) outboxes=(\d+) layers=(\d+)", watched.text())
    assert counted == [(str(["process", "process", "literal", "literal"]), "1", "1")]
    assert sum(step.type == "llm" for step in thread.steps) == 4


def test_a_second_process_on_the_data_folder_says_so_and_stops(app: AppProcess) -> None:
    """The data folder belongs to one process; another one names it and ends."""
    second = AppProcess(app.data)

    with pytest.raises(pytest.fail.Exception) as ended:
        second.start()

    assert str(app.data) in str(ended.value)
    assert "Traceback" not in str(ended.value)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"CHAINLIT_HOST": "0.0.0.0"}, ["CHAT_PASSWORD", "python -m logins add", "PROCESS_API_KEY", "PUBLIC_URL"]),
        ({"LITERAL_API_URL": "http://127.0.0.1:9"}, ["LITERAL_API_KEY"]),
        ({"PUBLIC_URL": "chat.example.org"}, ["PUBLIC_URL must be an address", "'chat.example.org'"]),
        ({"AGENT_MAX_ITERATIONS": "many"}, ["AGENT_MAX_ITERATIONS", "integer"]),
    ],
    ids=["off-loopback", "no-key", "no-address", "no-number"],
)
def test_an_unsafe_start_is_refused_in_words(tmp_path: Path, settings: dict[str, str], named: list[str]) -> None:
    """What is missing is named, and the process ends before it listens."""
    with pytest.raises(pytest.fail.Exception) as ended:
        AppProcess(tmp_path / "data", settings=settings).start()

    assert [name for name in named if name not in str(ended.value)] == []
    assert "Traceback" not in str(ended.value)


def test_the_start_is_quiet(app: AppProcess) -> None:
    """The log of a start has our own and Chainlit's words, and no library's chatter."""
    assert "alembic" not in app.text()
