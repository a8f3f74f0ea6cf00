"""Reads turns to their ends, and checks what must hold for every one of them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from agent.events import (
    ApprovalAsked,
    ApprovalDecided,
    Event,
    Message,
    ModelFinished,
    ModelStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
)
from agent.loop import run_turn
from agent.model import ChatModel
from agent.offline import Script, offline_model
from agent.offline_replies import check_history
from agent.toolbox import Tool, Toolbox

Kind = TypeVar("Kind")
QUESTION: list[Message] = [{"role": "user", "content": "What's the weather in Paris and Tokyo?"}]
NO_TOOLS = Toolbox([])


def scripted(*script: Any, endless: Script = (), max_retries: int = 0, timeout_seconds: float = 5.0) -> ChatModel:
    """Return a model that gives these replies at once, one a request."""
    return offline_model(
        [*script] or endless,
        first_token_delay=0,
        token_delay=0,
        max_retries=max_retries,
        timeout_seconds=timeout_seconds,
    )


def toolbox_of(*functions: Callable[..., Any], timeout_seconds: float = 5.0) -> Toolbox:
    return Toolbox([Tool.from_function(function, timeout_seconds=timeout_seconds) for function in functions])


async def play(
    model: ChatModel,
    toolbox: Toolbox = NO_TOOLS,
    messages: Sequence[Message] = QUESTION,
    *,
    stop_after: int | None = None,
    **options: Any,
) -> list[Event]:
    """Return all events of a turn, having checked them; with `stop_after` it is stopped after so many events."""
    stop = asyncio.Event()
    if stop_after == 0:
        stop.set()
    events: list[Event] = []
    async for event in run_turn(model, toolbox, messages, stop=stop, **options):
        events.append(event)
        if len(events) == stop_after:
            stop.set()
    check(events, messages)
    return events


def check(events: Sequence[Event], messages: Sequence[Message]) -> None:
    """Fail unless the turn ended once and last, everything begun has ended, and the history is valid."""
    last = events[-1]
    assert isinstance(last, TurnFinished)
    assert [event for event in events if isinstance(event, TurnFinished)] == [last]
    models = [event.step_id for event in of(events, ModelStarted)]
    decided = {event.step_id for event in of(events, ApprovalDecided)}
    assert {event.step_id for event in of(events, ApprovalAsked)} <= decided
    tools = sorted(decided | {event.step_id for event in of(events, ToolStarted)})
    assert models == [event.step_id for event in of(events, ModelFinished)]
    assert tools == sorted(event.step_id for event in of(events, ToolFinished))
    assert len({*models, *tools}) == len(models) + len(tools)
    assert check_history([*messages, *last.messages]) is None
    assert last.text


def of(events: Sequence[Event], kind: type[Kind]) -> list[Kind]:
    return [event for event in events if isinstance(event, kind)]


def end_of(events: Sequence[Event]) -> TurnFinished:
    last = events[-1]
    assert isinstance(last, TurnFinished)
    return last


def tasks() -> set[asyncio.Task[Any]]:
    """Return all tasks but those that the test runner has of its own."""
    return {task for task in asyncio.all_tasks() if "TestRunner" not in repr(task.get_coro())}
