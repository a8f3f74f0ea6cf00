"""Rebuilds the exchanges of a recorded thread: its runs hold every message as the model API had it."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from literalai.observability.step import Step

from agent.conversation import Exchange
from agent.events import Message
from recording.branches import living
from recording.client import LiteralAPI
from recording.interrupted import INTERRUPTED, messages_of_run
from recording.reports import Reports
from recording.steps import message_id

ALIASES = uuid.UUID("5f0c1f4e-3f0b-4a56-9d0e-0a6f4b0c9a51")


@dataclass(frozen=True, slots=True)
class RecordedThread:
    """A thread as the record has it; `owner` is empty for a thread that is nobody's. A deleted one has nothing."""

    owner: str
    exchanges: Sequence[Exchange]
    deleted: bool = False


async def find_thread(api: LiteralAPI, outbox: Reports, thread_id: str, seconds: float) -> RecordedThread | None:
    """Read a thread from the record, after what is still on its way there; None where there is none.

    Raises ConnectionError when the record does not answer within about `seconds`: that is not an empty thread.
    """
    try:
        async with asyncio.timeout(seconds):
            await outbox.flush(seconds, thread_id)
            thread = await api.get_thread(id=thread_id)
            deleted = thread is None and await api.is_deleted(thread_id)
    except TimeoutError as error:
        raise ConnectionError(f"the record did not answer within {seconds:g} s") from error
    if thread is None:
        return RecordedThread("", (), deleted=True) if deleted else None
    return RecordedThread(thread.participant_identifier or "", exchanges_of(thread.steps or []))


async def find_own(
    lookup: Callable[[str], Awaitable[RecordedThread | None]], user: str, thread_id: str
) -> tuple[str, RecordedThread | None]:
    """Return the id under which a user's thread is recorded, and the thread where there is one already.

    Another person's thread must not be reached, nor told from one that is not there: its id stands for one apart. So
    does the id of a deleted thread, which takes nothing new: what is asked there begins a thread that can be read.
    """
    recorded = await lookup(thread_id)
    while recorded and (recorded.deleted or recorded.owner != user):
        thread_id = apart(user, thread_id)
        recorded = await lookup(thread_id)
    return thread_id, recorded


def apart(user: str, thread_id: str) -> str:
    """Return the id of the user's own thread for an id that may be somebody else's."""
    return str(uuid.uuid5(ALIASES, f"{user}\n{thread_id}"))


def exchanges_of(steps: Iterable[Step]) -> list[Exchange]:
    """Return the exchanges of a thread's open branch, oldest first: one for each run, one for each refused question.

    A run without messages in its output (it has not ended, or another program recorded it) counts with its question and
    the assistant messages below it; one that was interrupted also with what its tools said.
    """
    steps = sorted(living(steps), key=lambda step: step.start_time or "")
    by_id = {step.id: step for step in steps}
    below: dict[str, list[Step]] = {}
    for step in steps:
        below.setdefault(step.parent_id or "", []).append(step)
    found: list[tuple[Step, Exchange]] = []
    for step in steps:
        exchange = _of_run(step, by_id, below) if step.type == "run" else _of_refused(step, by_id)
        if exchange:
            found.append((by_id.get(exchange.question_id, step), exchange))
    return [exchange for _, exchange in sorted(found, key=lambda pair: pair[0].start_time or "")]


def _of_run(run: Step, by_id: Mapping[str, Step], below: Mapping[str, list[Step]]) -> Exchange | None:
    asked = _question(run.input) if isinstance(run.input, dict) else None
    if asked is None:
        return None
    parent = by_id.get(run.parent_id or "")
    question = parent if parent and parent.type == "user_message" else run
    history = (run.input or {}).get("history")
    return Exchange(
        question_id=question.id or "",
        question=asked,
        said=_said(run, below.get(run.id or "", [])),
        history=history if isinstance(history, list) else None,
        steps=_kept(_tree(question, below)),
    )


def _said(run: Step, children: Sequence[Step]) -> Sequence[Message]:
    kept = (run.output or {}).get("messages")
    if isinstance(kept, list):
        return kept
    if (run.metadata or {}).get("outcome") == INTERRUPTED:
        return messages_of_run(children, run)
    return _shown(children)


def _of_refused(step: Step, by_id: Mapping[str, Step]) -> Exchange | None:
    if step.type != "user_message" or not (step.metadata or {}).get("refused"):
        return None
    told = by_id.get(message_id(step.id or ""))
    text = str((step.output or {}).get("content") or "")
    steps = _kept([step, told] if told else [step])
    return Exchange(step.id or "", {"role": "user", "content": text}, refused=True, steps=steps)


def _tree(root: Step, below: Mapping[str, list[Step]]) -> list[Step]:
    """Return a step with all that is below it; a server gives out no circles, and none is walked twice."""
    tree, known = [root], {root.id}
    for step in tree:
        children = [child for child in below.get(step.id or "", []) if child.id not in known]
        known.update(child.id for child in children)
        tree += children
    return tree


def _kept(steps: Iterable[Step]) -> dict[str, Mapping[str, Any]]:
    return {step.id or "": step.metadata or {} for step in steps}


def _shown(children: Iterable[Step]) -> list[Message]:
    """Return the assistant messages of a run as the chat showed them."""
    return [
        {"role": "assistant", "content": str((step.output or {}).get("content") or "")}
        for step in children
        if step.type == "assistant_message"
    ]


def _question(run_input: dict[str, Any]) -> Message | None:
    if isinstance(run_input.get("message"), dict):
        return dict(run_input["message"])
    if isinstance(run_input.get("content"), str):
        return {"role": "user", "content": run_input["content"]}
    return None
