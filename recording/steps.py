"""Turns the events of a turn into Literal steps: one shape for chat and HTTP, for the screen and for the record.

    user_message                    the question
    └─ run                          input: the question; output: the turn's new messages as the model API has them
       ├─ llm                       one per model call, with its generation
       ├─ assistant_message         the text of that call, as the person saw it
       └─ tool                      one per tool call

A step is a dictionary in the keys of the Literal wire. A later one with the same id holds what changed.
"""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.conversation import Turn, TurnStarted
from agent.events import (
    ApprovalAsked,
    ApprovalDecided,
    Event,
    Message,
    ModelFinished,
    ModelStarted,
    TextDelta,
    ToolDelta,
    ToolFinished,
    ToolStarted,
    TurnFinished,
)

ASSISTANT = "Verbatim"
RUN_NAMES = {"chat": "on_message", "http": "process"}
Step = dict[str, Any]


def message_id(step_id: str) -> str:
    """Return the id of the assistant message that shows the text of step `step_id`, the same in chat and record."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"message of {step_id}"))


def text_of(message: Mapping[str, Any]) -> str:
    """Return the readable text of a chat message, whose content may be text, a list of parts, or nothing."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def iso(moment: datetime) -> str:
    """Return a moment as the Literal wire writes it: UTC with microseconds and a final Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class TurnSteps:
    """Makes the steps of one turn out of its events, in order."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._calls: dict[str, ModelStarted] = {}
        self._approvals: dict[str, dict[str, Any]] = {}
        self._talking: dict[str, tuple[datetime, list[str]]] = {}

    def of(self, event: Event | TurnStarted) -> list[Step]:
        """Return the steps that `event` opens, changes or closes; none for a piece of text."""
        match event:
            case TurnStarted():
                return self._turn_started(event)
            case ModelStarted():
                return [self._model_started(event)]
            case TextDelta():
                self._talking.setdefault(event.step_id, (datetime.now(UTC), []))[1].append(event.text)
                return []
            case ModelFinished():
                return self._model_finished(event)
            case ApprovalAsked():
                return [self._approval_asked(event)]
            case ApprovalDecided():
                return [self._approval_decided(event)]
            case ToolStarted():
                return [self._tool_started(event)]
            case ToolDelta():
                return []
            case ToolFinished():
                return [self._tool_finished(event)]
            case TurnFinished():
                return self._turn_finished(event)

    def being_said(self) -> list[Step]:
        """Return the answers that are still being given, with their text so far."""
        return [self._answer(step_id, "".join(said), since) for step_id, (since, said) in self._talking.items()]

    def _turn_started(self, event: TurnStarted) -> list[Step]:
        turn = self._turn
        asked = event.at - timedelta(microseconds=1)  # a question stands before its run, also where only times order
        question = message_step(
            turn.thread_id, turn.question_id, "user_message", turn.user, text_of(turn.question), asked
        )
        return [question | {"metadata": {"client": turn.client} | _origin(turn)}, self._run() | self._run_start(event)]

    def _run_start(self, event: TurnStarted) -> Step:
        question = self._turn.question
        asked: dict[str, Any] = {"content": text_of(question)}
        if not isinstance(question.get("content"), str) or set(question) != {"role", "content"}:
            asked["message"] = question
        if self._turn.rebased:
            asked["history"] = self._turn.history
        return {"startTime": iso(event.at), "input": asked, "metadata": {"client": self._turn.client}}

    def _model_started(self, event: ModelStarted) -> Step:
        self._calls[event.step_id] = event
        return self._child(event.step_id, "llm", event.model) | {
            "startTime": iso(event.at),
            "generation": _generation(event),
        }

    def _model_finished(self, event: ModelFinished) -> list[Step]:
        started = self._calls.pop(event.step_id)
        call = self._child(event.step_id, "llm", started.model) | {
            "startTime": iso(started.at),
            "endTime": iso(event.at),
            "output": dict(event.message),
            "error": event.error,
            "metadata": _without_none(finishReason=event.finish_reason, cancelled=event.cancelled or None),
            "generation": _generation(started) | _outcome(event),
        }
        if event.step_id not in self._talking:
            return [call]
        del self._talking[event.step_id]
        first = started.at + timedelta(seconds=event.time_to_first_token or 0)
        cut_short = {"metadata": {"cancelled": True}} if event.cancelled else {}
        return [call, self._answer(event.step_id, text_of(event.message), first, event.at) | cut_short]

    def _tool_started(self, event: ToolStarted) -> Step:
        return self._child(event.step_id, "tool", event.name) | {
            "startTime": iso(event.at),
            "input": _arguments(event.arguments),
            "metadata": self._tool_metadata(event.step_id, event.tool_call_id),
        }

    def _approval_asked(self, event: ApprovalAsked) -> Step:
        """The step waits: it has no start yet, so that waiting never counts as the tool's own time."""
        self._approvals[event.step_id] = {"decision": "waiting", "askedAt": iso(event.at), "until": iso(event.until)}
        return self._tool_waits(event)

    def _approval_decided(self, event: ApprovalDecided) -> Step:
        self._approvals[event.step_id] = _without_none(
            askedAt=self._approvals.get(event.step_id, {}).get("askedAt"),
            decision=event.verdict,
            by=event.by or None,
            at=iso(event.at),
            reason=event.reason or None,
            askedArguments=_arguments(event.asked) if event.verdict == "edited" else None,
        )
        return self._tool_waits(event)

    def _tool_waits(self, event: ApprovalAsked | ApprovalDecided) -> Step:
        return self._child(event.step_id, "tool", event.name) | {
            "input": _arguments(event.arguments),
            "metadata": self._tool_metadata(event.step_id, event.tool_call_id),
        }

    def _tool_finished(self, event: ToolFinished) -> Step:
        return self._child(event.step_id, "tool", event.name) | {
            "endTime": iso(event.at),
            "output": {"content": event.content},
            "error": event.error,
            "metadata": self._tool_metadata(event.step_id, event.tool_call_id)
            | _without_none(cancelled=event.cancelled or None),
        }

    def _tool_metadata(self, step_id: str, tool_call_id: str) -> dict[str, Any]:
        """Return all that is known of a call beside its input and output; a later report replaces an earlier one's."""
        return _without_none(toolCallId=tool_call_id, approval=self._approvals.get(step_id))

    def _turn_finished(self, event: TurnFinished) -> list[Step]:
        error = event.text if event.outcome == "failed" else None
        run = self._run() | {
            "endTime": iso(event.at),
            "output": {"content": event.text, "messages": list(event.messages)},
            "error": error,
            "metadata": {"client": self._turn.client, "outcome": event.outcome},
        }
        if not event.said_by_us:
            return [run]
        return [self._answer(event.step_id, event.text, event.at, event.at) | {"error": error}, run]

    def _run(self) -> Step:
        turn = self._turn
        return {
            "id": turn.run_id,
            "threadId": turn.thread_id,
            "parentId": turn.question_id,
            "type": "run",
            "name": RUN_NAMES[turn.client],
        }

    def _child(self, step_id: str, kind: str, name: str) -> Step:
        run = self._turn.run_id
        return {
            "id": step_id,
            "threadId": self._turn.thread_id,
            "parentId": run,
            "rootRunId": run,
            "type": kind,
            "name": name,
        }

    def _answer(self, step_id: str, text: str, start: datetime, end: datetime | None = None) -> Step:
        return self._child(message_id(step_id), "assistant_message", ASSISTANT) | {
            "startTime": iso(start),
            "endTime": iso(end) if end else None,
            "output": {"content": text},
        }


