"""The recorder goes on when what it heard is on disk, and keeps the text of a running answer now and then."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.conversation import TurnStarted
from agent.events import ModelFinished, ModelStarted, TextDelta
from recording import recorder as recorder_module
from recording.client import LiteralAPI
from recording.outbox import Outbox
from recording.recorder import Recorder
from recording.steps import message_id
from tests.recording.test_steps import EVENTS, model_started, turn

pytestmark = pytest.mark.anyio

SAID = ModelFinished(
    step_id="x",
    message={"role": "assistant", "content": "One two three"},
    usage=None,
    finish_reason="stop",
    time_to_first_token=0.1,
    duration=1,
)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(LiteralAPI("http://127.0.0.1:9", "key"), tmp_path / "outbox.db")


def on_disk(outbox: Outbox) -> dict[str, dict[str, Any]]:
    """Return what the file holds now, by id."""
    return {update.key: update.body for update in outbox._store.waiting()}


async def test_each_event_is_on_disk_before_the_next_one(outbox: Outbox) -> None:
    """After each event but a turn's and a model call's beginning the file knows all, and in the end each step's end."""
    recorder, of = Recorder(outbox), turn()
    events: list[Any] = EVENTS
    for event in events:
        await recorder(of, event)
        if not isinstance(event, TurnStarted | ModelStarted):
            assert on_disk(outbox) == {update.key: update.body for update in outbox._lanes}

    steps = [step for step in on_disk(outbox).values() if "type" in step]
    assert len(steps) == 6
    assert all(step["endTime"] for step in steps)
    await outbox.stop(0)


async def test_the_text_so_far_is_kept_while_it_is_being_said(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pieces of text make few reports, each with all of the text; the whole text at the end replaces them."""
    monkeypatch.setattr(recorder_module, "SECONDS_OF_UNKEPT_TEXT", 0.05)
    recorder, of = Recorder(outbox), turn()
    puts: list[dict[str, Any]] = []
    partly_put, put_step = asyncio.Event(), outbox.put_step

    def note(step: dict[str, Any], **more: Any) -> None:
        puts.append(step)
        put_step(step, **more)
        if step["id"] == message_id("x"):
            partly_put.set()

    monkeypatch.setattr(outbox, "put_step", note)
    await recorder(of, TurnStarted())
    await recorder(of, model_started("x"))

    for word in ("One", " two", " thr"):
        await recorder(of, TextDelta(step_id="x", text=word))
    assert message_id("x") not in on_disk(outbox)
    await asyncio.wait_for(partly_put.wait(), 5)
    await outbox.written()
    partly = on_disk(outbox)[message_id("x")]
    await recorder(of, TextDelta(step_id="x", text="ee"))
    await recorder(of, SAID)
    whole = on_disk(outbox)[message_id("x")]

    assert (partly["output"], partly.get("endTime")) == ({"content": "One two thr"}, None)
    assert whole["output"] == {"content": "One two three"}
    assert whole["endTime"]
    assert [step["id"] for step in puts].count(message_id("x")) == 2
    assert recorder._unkept == {}
    await outbox.stop(0)
