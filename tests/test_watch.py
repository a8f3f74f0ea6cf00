"""`chainlit run -w`: a save drops and re-imports all our modules while turns, engine and writer stay as they were."""

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
