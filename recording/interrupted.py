"""What becomes of turns that a killed process left open: they are closed as interrupted, and can be gone on from."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from literalai.observability.step import Step as RecordedStep

from agent.events import Message
from recording.outbox_store import Begun
from recording.steps import ASSISTANT, Step, iso, message_id

INTERRUPTED = "interrupted"
TOLD = "The app was interrupted before this answer was complete. What it had said and done until then is kept."
NO_RESULT = "interrupted: the app ended before there was a result"


def closing_steps(begun: Sequence[Begun]) -> list[Step]:
    """Return the reports that end these steps, at the last moment from which anything is known of their turn.

    Calls and tools that had no result are errors, and so is the run; text that was being written just ends there, and
    a sentence of ours below it tells the person. The same steps give the same reports, however often they are made.
    """
    last_heard = {one.body["id"]: one.last_at for one in begun}
    return [
        step
        for one in begun
        for step in _close(one.body, max(one.last_at, last_heard.get(one.body.get("rootRunId"), one.last_at)))
    ]


def _close(begun: Step, last_heard: float) -> list[Step]:
    at = iso(datetime.fromtimestamp(last_heard, UTC))
    known = {key: value for key, value in begun.items() if key not in ("startTime", "metadata")}
    outcome = {"metadata": {**(begun.get("metadata") or {}), "outcome": INTERRUPTED}}
    closed = known | {"endTime": max(at, begun["startTime"])} | outcome
    if begun["type"] == "assistant_message":
        return [closed]
    if begun["type"] != "run":
        return [closed | {"error": NO_RESULT}]
    told = {
        "id": message_id(begun["id"]),
        "threadId": begun.get("threadId"),
        "parentId": begun["id"],
        "rootRunId": begun["id"],
        "type": "assistant_message",
        "name": ASSISTANT,
        "startTime": closed["endTime"],
        "endTime": closed["endTime"],
        "output": {"content": TOLD},
        "error": TOLD,
        "metadata": {"outcome": INTERRUPTED},
    }
    return [closed | {"error": TOLD, "output": {"content": TOLD}}, told]


def messages_of_run(steps: Iterable[RecordedStep], run: RecordedStep) -> list[Message]:
    """Return what was said and done in a run that was interrupted, as a history that the model API accepts.

    Every tool call of a finished model call is answered: by its tool's result, or by the word that there was none.
    """
    below = sorted((step for step in steps if step.parent_id == run.id), key=lambda step: step.start_time or "")
    results = {
        (step.metadata or {}).get("toolCallId"): str((step.output or {}).get("content") or step.error or NO_RESULT)
        for step in below
        if step.type == "tool"
    }
    spoken = {step.id: step for step in below if step.type == "assistant_message" and not step.error}
    messages: list[Message] = []
    for call in (step for step in below if step.type == "llm"):
        said: dict[str, Any] = dict(call.output or {})
        calls = said.get("tool_calls") or []
        if calls:
            messages.append(said)
            messages += [
                {"role": "tool", "tool_call_id": one["id"], "content": results.get(one["id"], NO_RESULT)}
                for one in calls
            ]
        elif text := said.get("content") or _text(spoken.get(message_id(call.id or ""))):
            messages.append({"role": "assistant", "content": text})
    return messages


def _text(step: RecordedStep | None) -> str:
    return str((step.output or {}).get("content") or "") if step else ""
