"""The scripted model: how it reads questions, and that it answers the way the API does."""

import asyncio
import time
from typing import Any

import openai
import pytest

from agent.events import Message, ModelFinished, ToolStarted
from agent.offline import OFFLINE_MODEL, offline_client, offline_model
from agent.offline_brain import CANNOT_CALL, INTRODUCTION, LEFT_UNDONE, LOST, WHICH_PLACE, think
from agent.offline_questions import arithmetic, follow_up_places, note, time_places, timezone_of, unit, weather_places
from agent.offline_replies import Answer, Call, Conversation, check_history
from agent.tool_runs import DENIED_BECAUSE, EDITED, TIMED_OUT
from agent.toolbox import Tool, Toolbox
from tests.agent.turns import end_of, of, play
from tools import ToolSettings, build_tools

pytestmark = pytest.mark.anyio
TOOLS = build_tools(ToolSettings(weather_sample=True))


async def talk(*questions: str, tools: list[Tool] = TOOLS) -> list[tuple[list[Any], str]]:
    """Hold a conversation; return the tool calls and the answer to each question."""
    model = offline_model(first_token_delay=0, token_delay=0)
    history: list[Message] = []
    answers = []
    for question in questions:
        history.append({"role": "user", "content": question})
        events = await play(model, Toolbox(tools), history)
        history += end_of(events).messages
        answers.append(([(call.name, call.arguments) for call in of(events, ToolStarted)], end_of(events).text))
    return answers


async def say(*questions: str) -> str:
    """Hold a conversation and return its last answer."""
    return (await talk(*questions))[-1][1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what's the weather in sf and paris?", ["San Francisco", "Paris"]),
        ("Weather in San Francisco, Tokyo and Paris", ["San Francisco", "Tokyo", "Paris"]),
        ("What's the weather in San Francisco, CA?", ["San Francisco, CA"]),
        ("How warm is it in St. Louis today? I am cold.", ["St. Louis"]),
        ("Is it raining in London right now", ["London"]),
        ("the forecast for berlin in celsius please", ["Berlin"]),
        ("weather in New York, Los Angeles, and Rio de Janeiro", ["New York", "Los Angeles", "Rio de Janeiro"]),
        ("weather in Paris and what time is it in Tokyo?", ["Paris"]),
        ("weather in Paris, paris and Paris", ["Paris"]),
        ("What's the weather like?", []),
        ("What time is it in Tokyo?", None),
        ("", None),
    ],
)
def test_places_of_a_weather_question(text: str, expected: list[str] | None) -> None:
    """The places are found, each once, whatever stands around them."""
    assert weather_places(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What time is it in Tokyo?", ["Tokyo"]),
        ("weather in Paris and what time is it in New York and London?", ["New York", "London"]),
        ("what time is it", []),
        ("Weather in Paris", None),
    ],
)
def test_places_of_a_time_question(text: str, expected: list[str] | None) -> None:
    """The places whose time is asked for are found."""
    assert time_places(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is (17.5 * 4) / 3 + 2**10?", "(17.5 * 4) / 3 + 2**10"),
        ("2+2", "2+2"),
        ("12 times 12", "12 * 12"),
        ("what is 15% of 80?", "15 / 100 * 80"),
        ("What is 1,000 * 3?", "1000 * 3"),
        ("what is the square root of 144", "sqrt(144)"),
        ("what is 2 to the power of 10?", "2 ** 10"),
        ("What happened on 2025-10-31?", None),
        ("call 555-1234", None),
        ("I have 3 cats", None),
        ("What is the meaning of life?", None),
    ],
)
def test_sums_are_found(text: str, expected: str | None) -> None:
    """Signs and words for them are read; numbers that are no sums are left alone."""
    assert arithmetic(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Save a note Groceries: milk and bread", ("Groceries", "milk and bread")),
        ("Please write me a note titled “Trip”: weather in Rome?\n2 + 2", ("Trip", "weather in Rome?\n2 + 2")),
        (
            "make a note: call Ada about the boat at noon",
            ("call Ada about the boat", "call Ada about the boat at noon"),
        ),
        ("Save a note", None),
        ("I took note of it: thanks", None),
    ],
)
def test_notes_are_found(text: str, expected: tuple[str, str] | None) -> None:
    """A wish for a note has a title, given or taken from the text, and the text."""
    assert note(text) == expected


