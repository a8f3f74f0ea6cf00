"""A person's consent to single tool calls: asked for, waited for, decided once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agent.events import Verdict
from agent.json_text import whole_characters
from agent.toolbox import ToolRequest

MAX_REASON_CHARACTERS = 2_000
MAX_ARGUMENTS_CHARACTERS = 200_000
UNKNOWN = "This call does not wait for a decision: it is decided, has run out of time, or its answer was stopped."
TOO_LONG = "The arguments are longer than {limit:,} characters; please shorten them."


@dataclass(frozen=True, slots=True)
class Unasked:
    """What is decided where no person can be asked, by which setting, and why."""

    verdict: Literal["approved", "denied"]
    by: str = ""
    reason: str = ""


class RefusedDecisionError(Exception):
    """A decision cannot be taken; the message says why, to the person who made it. The call goes on as it was."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, by whom (empty: by nobody) and why; `request` is what may run, if it may."""

    verdict: Verdict
    request: ToolRequest
    by: str = ""
    reason: str = ""

    @property
    def consents(self) -> bool:
        """Whether the call may run."""
        return self.verdict in ("approved", "edited")


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: ToolRequest
    read: Callable[[str], ToolRequest]
    decided: "asyncio.Future[Decision]"


class Approvals:
    """The calls of one turn that wait for a person, by step. The first decision on each counts.

    With `unasked` no person is there to be asked, and this is decided on every call.
    """

    def __init__(self, unasked: Unasked | None = None) -> None:
        self.unasked = unasked
        self._waiting: dict[str, _Waiting] = {}

    def ask(self, step_id: str, request: ToolRequest, read: Callable[[str], ToolRequest]) -> "asyncio.Future[Decision]":
        """Let a call wait from now on; `read` checks arguments that a person writes instead of the model's."""
        waiting = _Waiting(request, read, asyncio.get_running_loop().create_future())
        self._waiting[step_id] = waiting
        waiting.decided.add_done_callback(lambda _: self._waiting.pop(step_id, None))
        return waiting.decided

    def approve(self, step_id: str, *, by: str, arguments: str | None = None) -> None:
        """Let a call run, as it was asked for or with other arguments, JSON text. Raises RefusedDecisionError."""
        waiting = self._find(step_id)
        if arguments is None:
            waiting.decided.set_result(Decision("approved", waiting.request, by))
            return
        if len(arguments) > MAX_ARGUMENTS_CHARACTERS:
            raise RefusedDecisionError(TOO_LONG.format(limit=MAX_ARGUMENTS_CHARACTERS))
        request = waiting.read(whole_characters(arguments))
        if request.problem:
            raise RefusedDecisionError(request.problem)
        same = request.arguments == waiting.request.arguments
        waiting.decided.set_result(Decision("approved" if same else "edited", request, by))

    def deny(self, step_id: str, *, by: str, reason: str = "") -> None:
        """See that a call does not run. Raises RefusedDecisionError when it does not wait (any more)."""
        waiting = self._find(step_id)
        reason = whole_characters(reason.strip())[:MAX_REASON_CHARACTERS]
        waiting.decided.set_result(Decision("denied", waiting.request, by, reason))

    def _find(self, step_id: str) -> _Waiting:
        waiting = self._waiting.get(step_id)
        if waiting is None or waiting.decided.done():
            raise RefusedDecisionError(UNKNOWN)
        return waiting
