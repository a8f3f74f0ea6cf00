"""The typed events that one turn of the agent is made of; every face of the app listens to the same stream.

Times are timezone-aware UTC, durations are seconds. A `step_id` is a fresh UUID made by the loop: providers
number their tool calls as they like, and two turns may well both hold a `call_0`.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from agent.errors import AgentError

Message = dict[str, Any]
"""One message as the Chat Completions API has it: `role`, `content`, and `tool_calls` or `tool_call_id`."""

Outcome = Literal["answered", "limit", "failed", "cancelled"]
Verdict = Literal["approved", "edited", "denied", "timed_out", "stopped"]
"""What became of the wish to run a tool: it runs as asked for, with other arguments, or not at all."""


def now() -> datetime:
    """Return the present moment in UTC, the only clock reading that events carry."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return a fresh random UUID as text."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that one model call cost, as its endpoint counted them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStarted:
    """A model call begins: exactly what is sent (`messages`, `tools`, `settings`) and to whom."""

    step_id: str
    model: str
    provider: str
    settings: Mapping[str, Any]
    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]]
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """A piece of text of the model call `step_id`, in order."""

    step_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFinished:
    """A model call is over; `message` is what it said, in part when it was cut short (then `error` says why)."""

    step_id: str
    message: Message
    usage: Usage | None
    finish_reason: str | None
    time_to_first_token: float | None
    duration: float
    error: str | None = None
    cancelled: bool = False
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked:
    """A tool call waits for a person's consent, at the longest `until`; it does not run before that is given."""

    step_id: str
    tool_call_id: str
    name: str
    arguments: Mapping[str, Any] | str
    until: datetime
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDecided:
    """It is decided on a tool call: `by` whom, and for what `reason`, are empty where nobody decided or said why.

    `arguments` is what the call may run with, `asked` what the model had asked for; they differ when it was `edited`.
    """

    step_id: str
    tool_call_id: str
    name: str
    verdict: Verdict
    by: str
    reason: str
    arguments: Mapping[str, Any] | str
    asked: Mapping[str, Any] | str
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted:
    """A tool begins to work; `arguments` is the parsed object, or the raw text where it could not be parsed."""

    step_id: str
    tool_call_id: str
    name: str
    arguments: Mapping[str, Any] | str
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDelta:
    """A piece of the result of tool call `step_id`, in order, from a tool that gives its result in pieces."""

    step_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished:
    """A tool call is over; `content` is the text the model gets, `error` the same failure in words for a person.

    One that a person did not consent to has never started: its `duration` is 0.
    """

    step_id: str
    tool_call_id: str
    name: str
    content: str
    duration: float
    error: str | None = None
    cancelled: bool = False
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFinished:
    """The last event of every turn.

    `messages` are the turn's new messages, without the question, and always a history that the API accepts.
    `text` is what the person is told at the end: the answer, or our own sentence when there is none.
    `said_by_us` tells that `text` is such a sentence, so that no `TextDelta` has shown it yet.
    """

    step_id: str
    outcome: Outcome
    messages: Sequence[Message]
    text: str
    said_by_us: bool = False
    error: AgentError | None = None
    at: datetime = field(default_factory=now)


Event = (
    ModelStarted
    | TextDelta
    | ModelFinished
    | ApprovalAsked
    | ApprovalDecided
    | ToolStarted
    | ToolDelta
    | ToolFinished
    | TurnFinished
)
