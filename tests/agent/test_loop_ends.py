"""How a turn ends early: model failures, being stopped, and a reader that goes away."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent.errors import (
    AccessDeniedError,
    AgentError,
    ContextTooLongError,
    KeyRefusedError,
    ModelTimeoutError,
    NoConnectionError,
    QuotaSpentError,
    RateLimitedError,
    RequestRefusedError,
    ServerFailedError,
    StreamCutError,
    UnknownModelError,
    UnreadableAnswerError,
)
from agent.events import Event, ModelFinished, TextDelta, ToolDelta, ToolFinished, ToolStarted
from agent.loop import STOPPED, run_turn
from agent.offline_replies import (
    TOO_LONG,
    WRONG_KEY,
    Answer,
    Call,
    NoConnection,
    Page,
    Refusal,
    Silence,
    rate_limit,
)
from agent.tool_runs import CANCELLED, NEVER_BEGUN
from tests.agent.turns import QUESTION, check, end_of, of, play, scripted, tasks, toolbox_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]


async def for_ever(number: int) -> int:
    """Wait for ever."""
    await asyncio.Event().wait()
    return number


@pytest.mark.parametrize(
    ("reply", "kind", "status", "words"),
    [
        (WRONG_KEY, KeyRefusedError, 502, "OPENAI_API_KEY"),
        (Refusal(403, "No."), AccessDeniedError, 502, "OPENAI_MODEL"),
        (Refusal(404, "The model does not exist.", "model_not_found"), UnknownModelError, 502, "OPENAI_MODEL"),
        (rate_limit(), RateLimitedError, 429, "slow down"),
        (Refusal(429, "Quota.", "insufficient_quota"), QuotaSpentError, 502, "quota"),
        (TOO_LONG, ContextTooLongError, 413, "OPENAI_MODEL"),
        (Refusal(400, "the request exceeds the available context size"), ContextTooLongError, 413, "start a new one"),
        (Refusal(400, "Tools are not supported."), RequestRefusedError, 422, "Tools are not supported"),
        (Refusal(500, "The server had an error."), ServerFailedError, 502, "HTTP 500"),
        (Page(), ServerFailedError, 502, "OPENAI_BASE_URL"),
        (Page(200), UnreadableAnswerError, 502, "OPENAI_BASE_URL"),
        (Silence(), ModelTimeoutError, 504, "MODEL_TIMEOUT_SECONDS"),
        (NoConnection(), NoConnectionError, 502, "OPENAI_BASE_URL"),
        (Answer("It is sunny in", cut_after=3), StreamCutError, 502, "in the middle"),
        (Answer("It is sunny in", unfinished=True), StreamCutError, 502, "in the middle"),
    ],
)
async def test_a_model_failure_is_one_clear_sentence(
    reply: Any, kind: type[AgentError], status: int, words: str
) -> None:
    """The turn ends as failed, and its sentence names the cause and the setting; no key and no markup is in it."""
    events = await play(scripted(reply, timeout_seconds=0.05))

    end = end_of(events)
    assert (end.outcome, end.said_by_us) == ("failed", True)
    assert type(end.error) is kind
    assert (end.error.status, end.error.message) == (status, end.text)
    assert words in end.text
    assert "<" not in end.text
    assert of(events, ModelFinished)[0].error == end.text


async def test_the_text_before_a_cut_is_kept() -> None:
    """What was streamed before the connection broke stands in the event and in the history."""
    events = await play(scripted(Answer("It is sunny in Paris.", cut_after=3)))

    streamed = "".join(delta.text for delta in of(events, TextDelta))
    assert streamed == "It is"
    assert of(events, ModelFinished)[0].message["content"] == streamed
    assert end_of(events).messages == [{"role": "assistant", "content": streamed}]


async def test_a_call_cut_in_the_middle_is_not_run() -> None:
    """Of an answer that broke off within a tool call the event keeps all there is, the history nothing to answer."""
    cut = Answer("Let me", calls=[Call("for_ever", {"number": 1234567})], cut_after=4)
    events = await play(scripted(cut), toolbox_of(for_ever))

    assert of(events, ToolStarted) == []
    assert "tool_calls" in of(events, ModelFinished)[0].message
    assert end_of(events).messages == [{"role": "assistant", "content": "Let me"}]


async def test_a_failure_after_a_tool_keeps_what_was_done() -> None:
    """When the second model call fails, the first one and its tool's answer stay in the history."""

    def double(number: int) -> int:
        """Double."""
        return number * 2

    events = await play(scripted(Answer(calls=[Call("double", {"number": 2})]), WRONG_KEY), toolbox_of(double))

    assert end_of(events).outcome == "failed"
    assert [message["role"] for message in end_of(events).messages] == ["assistant", "tool"]


async def test_a_rate_limit_that_passes_is_not_noticed() -> None:
    """The client tries again by itself; the turn is answered as if nothing had been."""
    events = await play(scripted(rate_limit(), rate_limit(), Answer("Here I am."), max_retries=2))

    assert end_of(events).text == "Here I am."
    assert len(of(events, ModelFinished)) == 1