async def test_a_note_is_saved_with_consent_and_only_then() -> None:
    """The script calls the tool, and says truly what came of it: saved, denied, or saved as the person changed it."""
    question = {"role": "user", "content": "Save a note Groceries: milk"}
    tools = {"save_note": {"name": "save_note"}}
    answer = think(Conversation("m", [question], tools, "auto"))
    [call] = answer.calls
    assert (call.name, call.arguments) == ("save_note", {"title": "Groceries", "text": "milk"})

    function = {"name": "save_note", "arguments": '{"title": "Groceries", "text": "milk"}'}
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": function}]}

    def says(content: str) -> str:
        told = {"role": "tool", "tool_call_id": "c", "content": content}
        return think(Conversation("m", [question, called, told], tools, "auto")).text.split("\n\n")[0]

    assert says("Saved as note-groceries.md.") == "Saved as note-groceries.md."
    assert says(DENIED_BECAUSE.format(reason="no")) == LEFT_UNDONE
    assert says(TIMED_OUT.format(seconds=9)).startswith("I have not done that. This call needs the consent")
    edited = EDITED.format(arguments='{"title": "A"}', content="Saved as note-a.md.")
    assert says(edited) == "With your changes: Saved as note-a.md."


def test_small_patterns() -> None:
    """Follow-ups, units and time zones are recognised."""
    assert follow_up_places("and in Tokyo?") == ["Tokyo"]
    assert follow_up_places("What about Rome and Oslo?") == ["Rome", "Oslo"]
    assert follow_up_places("Tokyo is nice") == []
    assert [unit("in °C"), unit("in Fahrenheit"), unit("in Paris")] == ["celsius", "fahrenheit", None]
    assert timezone_of("Tokyo") == "Asia/Tokyo"
    assert timezone_of("San Francisco") == "America/Los_Angeles"
    assert timezone_of("Atlantis") == "Atlantis"


@pytest.mark.parametrize("text", ["weather in " + "a, " * 100_000, "1+" * 100_000, "((((" * 50_000, "what " * 50_000])
def test_long_texts_are_read_quickly(text: str) -> None:
    """No pattern takes long, however long the text."""
    begun = time.process_time()
    weather_places(text), time_places(text), arithmetic(text), follow_up_places(text)

    assert time.process_time() - begun < 1


async def test_two_places_make_two_calls_and_one_answer() -> None:
    """The weather in two places is asked for at once and told in sentences; the first answer says who speaks."""
    [(calls, answer)] = await talk("What's the weather in San Francisco and Paris?")

    assert calls == [
        ("get_current_weather", {"location": "San Francisco"}),
        ("get_current_weather", {"location": "Paris"}),
    ]
    assert "In San Francisco it is 72 °F, sunny and windy (sample data)." in answer
    assert "In Paris it is" in answer
    assert answer.endswith(INTRODUCTION)


async def test_it_says_once_that_it_is_no_language_model() -> None:
    """Only the first answer of a conversation names the settings that connect a model."""
    answers = [answer for _, answer in await talk("Hello", "Thanks", "2+2")]

    assert [INTRODUCTION in answer for answer in answers] == [True, False, False]
    assert "not a language model" in INTRODUCTION
    assert "OPENAI_API_KEY" in INTRODUCTION
    assert "OPENAI_BASE_URL" in INTRODUCTION


async def test_a_question_can_follow_another() -> None:
    """`And in Tokyo?` asks for the same as before, and a place alone answers the question for one."""
    answers = await talk("Time in London?", "weather in Paris in celsius", "And in Tokyo?", "the weather?", "Rome")

    calls = [calls for calls, _ in answers]
    assert calls[0] == [("get_current_time", {"timezone": "Europe/London"})]
    assert calls[1] == [("get_current_weather", {"location": "Paris", "unit": "celsius"})]
    assert calls[2] == [("get_current_weather", {"location": "Tokyo"})]
    assert answers[3] == ([], WHICH_PLACE)
    assert calls[4] == [("get_current_weather", {"location": "Rome"})]


async def test_it_remembers_what_it_was_told() -> None:
    """Names and questions of the conversation can be asked for."""
    assert await say("Hi", "my name is Ada", "2+2", "What is my name?") == "Your name is Ada."
    assert await say("Hi", "What is my name?") == "You have not told me your name."
    assert await say("2+2", "Hi", "What did I ask first?") == "You first asked: “2+2”"
    assert await say("Hi", "2+2", "What did I just ask?") == "Just before, you asked: “2+2”"


async def test_a_failed_tool_is_told_as_it_is() -> None:
    """An error from a tool becomes a sentence, beside the results of the others."""
    [(calls, answer)] = await talk("What time is it in Tokyo and Atlantis?")

    assert len(calls) == 2
    assert "In Asia/Tokyo it is" in answer
    assert "That did not work: get_current_time failed: 'Atlantis' is no IANA time zone" in answer


