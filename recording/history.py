"""Rebuilds what a model must be told from a recorded thread: its runs hold every message as the model API had it."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from literalai.observability.step import Step

from agent.events import Message
from recording.client import LiteralAPI
from recording.outbox import Outbox

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class RecordedThread:
    """A thread as the record has it; `owner` is empty for nobody's thread, and while nobody can be asked."""

    owner: str
    messages: Sequence[Message]


async def find_thread(api: LiteralAPI, outbox: Outbox, thread_id: str) -> RecordedThread | None:
    """Read a thread from the record, after what is still on its way there; None where there is none.

    A server that does not answer must not hold up a question: then the thread counts as nobody's.
    """
    await outbox.flush(PATIENCE_SECONDS)
    try:
        thread = await asyncio.wait_for(api.get_thread(id=thread_id), PATIENCE_SECONDS)
    except (ConnectionError, TimeoutError) as error:
        logger.warning("Thread %s could not be looked up: %s", thread_id, error or "no answer in time")
        return RecordedThread("", ())
    if thread is None:
        return None
    return RecordedThread(thread.participant_identifier or "", messages_of(thread.steps or []))


def messages_of(steps: Iterable[Step]) -> list[Message]:
    """Return the conversation of a thread, oldest first: each run's question followed by the run's new messages.

    A run without such messages (it never ended, or another program recorded it) counts with its question and the
    assistant messages below it.
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
        messages.extend(kept if isinstance(kept, list) else _shown(steps, run))
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
