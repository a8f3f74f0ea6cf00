"""One turn: what it does in order, side by side, at its limit and when things go wrong."""

import asyncio
import copy
import itertools
from typing import Any

import pytest

from agent.errors import AgentError, InternalError
from agent.events import Event, ModelFinished, ModelStarted, TextDelta, ToolFinished, ToolStarted
from agent.loop import AT_THE_LIMIT, NOTHING_SAID, run_turn
from agent.offline import offline_model
from agent.offline_replies import Answer, Call, Conversation, endless_calls
from agent.toolbox import Toolbox, ToolRequest
from tests.agent.turns import QUESTION, check, end_of, of, play, scripted, tasks, toolbox_of
from tools import ToolSettings, build_tools

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]
SAMPLE = ToolSettings(weather_sample=True)


def double(number: int) -> int:
    """Double a number."""
    return number * 2


def kinds(events: list[Event]) -> list[str]:
    """Return the names of the events, pieces of text taken together."""
    return [name for name, _ in itertools.groupby(type(event).__name__ for event in events)]


async def test_an_answer_is_streamed() -> None:
    """A plain answer comes in pieces, with its usage, and is the turn's one new message."""
    events = await play(scripted(Answer("It is sunny today, and it will stay so.")))

    assert kinds(events) == ["ModelStarted", "TextDelta", "ModelFinished", "TurnFinished"]
    text = "".join(delta.text for delta in of(events, TextDelta))
    assert text == "It is sunny today, and it will stay so." == end_of(events).text
    assert len(of(events, TextDelta)) > 3
    assert end_of(events).messages == [{"role": "assistant", "content": text}]
    assert end_of(events).outcome == "answered"
    assert not end_of(events).said_by_us
    [finished] = of(events, ModelFinished)
    assert finished.usage is not None
    assert finished.usage.total_tokens == finished.usage.input_tokens + finished.usage.output_tokens
    assert finished.finish_reason == "stop"
    assert finished.time_to_first_token is not None
    assert 0 <= finished.time_to_first_token <= finished.duration


async def test_the_first_event_says_exactly_what_is_sent() -> None:
    """ModelStarted holds the model, the provider, the settings, the messages and the tools of the request."""
    seen: list[Conversation] = []

    def answer(conversation: Conversation) -> Answer:
        seen.append(conversation)
        return Answer("Yes.")

    [started, *_] = await play(scripted(answer), toolbox_of(double))

    assert isinstance(started, ModelStarted)
    assert (started.model, started.provider) == ("verbatim-offline", "offline")
    assert started.messages == seen[0].messages == QUESTION
    assert {tool["function"]["name"]: tool["function"] for tool in started.tools} == seen[0].tools
    assert started.settings["tool_choice"] == seen[0].tool_choice == "auto"


async def test_two_calls_run_side_by_side_and_are_answered_in_order() -> None:
    """Both tools are at work at once, the later one ends first, and the tool messages keep the order of the calls."""
    second_is_done = asyncio.Event()

    async def work(place: str) -> str:
        """Work."""
        if place == "first":
            await second_is_done.wait()
        else:
            second_is_done.set()
        return f"{place} done"

    calls = [Call("work", {"place": "first"}, "a"), Call("work", {"place": "second"}, "b")]
    events = await play(scripted(Answer("Let me see.", calls=calls), Answer("Done.")), toolbox_of(work))

    assert kinds(events)[2:5] == ["ModelFinished", "ToolStarted", "ToolFinished"]
    assert [event.tool_call_id for event in of(events, ToolFinished)] == ["b", "a"]
    assert [event.arguments for event in of(events, ToolStarted)] == [{"place": "first"}, {"place": "second"}]
    asked, first, second, answer = end_of(events).messages
    assert asked["content"] == "Let me see."
    assert (first["tool_call_id"], first["content"]) == ("a", "first done")
    assert (second["tool_call_id"], second["content"]) == ("b", "second done")
    assert answer == {"role": "assistant", "content": "Done."}


