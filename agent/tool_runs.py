"""Runs the tool calls of one answer side by side: each with the consent it needs, each with an answer in the end."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from agent.approval import Approvals, Decision
from agent.channel import Channel, Stop, StoppedError
from agent.events import ApprovalAsked, ApprovalDecided, Message, ToolDelta, ToolFinished, ToolStarted, new_id, now
from agent.toolbox import Toolbox, ToolRequest, ToolResult

CANCELLED = "cancelled: the person stopped this turn before there was a result"
NEVER_BEGUN = "cancelled: the person stopped this turn before this began"
DENIED = "Not run: The person denied this call. Do not make it again unless they ask for it."
DENIED_BECAUSE = (
    "Not run: The person denied this call and said: “{reason}”. Do not make it again unless they ask for it."
)
NOBODY_TO_ASK = "Not run: This call needs the consent of a person. {reason}"
TIMED_OUT = "Not run: This call needs the consent of a person, and nobody gave it within {seconds:g} seconds."
EDITED = "[The person changed the arguments before this ran, to {arguments}]\n{content}"


@dataclass(frozen=True, slots=True)
class ToolRuns:
    """What the tool calls of one turn share; nothing in it changes but what is in the channel and what waits."""

    toolbox: Toolbox
    approvals: Approvals
    channel: Channel
    stop: Stop
    places: asyncio.Semaphore

    async def run(self, calls: Sequence[Message]) -> list[Message]:
        """Run the calls, as many at once as there are places; return their answers in the order of the calls."""
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(self._run_one(call)) for call in calls]
        return [tool.result() for tool in running]

    async def _run_one(self, call: Message) -> Message:
        """Run one call, and return the tool's message whatever comes of it. While it waits it takes no place."""
        step_id = new_id()
        request = self.toolbox.read(call["function"]["name"], call["function"]["arguments"])
        decision: Decision | None = None
        if request.approval_seconds is not None and not self.stop.asked:
            decision = await self._decision_on(step_id, call, request)
            if not decision.consents:
                result = ToolResult(_refusal(decision))
                return await self._finish(step_id, call, result, cancelled=decision.verdict == "stopped")
            request = decision.request
        async with self.places:
            if not self.stop.asked:
                return await self._run_now(
                    step_id, call, request, edited=bool(decision and decision.verdict == "edited")
                )
        if decision:  # the step was shown, so its end must be told
            return await self._finish(step_id, call, ToolResult(NEVER_BEGUN), cancelled=True)
        return _answer_to(call, NEVER_BEGUN)

    async def _run_now(self, step_id: str, call: Message, request: ToolRequest, *, edited: bool) -> Message:
        await self.channel.send(
            ToolStarted(step_id=step_id, tool_call_id=call["id"], name=request.name, arguments=request.arguments)
        )
        output = self.toolbox.output(lambda text: self.channel.say(ToolDelta(step_id=step_id, text=text)))
        begun, cancelled = time.monotonic(), False
        try:
            result = await self.stop.guard(self.toolbox.run(request, output))
        except StoppedError:
            result, cancelled = ToolResult(output.broken_off(CANCELLED)), True
        duration = time.monotonic() - begun
        if edited:
            arguments = json.dumps(request.arguments, ensure_ascii=False)
            result = ToolResult(EDITED.format(arguments=arguments, content=result.content), result.error)
        return await self._finish(step_id, call, result, duration, cancelled=cancelled)

    async def _finish(
        self, step_id: str, call: Message, result: ToolResult, duration: float = 0.0, *, cancelled: bool = False
    ) -> Message:
        """Tell that a call is over, and return the tool's message."""
        await self.channel.send(
            ToolFinished(
                step_id=step_id,
                tool_call_id=call["id"],
                name=call["function"]["name"],
                content=result.content,
                duration=duration,
                error=result.error,
                cancelled=cancelled,
            )
        )
        return _answer_to(call, result.content)

    async def _decision_on(self, step_id: str, call: Message, request: ToolRequest) -> Decision:
        """Wait until it is decided whether a call may run: by a person, by the clock, or by the end of the turn."""
        unasked = self.approvals.unasked
        if unasked:
            decision = Decision(unasked.verdict, request, unasked.by, unasked.reason)
        else:
            decision = await self._ask(step_id, call, request)
        await self.channel.send(
            ApprovalDecided(
                step_id=step_id,
                tool_call_id=call["id"],
                name=request.name,
                verdict=decision.verdict,
                by=decision.by,
                reason=decision.reason,
                arguments=decision.request.arguments,
                asked=request.arguments,
            )
        )
        return decision

    async def _ask(self, step_id: str, call: Message, request: ToolRequest) -> Decision:
        begun = now()
        until = begun + timedelta(seconds=request.approval_seconds or 0)
        # It can be decided before anybody is told of it, so that no decision comes too early.
        decided = self.approvals.ask(step_id, request, lambda written: self.toolbox.read(request.name, written))
        try:
            await self.channel.send(
                ApprovalAsked(
                    step_id=step_id,
                    tool_call_id=call["id"],
                    name=request.name,
                    arguments=request.arguments,
                    until=until,
                    at=begun,
                )
            )
            return await self.stop.guard(asyncio.wait_for(decided, (until - now()).total_seconds()))
        except StoppedError:
            return Decision("stopped", request)
        except TimeoutError:
            return Decision("timed_out", request)
        finally:
            decided.cancel()


def _refusal(decision: Decision) -> str:
    """Say to the model why a call did not run."""
    match decision.verdict:
        case "stopped":
            return NEVER_BEGUN
        case "timed_out":
            return TIMED_OUT.format(seconds=decision.request.approval_seconds)
    if not decision.by:
        return NOBODY_TO_ASK.format(reason=decision.reason)
    return DENIED_BECAUSE.format(reason=decision.reason) if decision.reason else DENIED


def _answer_to(call: Message, content: str) -> Message:
    return {"role": "tool", "tool_call_id": call["id"], "content": content}
