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

    def settle(self, decision: Decision) -> str | None:
        """Take the decision if it is the first."""
        if self.decided.done():
            return UNKNOWN
        self.decided.set_result(decision)
        return None


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

    def approve(self, step_id: str, *, by: str, arguments: str | None = None) -> str | None:
        """Let a call run, as it was asked for or with other arguments, JSON text.

        Return why that cannot be, to the person who decided: the call then goes on as it was. None when it was taken.
        """
        waiting = self._waiting.get(step_id)
        if waiting is None:
            return UNKNOWN
        if arguments is None:
            return waiting.settle(Decision("approved", waiting.request, by))
        if len(arguments) > MAX_ARGUMENTS_CHARACTERS:
            return TOO_LONG.format(limit=MAX_ARGUMENTS_CHARACTERS)
        request = waiting.read(whole_characters(arguments))
        if request.problem:
            return request.problem
        same = request.arguments == waiting.request.arguments
        return waiting.settle(Decision("approved" if same else "edited", request, by))

    def deny(self, step_id: str, *, by: str, reason: str = "") -> str | None:
        """See that a call does not run. Return why that cannot be decided (any more), None when it was taken."""
        waiting = self._waiting.get(step_id)
        if waiting is None:
            return UNKNOWN
        reason = whole_characters(reason.strip())[:MAX_REASON_CHARACTERS]
        return waiting.settle(Decision("denied", waiting.request, by, reason))
