"""A thread as a text in Markdown: what was said, with what was called between, and what people thought of it."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from literal_server import clock, json_text
from literal_server.steps import FullStep
from literal_server.tables import Step, Thread

_SPEAKERS = {"user_message": "User", "assistant_message": "Assistant", "system_message": "System"}
_TICKS = re.compile("`+")


def markdown_of(thread: Thread, user: str | None, steps: Iterable[FullStep]) -> Iterator[str]:
    """Yield the lines of a thread whose steps come in reading order."""
    began = thread.first_start if thread.first_start is not None else thread.created_at
    yield f"# {_line(thread.name or 'Untitled thread')}\n"
    yield f"{_line(user or 'anonymous')}, {_moment(began)}, {thread.turn_count} turns, {thread.token_count:,} tokens\n"
    for full in steps:
        step = full.step
        if step.type in _SPEAKERS:
            yield from _message(step)
        elif step.type == "llm" or step.generation:
            yield f"*Model {_line(step.model or step.name or 'unnamed')}{_measures(step)}*\n"
        elif step.type != "run":
            yield from _call(step)
        if step.error:
            yield f"**Failed:**\n\n{fenced(step.error)}\n"
        for score in full.scores:
            why = f": {_line(score.comment)}" if score.comment else ""
            yield f"> {_line(score.name)} {score.value:g}{why} ({_line(score.scorer or score.type.lower())})\n"
        for file in full.attachments:
            yield f"Attached: {_line(file.name or 'unnamed file')} ({_line(file.mime or 'unknown')})\n"


def _message(step: Step) -> Iterator[str]:
    mark = step.metadata_.get("superseded") if isinstance(step.metadata_, dict) else None
    when = f", {_moment(step.start_time)}" if step.start_time is not None else ""
    yield f"## {_SPEAKERS[step.type]}{when}{' (replaced later)' if mark else ''}\n"
    value = step.output if not json_text.is_blank(step.output) else step.input
    content = value.get("content", value) if isinstance(value, dict) else value
    yield f"{json_text.as_text(content) or ''}\n"


def _call(step: Step) -> Iterator[str]:
    yield f"### {_line(step.type)}: {_line(step.name or 'unnamed')}{_measures(step)}\n"
    for what, value in (("Given", step.input), ("Answered", step.output)):
        if not json_text.is_blank(value):
            yield f"{what}:\n\n{fenced(value)}\n"


def _measures(step: Step) -> str:
    parts = [f"{step.token_count:,} tokens"] if step.token_count is not None else []
    if step.start_time is not None and step.end_time is not None:
        parts.append(f"{max(0, step.end_time - step.start_time) / 1_000_000:.1f} s")
    return f" ({', '.join(parts)})" if parts else ""


def fenced(value: Any) -> str:
    """Answer a value as a code block that nothing in it can end."""
    text = value.get("content") if isinstance(value, dict) and len(value) == 1 else value
    text = text if isinstance(text, str) else json_text.dumps(value)
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in _TICKS.findall(text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _moment(microseconds: int) -> str:
    return clock.to_datetime(microseconds).strftime("%Y-%m-%d %H:%M UTC")
