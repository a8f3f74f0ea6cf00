"""What a killed process left open is closed as interrupted, and its thread can be gone on from."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.conversation import messages_of
from recording.client import LiteralAPI
from recording.history import exchanges_of
from recording.interrupted import NO_RESULT, TOLD, closing_steps
from recording.outbox import Outbox
from recording.outbox_store import Begun
from recording.steps import TurnSteps, message_id
from tests.recording import test_steps
from tests.recording.test_steps import CALL, Recorded, model_started, turn

pytestmark = pytest.mark.anyio

EVENTS: list[Any] = test_steps.EVENTS
AT = datetime(2026, 1, 2, 3, 5, 0, tzinfo=UTC).timestamp()


def killed_after(count: int) -> tuple[list[dict[str, Any]], list[Begun]]:
    """Return the steps of a turn that was cut off after so many events, and those of them that are open."""
    builder = TurnSteps(turn())
    steps: dict[str, dict[str, Any]] = {}
    for event in EVENTS[:count]:
        for step in [*builder.of(event), *builder.being_said()]:
            steps[step["id"]] = steps.get(step["id"], {}) | {
                key: value for key, value in step.items() if value is not None
            }
    return list(steps.values()), [Begun(step, AT) for step in steps.values() if not step.get("endTime")]


def closed(count: int) -> list[dict[str, Any]]:
    """Return the steps of such a turn as the record has them after the next start."""
    steps, begun = killed_after(count)
    by_id = {step["id"]: step for step in steps}
    for step in closing_steps(begun):
        by_id[step["id"]] = by_id.get(step["id"], {}) | step
    return list(by_id.values())


@pytest.mark.parametrize("count", range(1, len(EVENTS)))
async def test_nothing_stays_open_whenever_the_kill_came(count: int) -> None:
    """After any event: all steps have an end, the run says how it ended, and a sentence tells the person."""
    steps = closed(count)

    run = next(step for step in steps if step["type"] == "run")
    told = next(step for step in steps if step["id"] == message_id("r"))
    assert all(step["startTime"] <= step["endTime"] for step in steps)
    assert (run["metadata"]["outcome"], run["metadata"]["client"], run["error"]) == ("interrupted", "chat", TOLD)
    assert (told["output"]["content"], told["error"], told["parentId"]) == (TOLD, TOLD, "r")


@pytest.mark.parametrize("count", range(1, len(EVENTS)))
async def test_the_history_goes_on_from_there(count: int) -> None:
    """The rebuilt history is one that the model API accepts: each tool call is answered, and nothing else is."""
    history = messages_of(exchanges_of([Recorded(step) for step in reversed(closed(count))]))  # type: ignore[misc]

    asked: list[str] = []
    for message in history:
        if message["role"] == "tool":
            asked.remove(message["tool_call_id"])
        else:
            assert asked == []
            asked = [call["id"] for call in message.get("tool_calls") or []]
    assert asked == []
    assert history[0] == {"role": "user", "content": "1 + 1?"}
    assert all(message.get("content") != TOLD for message in history)


async def test_what_was_said_and_found_out_is_in_the_history() -> None:
    """A finished tool's result stays, an open one's says that there is none, and text that was cut off stays too."""
    while_tool_ran = messages_of(exchanges_of([Recorded(step) for step in closed(4)]))  # type: ignore[misc]
    while_speaking = messages_of(exchanges_of([Recorded(step) for step in closed(7)]))  # type: ignore[misc]

    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert while_tool_ran[1:] == [called, {"role": "tool", "tool_call_id": "c", "content": NO_RESULT}]
    assert while_speaking[1:] == [
        called,
        {"role": "tool", "tool_call_id": "c", "content": "2"},
        {"role": "assistant", "content": "It is 2."},
    ]


async def test_the_file_knows_what_is_open(tmp_path: Path) -> None:
    """Whatever was sent before a kill, the next outbox closes what had not ended, and closes it once."""
    api = LiteralAPI("http://127.0.0.1:9", "key")
    first = Outbox(api, tmp_path / "outbox.db")
    builder = TurnSteps(turn())
    for event in EVENTS[:4]:
        for step in builder.of(event):
            first.put_step(step)
    await first.written()
    first._store._db.execute("DELETE FROM waiting")  # as when all was sent
    await first.stop(0)

    second = Outbox(api, tmp_path / "outbox.db")
    second.start()
    await second.written()
    closing = {update.key: update.body for update in second._lanes}
    await second.stop(0)
    third = Outbox(api, tmp_path / "outbox.db")

    assert closing.keys() == {"r", "tool", message_id("r")}
    assert closing["tool"]["error"] == NO_RESULT
    assert all(body["endTime"] for body in closing.values())
    assert third._left_open == []
    await third.stop(0)
    await api.close()


async def test_a_tool_of_a_model_that_is_still_writing() -> None:
    """A model call that was cut off before it called anything leaves nothing in the history but the question."""
    steps = [*killed_after(1)[0], *TurnSteps(turn()).of(model_started("x"))]
    begun = [Begun(step, AT) for step in steps if not step.get("endTime")]
    by_id = {step["id"]: step for step in steps}
    for step in closing_steps(begun):
        by_id[step["id"]] = by_id.get(step["id"], {}) | step

    history = messages_of(exchanges_of([Recorded(step) for step in by_id.values()]))  # type: ignore[misc]

    assert history == [{"role": "user", "content": "1 + 1?"}]