def message_step(thread_id: str, step_id: str, kind: str, name: str, text: str, at: datetime) -> Step:
    """Return a message that stands by itself in a thread."""
    return {
        "id": step_id,
        "threadId": thread_id,
        "type": kind,
        "name": name,
        "startTime": iso(at),
        "endTime": iso(at),
        "output": {"content": text},
    }


def _arguments(arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    return dict(arguments) if isinstance(arguments, Mapping) else {"arguments": arguments}


def _origin(turn: Turn) -> dict[str, str]:
    """Name the question whose place this turn's took: another one that was edited, or the same that was asked again."""
    if not turn.cut:
        return {}
    again = turn.cut[0].question == turn.question
    return {"regenerated_from" if again else "edited_from": turn.cut[0].question_id}


def _generation(call: ModelStarted) -> dict[str, Any]:
    return {
        "type": "CHAT",
        "provider": call.provider,
        "model": call.model,
        "settings": dict(call.settings),
        "messages": [dict(message) for message in call.messages],
        "tools": [dict(tool) for tool in call.tools] or None,
    }


def _outcome(event: ModelFinished) -> dict[str, Any]:
    """Return what a finished call adds to its generation: time to first token in ms, duration in s, tokens per s."""
    counted = event.usage
    first = event.time_to_first_token
    return _without_none(
        messageCompletion=_completion(event.message),
        inputTokenCount=counted.input_tokens if counted else None,
        outputTokenCount=counted.output_tokens if counted else None,
        tokenCount=counted.total_tokens if counted else None,
        ttFirstToken=None if first is None else first * 1000,
        duration=event.duration,
        tokenThroughputInSeconds=counted.output_tokens / event.duration if counted and event.duration > 0 else None,
        error=event.error,
    )


def _completion(message: Message) -> dict[str, Any]:
    return json.loads(json.dumps(message, ensure_ascii=False, default=str))  # type: ignore[no-any-return]


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