async def test_only_so_many_tools_run_at_once() -> None:
    """A tool starts, and says so, only when there is a place for it."""
    running = most = 0

    async def work(number: int) -> int:
        """Work."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return number

    model = scripted(Answer(calls=[Call("work", {"number": number}) for number in range(9)]), Answer("Done."))
    events = await play(model, toolbox_of(work), max_parallel_tools=2)

    assert most == 2
    assert [message["content"] for message in end_of(events).messages[1:10]] == [str(number) for number in range(9)]
    open_now = 0
    for event in events:
        open_now += isinstance(event, ToolStarted) - isinstance(event, ToolFinished)
        assert open_now <= 2


async def test_nothing_goes_on_before_the_reader_asks_for_it() -> None:
    """While a reader still deals with ToolStarted, the tool has not begun."""
    began: list[int] = []

    async def work(number: int) -> int:
        """Work."""
        began.append(number)
        return number

    model = scripted(Answer(calls=[Call("work", {"number": 1})]), Answer("Done."))
    events: list[Event] = []
    async for event in run_turn(model, toolbox_of(work), QUESTION):
        events.append(event)
        if isinstance(event, ToolStarted):
            for _ in range(20):
                await asyncio.sleep(0)
            assert began == []
    assert began == [1]
    check(events, QUESTION)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (Call("treble", {"number": 1}), "There is no tool 'treble'. The tools are: double."),
        (Call("no such tool!", "{}"), "There is no tool 'no such tool!'. The tools are: double."),
        (Call("double", '{"number": '), "are not a JSON object"),
        (Call("double", {"number": "one"}), "number: Input should be a valid integer"),
        (Call("double", {"number": 1, "more": 2}), "more: Extra inputs are not permitted"),
        (Call("double", {}), "number: Field required"),
    ],
)
async def test_a_wrong_call_is_an_error_that_the_model_can_act_on(call: Call, complaint: str) -> None:
    """The model hears what was wrong, the tool event is failed, and the turn goes on to a good end."""
    right = Call("double", {"number": 21})
    events = await play(scripted(Answer(calls=[call]), Answer(calls=[right]), Answer("42")), toolbox_of(double))

    wrong_end, right_end = of(events, ToolFinished)
    assert wrong_end.error is not None
    assert complaint in wrong_end.error
    assert wrong_end.content == f"Error: {wrong_end.error}"
    assert (right_end.content, right_end.error) == ("42", None)
    assert end_of(events).outcome == "answered"


async def test_the_last_call_of_a_turn_is_made_without_tools() -> None:
    """A model that would call tools for ever is told not to at the limit, and then answers."""
    choices: list[str] = []

    def answer(conversation: Conversation) -> Answer:
        choices.append(conversation.tool_choice)
        return endless_calls(conversation)

    events = await play(scripted(endless=itertools.repeat(answer)), toolbox_of(double), max_iterations=3)

    assert choices == ["auto", "auto", "none"]
    assert end_of(events).outcome == "answered"
    assert len(of(events, ToolFinished)) == 2


async def test_a_model_that_calls_tools_all_the_same_is_stopped_with_our_sentence() -> None:
    """Calls against tool_choice none are not run, not left open in the history, and a person hears why it ended."""
    stubborn = Answer("Once more.", calls=[Call("double", {"number": 1})])
    events = await play(scripted(endless=itertools.repeat(stubborn)), toolbox_of(double), max_iterations=2)

    end = end_of(events)
    assert (end.outcome, end.text, end.said_by_us) == ("limit", AT_THE_LIMIT, True)
    assert end.messages[-1] == {"role": "assistant", "content": f"Once more.\n\n{AT_THE_LIMIT}"}
    assert len(of(events, ToolStarted)) == 1
    assert "tool_calls" in of(events, ModelFinished)[-1].message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(""), NOTHING_SAID),
        (Answer(" \n"), NOTHING_SAID),
        (Answer("", finish_reason="length"), "limit of tokens"),
        (Answer("", finish_reason="content_filter"), "content filter"),
    ],
)
async def test_an_empty_answer_is_not_silence(answer: Answer, words: str) -> None:
    """Where the model says nothing, a sentence of ours is the answer."""
    end = end_of(await play(scripted(answer)))

    assert words in end.text
    assert end.said_by_us
    assert end.messages == [{"role": "assistant", "content": end.text}]


async def test_the_history_given_is_left_as_it_is() -> None:
    """A turn changes neither the list nor the messages that it was given."""
    messages = [{"role": "system", "content": "Be brief."}, *QUESTION]
    before = copy.deepcopy(messages)

    await play(offline_model(first_token_delay=0, token_delay=0), Toolbox(build_tools(SAMPLE)), messages)

    assert messages == before


async def test_what_a_server_could_not_take_back_is_mended_in_the_history_only() -> None:
    """The event keeps the model's own words; the history gets a name and arguments that any server can read."""
    events = await play(
        scripted(Answer(calls=[Call("what is this?", '{"a": NaN')]), Answer("Well.")), toolbox_of(double)
    )

    [said] = of(events, ModelFinished)[0].message["tool_calls"]
    [kept] = end_of(events).messages[0]["tool_calls"]
    assert said["function"] == {"name": "what is this?", "arguments": '{"a": NaN'}
    assert kept["function"] == {"name": "what_is_this_", "arguments": "{}"}


