"""A thread as the messages of the OpenAI API: what users, assistant and tools said, cut turns left out."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from sqlalchemy import select

from literal_server import clock, json_text, payloads, tree
from literal_server.db import Database
from literal_server.exchange.export import Line, Selection, pages
from literal_server.tables import Participant, Step, Thread

_ROLES = {"user_message": "user", "assistant_message": "assistant", "system_message": "system"}
_THREADS_AT_ONCE = 50


async def export_messages(database: Database, selection: Selection) -> AsyncIterator[Line]:
    """Yield a line for each thread that has messages; one thread at a time is in memory."""
    async for session, found in pages(database, Thread, selection.threads(), _THREADS_AT_ONCE):
        for thread in found:
            here = (*selection.of(Step), Step.thread_id == thread.id)
            steps = (await session.scalars(select(Step).where(*here))).all()
            await payloads.fill(session, steps, limited=False)
            user = await session.get(Participant, (thread.project_id, thread.participant_id or ""))
            messages = messages_of([step for step, _ in tree.arrange(steps, {})])
            session.expunge_all()
            if messages:
                yield {
                    "messages": messages,
                    "thread_id": thread.id,
                    "name": thread.name,
                    "user": user.identifier if user is not None and user.deleted_at is None else None,
                    "created_at": clock.format_time(thread.created_at),
                }


def messages_of(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """Answer the conversation that these steps, in reading order, recorded.

    A run whose output holds its new messages as the model had them counts with these; what other programs recorded
    counts with its messages and tool calls.
    """
    told = _Told()
    covered: set[str] = set()
    for step in steps:
        if _is_superseded(step) or (step.parent_id and step.parent_id in covered):
            covered.add(step.id)
        elif step.type == "run" and _messages_in(step.output, "messages") is not None:
            covered.add(step.id)
            told.run(step)
        elif step.type in _ROLES:
            told.message(_ROLES[step.type], step.output)
        elif step.type == "tool":
            told.tool(step)
    return told.done()


class _Told:
    """The messages so far, and tool calls that wait for their neighbours to be told in one message."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._tools: list[Step] = []

    def run(self, step: Step) -> None:
        self._flush()
        history, question = _messages_in(step.input, "history"), _question(step.input)
        if history is not None:
            self._messages = [*history]
        elif question is not None and self._messages and self._messages[-1].get("role") == "user":
            self._messages.pop()  # the same question, as the chat showed it
        if question is not None:
            self._messages.append(question)
        self._messages += _messages_in(step.output, "messages") or []

    def message(self, role: str, output: Any) -> None:
        self._flush()
        self._messages.append({"role": role, "content": _content(output)})

    def tool(self, step: Step) -> None:
        self._tools.append(step)

    def done(self) -> list[dict[str, Any]]:
        self._flush()
        return self._messages

    def _flush(self) -> None:
        if not self._tools:
            return
        calls = [
            {
                "id": step.id,
                "type": "function",
                "function": {"name": step.name or "tool", "arguments": json_text.dumps(step.input or {})},
            }
            for step in self._tools
        ]
        self._messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        self._messages += [
            {"role": "tool", "tool_call_id": step.id, "content": step.error or _content(step.output)}
            for step in self._tools
        ]
        self._tools = []


def _is_superseded(step: Step) -> bool:
    return isinstance(step.metadata_, dict) and bool(step.metadata_.get("superseded"))


def _value(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _question(run_input: Any) -> dict[str, Any] | None:
    message, content = _value(run_input, "message"), _value(run_input, "content")
    if isinstance(message, dict):
        return message
    return {"role": "user", "content": content} if isinstance(content, str) else None


def _messages_in(value: Any, key: str) -> list[dict[str, Any]] | None:
    found = _value(value, key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else None


def _content(output: Any) -> str:
    content = output.get("content", output) if isinstance(output, dict) else output
    return json_text.as_text(content) or ""