async def test_what_it_does_not_understand_it_says() -> None:
    """Any other question is answered with what can be asked."""
    answer = await say("Tell me a joke")

    assert answer.startswith(LOST)
    assert "What's the weather" in answer


async def test_any_tool_can_be_called_by_its_name() -> None:
    """A tool that it has never seen is called when a question names it, with the numbers that stand beside names."""

    def roll_dice(sides: int = 6, count: int = 1) -> list[int]:
        """Roll dice."""
        return [sides] * count

    [(calls, answer)] = await talk("Roll the dice with 20 sides and count 3", tools=[Tool.from_function(roll_dice)])

    assert calls == [("roll_dice", {"sides": 20, "count": 3})]
    assert "`roll_dice` says: [20,20,20]" in answer


async def test_told_to_use_no_tools_it_uses_none() -> None:
    """With tool_choice none it says that it may not."""
    events = await play(
        offline_model(first_token_delay=0, token_delay=0),
        Toolbox(TOOLS),
        [{"role": "user", "content": "Weather in Paris?"}],
        max_iterations=1,
    )

    assert end_of(events).text.startswith(CANNOT_CALL)


async def test_calls_come_interleaved() -> None:
    """The pieces of two calls alternate, as those of the API may."""
    calls = [Call("a", {"text": "x" * 40}), Call("b", {"text": "y" * 40})]
    client = offline_client([Answer(calls=calls)], first_token_delay=0, token_delay=0)
    stream = await client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    indexes = [
        call.index async for chunk in stream for choice in chunk.choices for call in choice.delta.tool_calls or []
    ]

    assert indexes[:6] == [0, 1, 0, 1, 0, 1]


async def test_it_answers_in_one_object_too() -> None:
    """Without streaming the answer is one completion with the same content and usage."""
    client = offline_client([Answer("Hello.", calls=[Call("a", {"x": 1})])], first_token_delay=0)
    completion = await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hi"}])

    message = completion.choices[0].message
    assert (message.content, completion.choices[0].finish_reason) == ("Hello.", "tool_calls")
    assert message.tool_calls is not None
    assert message.tool_calls[0].model_dump()["function"] == {"name": "a", "arguments": '{"x": 1}'}
    assert completion.usage is not None
    assert completion.usage.total_tokens > 0


async def test_it_lists_itself_and_knows_nothing_else() -> None:
    """`GET /models` names it, other addresses are 404."""
    client = offline_client()

    assert [model.id async for model in client.models.list()] == [OFFLINE_MODEL]
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="any", input="text")


CALL = {"id": "1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
ASKED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWERED = {"role": "tool", "tool_call_id": "1", "content": "x"}


@pytest.mark.parametrize(
    ("messages", "valid"),
    [
        ([ASKED, ANSWERED], True),
        ([ASKED], False),
        ([ANSWERED], False),
        ([ASKED, ANSWERED, ANSWERED], False),
        ([ASKED, {"role": "user", "content": "Hi"}, ANSWERED], False),
        ([{"role": "assistant", "content": None}], False),
        ([{"role": "assistant", "content": "", "tool_calls": []}], False),
        ([{"role": "robot", "content": "Hi"}], False),
    ],
)
async def test_it_refuses_the_histories_that_the_api_refuses(messages: list[Message], valid: bool) -> None:
    """An unanswered call, an answer without call and a message without content are bad requests."""
    history: Any = [{"role": "user", "content": "Hi"}, *messages]
    client = offline_client([Answer("Yes.")], first_token_delay=0)

    assert (check_history(history) is None) is valid
    if valid:
        await client.chat.completions.create(model="any", messages=history)
    else:
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="any", messages=history)


async def test_time_to_the_first_token_is_what_was_set() -> None:
    """The delays are real: the first piece of text takes as long as it was told to."""
    model = offline_model([Answer("Hello there.", first_token_delay=0.05, token_delay=0.01)])
    events = await play(model, Toolbox([]))

    [finished] = of(events, ModelFinished)
    assert finished.time_to_first_token is not None
    assert 0.05 <= finished.time_to_first_token <= finished.duration
    assert finished.duration >= 0.07


async def test_the_delay_holds_nobody_else() -> None:
    """While one answer waits for its first token, others come."""
    slow = asyncio.create_task(play(offline_model([Answer("Late.", first_token_delay=5)]), Toolbox([])))
    quick = await play(offline_model([Answer("Quick.", first_token_delay=0)]), Toolbox([]))

    assert end_of(quick).text == "Quick."
    assert not slow.done()
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
