"""One turn of the agent as an async stream of typed events: ask the model, run the tools it calls, until it answers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from agent.approval import Approvals
from agent.channel import Channel, Stop, StoppedError, end
from agent.errors import AgentError, InternalError
from agent.events import (
    Event,
    Message,
    ModelFinished,
    ModelStarted,
    Outcome,
    TextDelta,
    TurnFinished,
    new_id,
)
from agent.model import ChatModel, ModelCall, ToolChoice, for_history
from agent.tool_runs import ToolRuns
from agent.toolbox import Toolbox

logger = logging.getLogger(__name__)

AT_THE_LIMIT = (
    "I stopped here: this question needed more steps than I may take (AGENT_MAX_ITERATIONS). "
    "Ask for a smaller part of it, or ask me to go on."
)
NOTHING_SAID = "The model gave an empty answer. Please ask again, perhaps in other words."
CUT_SHORT = "The model reached its limit of tokens before it said anything. Please ask for something shorter."
FILTERED = "The model server's content filter held the answer back. Please ask in other words."
STOPPED = "Stopped."
BROKEN = "An internal error of this app ended the turn; its log says more. Please ask again."


@dataclass(frozen=True, slots=True)
class _Turn:
    """What the steps of one turn share; nothing in it changes but what is in the channel."""

    model: ChatModel
    tools: ToolRuns
    channel: Channel
    stop: Stop


async def run_turn(
    model: ChatModel,
    toolbox: Toolbox,
    messages: Sequence[Message],
    *,
    max_iterations: int = 5,
    max_parallel_tools: int = 8,
    approvals: Approvals | None = None,
    stop: asyncio.Event | None = None,
) -> AsyncIterator[Event]:
    """Answer the last message of `messages`, the whole history, which is left as it is.

    The last event is always a TurnFinished; failures are events too, never exceptions. Except for pieces of text, the
    turn goes on only when the reader asks for the event after. Calls that need consent wait for it in `approvals`.
    `stop` ends the turn in order, with all the events that are still due; a reader that goes away (closes this
    generator, or is cancelled) ends it at once.
    """
    channel, wish = Channel(), Stop(stop)
    places = asyncio.Semaphore(max_parallel_tools)
    turn = _Turn(model, ToolRuns(toolbox, approvals or Approvals(), channel, wish, places), channel, wish)
    work = asyncio.create_task(_work(turn, messages, max_iterations))
    work.add_done_callback(lambda _: channel.close())
    try:
        while event := await channel.receive():
            yield event
        yield work.result()
    finally:
        await end(work)


async def _work(turn: _Turn, messages: Sequence[Message], max_iterations: int) -> TurnFinished:
    """Run the turn to its end, whichever it is. `said` grows by what is complete, so it is a valid history always."""
    said: list[Message] = []
    try:
        return await _answer(turn, messages, said, max_iterations)
    except StoppedError:
        return _cancelled(said)
    except AgentError as error:
        return _finish("failed", said, error.message, error)
    except Exception:  # a bug of ours must end as a sentence, never as silence
        logger.exception("A turn ended by a bug")
        return _finish("failed", said, BROKEN, InternalError(BROKEN))


async def _answer(turn: _Turn, messages: Sequence[Message], said: list[Message], max_iterations: int) -> TurnFinished:
    """The loop itself. The last call that the limit allows is made without tools, so that a person gets an answer."""
    for remaining in reversed(range(max_iterations)):
        call = await _ask(turn, [*messages, *said], "auto" if remaining else "none", said)
        answer = call.message
        if "tool_calls" not in answer:
            return _answered(said, answer, call.finish_reason)
        if not remaining:
            said.append(_assistant(answer["content"], AT_THE_LIMIT))
            break
        said += [for_history(answer), *await turn.tools.run(answer["tool_calls"])]
    return _finish("limit", said, AT_THE_LIMIT)


async def _ask(turn: _Turn, messages: list[Message], choice: ToolChoice, said: list[Message]) -> ModelCall:
    """Make one model call. If it ends early, its text is kept in `said` and the reason is raised."""
    if turn.stop.asked:
        raise StoppedError
    step_id, model = new_id(), turn.model
    call = model.call(messages, turn.tools.toolbox.schemas(), choice)
    reason: AgentError | StoppedError | None = None
    await turn.channel.send(
        ModelStarted(
            step_id=step_id,
            model=model.name,
            provider=model.provider,
            settings=call.settings,
            messages=call.messages,
            tools=call.tools,
        )
    )
    try:
        await turn.stop.guard(call.read(lambda text: turn.channel.say(TextDelta(step_id=step_id, text=text))))
    except (AgentError, StoppedError) as early:
        reason = early
    finished = ModelFinished(
        step_id=step_id,
        message=call.message,
        usage=call.usage,
        finish_reason=call.finish_reason,
        time_to_first_token=call.time_to_first_token,
        duration=call.duration,
        error=reason.message if isinstance(reason, AgentError) else None,
        cancelled=isinstance(reason, StoppedError),
    )
    await turn.channel.send(finished)
    if reason:
        if finished.message["content"]:
            said.append(_assistant(finished.message["content"]))
        raise reason
    return call


def _answered(said: list[Message], answer: Message, finish_reason: str | None) -> TurnFinished:
    """End a turn with the model's answer, or with a sentence of ours where the model said nothing."""
    if answer["content"].strip():
        text = answer["content"]
        return TurnFinished(step_id=new_id(), outcome="answered", messages=[*said, answer], text=text)
    sentence = {"length": CUT_SHORT, "content_filter": FILTERED}.get(finish_reason or "", NOTHING_SAID)
    return _finish("answered", [*said, _assistant(sentence)], sentence)


def _cancelled(said: list[Message]) -> TurnFinished:
    """End a stopped turn: with the part of an answer that was given, if there is one."""
    if said and said[-1]["role"] == "assistant":
        return TurnFinished(step_id=new_id(), outcome="cancelled", messages=said, text=said[-1]["content"])
    return _finish("cancelled", said, STOPPED)


def _finish(outcome: Outcome, said: list[Message], sentence: str, error: AgentError | None = None) -> TurnFinished:
    """End a turn with a sentence of ours."""
    return TurnFinished(step_id=new_id(), outcome=outcome, messages=said, text=sentence, said_by_us=True, error=error)


def _assistant(*paragraphs: str | None) -> Message:
    return {"role": "assistant", "content": "\n\n".join(filter(None, paragraphs))}