SLOW_TEXT = Answer("This is a long answer that comes slowly.", token_delay=0.002)
THREE_CALLS = Answer("Let me see.", calls=[Call("for_ever", {"number": number}) for number in (1, 2, 3)])


@pytest.mark.parametrize(
    ("first", "events_before"),
    [*((SLOW_TEXT, number) for number in range(14)), *((THREE_CALLS, number) for number in range(8))],
)
async def test_stopped_anywhere_the_turn_ends_in_order(first: Answer, events_before: int) -> None:
    """Whenever it is stopped, all that began is closed, the history is valid, and the outcome says so."""
    events = await play(
        scripted(first, Answer("Done.")), toolbox_of(for_ever), stop_after=events_before, max_parallel_tools=2
    )

    assert end_of(events).outcome in (("cancelled",) if events_before < 9 else ("cancelled", "answered"))


async def test_stopped_before_it_began_a_turn_asks_nobody() -> None:
    """A turn that is stopped already sends nothing and says that it was stopped."""
    [end] = await play(scripted(WRONG_KEY), stop_after=0)

    assert end_of([end]).text == STOPPED


async def test_stopped_in_the_middle_of_text_keeps_it() -> None:
    """The text so far is the answer and stands in the history."""
    events = await play(scripted(SLOW_TEXT), stop_after=5)

    streamed = "".join(delta.text for delta in of(events, TextDelta))
    assert of(events, ModelFinished)[0].cancelled
    assert of(events, ModelFinished)[0].error is None
    assert end_of(events).text == streamed != ""
    assert end_of(events).messages == [{"role": "assistant", "content": streamed}]


async def test_stopped_a_tool_keeps_the_pieces_it_gave() -> None:
    """What a tool had said when the turn was stopped is in its event and in the history, and was heard live."""
    stop = asyncio.Event()

    async def talk() -> AsyncIterator[str]:
        """Talk."""
        yield "so "
        yield "far"
        stop.set()
        await asyncio.Event().wait()

    events = []
    async for event in run_turn(scripted(Answer(calls=[Call("talk", {})])), toolbox_of(talk), QUESTION, stop=stop):
        events.append(event)

    check(events, QUESTION)
    [finished] = of(events, ToolFinished)
    assert finished.cancelled
    assert finished.content == f"{CANCELLED}\nIts output until then:\nso far"
    assert [delta.text for delta in of(events, ToolDelta)] == ["so ", "far"]
    assert end_of(events).messages[1]["content"] == finished.content


async def test_stopped_while_tools_run_every_call_is_answered() -> None:
    """The two that run are cancelled, the third one never begins, and each of the three calls has its message."""
    stop = asyncio.Event()
    events: list[Event] = []
    async for event in run_turn(scripted(THREE_CALLS), toolbox_of(for_ever), QUESTION, max_parallel_tools=2, stop=stop):
        events.append(event)
        if len(of(events, ToolStarted)) == 2:
            asyncio.get_running_loop().call_later(0.01, stop.set)

    assert [event.cancelled for event in of(events, ToolFinished)] == [True, True]
    _, *answers = end_of(events).messages
    assert [answer["content"] for answer in answers] == [CANCELLED, CANCELLED, NEVER_BEGUN]


@pytest.mark.parametrize("events_before", range(1, 7))
@pytest.mark.parametrize("first", [SLOW_TEXT, THREE_CALLS], ids=["text", "tools"])
async def test_a_reader_that_goes_away_ends_everything(first: Answer, events_before: int) -> None:
    """However far the reader came before it closed the stream, no task goes on."""
    before = tasks()
    turn = run_turn(scripted(first), toolbox_of(for_ever), QUESTION)
    for _ in range(events_before):
        await anext(turn)
    await turn.aclose()  # type: ignore[attr-defined]

    assert tasks() == before


@pytest.mark.parametrize("turns_of_the_loop", [*range(1, 40, 3), 100, 300])
async def test_a_cancelled_reader_ends_everything(turns_of_the_loop: int) -> None:
    """Wherever the reader's own task is cancelled, it ends as cancelled and no task goes on."""
    before = tasks()
    model = scripted(endless=itertools.repeat(THREE_CALLS))
    reader = asyncio.create_task(play(model, toolbox_of(for_ever)))
    for _ in range(turns_of_the_loop):
        await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    for _ in range(3):
        await asyncio.sleep(0)

    assert tasks() == before


async def test_a_tool_that_ignores_its_cancellation_does_not_hold_the_turn(caplog: pytest.LogCaptureFixture) -> None:
    """It is left to itself after a while, and the log says so."""
    release = asyncio.Event()

    async def stubborn() -> str:
        """Never give up."""
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    model = scripted(Answer(calls=[Call("stubborn", {})]), Answer("Done."))
    events = await play(model, toolbox_of(stubborn, timeout_seconds=0.01))
    release.set()
    await asyncio.sleep(0)

    assert "gave no result within 0.01 seconds" in of(events, ToolFinished)[0].content
    assert end_of(events).text == "Done."
    assert "goes on although it was cancelled" in caplog.text
