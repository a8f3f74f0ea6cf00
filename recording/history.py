"""Rebuilds what a model must be told from a recorded thread: its runs hold every message as the model API had it."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from literalai.observability.step import Step

from agent.events import Message
from recording.client import LiteralAPI
from recording.interrupted import INTERRUPTED, messages_of_run
from recording.outbox import Outbox


@dataclass(frozen=True, slots=True)
class RecordedThread:
    """A thread as the record has it; `owner` is empty for a thread that is nobody's."""

    owner: str
    messages: Sequence[Message]


async def find_thread(api: LiteralAPI, outbox: Outbox, thread_id: str, seconds: float) -> RecordedThread | None:
    """Read a thread from the record, after what is still on its way there; None where there is none.

    Raises ConnectionError when the record does not answer within about `seconds`: that is not an empty thread.
    """
    try:
        async with asyncio.timeout(seconds):
            await outbox.flush(seconds, thread_id)
            thread = await api.get_thread(id=thread_id)
    except TimeoutError as error:
        raise ConnectionError(f"the record did not answer within {seconds:g} s") from error
    if thread is None:
        return None
    return RecordedThread(thread.participant_identifier or "", messages_of(thread.steps or []))


def messages_of(steps: Iterable[Step]) -> list[Message]:
    """Return the conversation of a thread, oldest first: each run's question followed by the run's new messages.

    A run without such messages (it has not ended, or another program recorded it) counts with its question and the
    assistant messages below it; one that was interrupted also with what its tools said.
    """
    messages: list[Message] = []
    steps = list(steps)
    runs = [step for step in steps if step.type == "run" and isinstance(step.input, dict)]
    for run in sorted(runs, key=lambda step: step.start_time or ""):
        asked = _question(run.input or {})
        if asked is None:
            continue
        history = (run.input or {}).get("history")
        if isinstance(history, list):
            messages = [dict(message) for message in history]
        messages.append(asked)
        kept = (run.output or {}).get("messages")
        if isinstance(kept, list):
            messages.extend(kept)
        elif (run.metadata or {}).get("outcome") == INTERRUPTED:
            messages.extend(messages_of_run(steps, run))
        else:
            messages.extend(_shown(steps, run))
    return messages


def _shown(steps: list[Step], run: Step) -> list[Message]:
    """Return the assistant messages of a run as the chat showed them."""
    return [
        {"role": "assistant", "content": str((step.output or {}).get("content") or "")}
        for step in steps
        if step.type == "assistant_message" and step.parent_id == run.id
    ]


def _question(run_input: dict[str, Any]) -> Message | None:
    if isinstance(run_input.get("message"), dict):
        return dict(run_input["message"])
    if isinstance(run_input.get("content"), str):
        return {"role": "user", "content": run_input["content"]}
    return None