async def test_a_bug_of_ours_ends_as_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """An exception in our own code ends the turn as failed, with a valid history, and the log has the traceback."""

    class BrokenToolbox(Toolbox):
        def read(self, name: str, raw_arguments: str) -> ToolRequest:
            raise KeyError("secret detail")

    model = scripted(Answer(calls=[Call("double", {"number": 1}), Call("double", {"number": 2})]))
    events: list[Event] = [event async for event in run_turn(model, BrokenToolbox([]), QUESTION)]

    end = end_of(events)
    assert (end.outcome, type(end.error), list(end.messages)) == ("failed", InternalError, [])
    assert isinstance(end.error, AgentError)
    assert "secret detail" not in end.text
    assert "secret detail" in caplog.text


async def test_a_failing_reader_gets_its_own_exception() -> None:
    """What breaks in the reader is the reader's; the turn ends with nothing left over."""

    async def read() -> None:
        turn = run_turn(scripted(Answer("A long answer in many pieces.")), Toolbox([]), QUESTION)
        async for _ in turn:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await read()
    for _ in range(5):
        await asyncio.sleep(0)


async def test_turns_at_the_same_time_do_not_mix() -> None:
    """Many turns on one model and one toolbox answer each their own question."""
    model = offline_model(first_token_delay=0, token_delay=0)
    toolbox = Toolbox(build_tools(SAMPLE))

    async def ask(number: int) -> Any:
        events = await play(model, toolbox, [{"role": "user", "content": f"What is {number} * 3?"}])
        return of(events, ToolFinished)[0].content, end_of(events).text.split("\n")[0]

    answers = await asyncio.gather(*(ask(number) for number in range(10)))

    assert answers == [(str(number * 3), f"`{number} * 3` = {number * 3}") for number in range(10)]


async def test_a_thousand_turns_leave_nothing_behind() -> None:
    """After a thousand turns, some of them with tools, stopped or left, there are no more tasks than before."""

    def answer(conversation: Conversation) -> Answer:
        with_tools = conversation.messages[-1]["content"] == "double"
        return Answer(calls=[Call("double", {"number": 1})] * 2) if with_tools else Answer("Yes.")

    model, toolbox = scripted(endless=itertools.repeat(answer)), toolbox_of(double)
    before = tasks()
    for number in range(1000):
        question = {"role": "user", "content": "double" if number % 10 == 1 else "Hello"}
        if number % 3:
            turn = run_turn(model, toolbox, [question])
            for _ in range(number % 3):
                await anext(turn)
            await turn.aclose()  # type: ignore[attr-defined]
        else:
            await play(model, toolbox, [question], stop_after=number % 7 or None)
    assert tasks() == before
