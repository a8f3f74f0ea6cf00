"""Functions as tools: their schemas, their arguments, their results and their failures."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, cast

import pytest

from agent.toolbox import Tool, Toolbox, ToolResult
from tests.agent.turns import toolbox_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]


@dataclass
class Guest:
    name: str
    age: int


async def invite(guest: Guest, day: date, place: Literal["here", "there"] = "here", schema: int | None = None) -> str:
    """Invite someone.

    Sends no letter.

    Args:
        guest: Who is invited.
        day: When.
        place: Where.
        schema: A name that pydantic has for itself.
    """
    return f"{guest.name} ({type(guest).__name__}), {day:%d.%m.}, {place}, {schema}"


async def test_the_schema_comes_from_signature_and_docstring() -> None:
    """Name, description, types, defaults and the words on each parameter are what the model is told."""
    [schema] = toolbox_of(invite).schemas()

    assert schema["type"] == "function"
    function = schema["function"]
    assert (function["name"], function["description"]) == ("invite", "Invite someone.\n\nSends no letter.")
    parameters = function["parameters"]
    assert parameters["required"] == ["guest", "day"]
    assert parameters["additionalProperties"] is False
    assert parameters["properties"]["day"] == {"type": "string", "format": "date", "description": "When."}
    assert parameters["properties"]["place"] == {
        "type": "string",
        "enum": ["here", "there"],
        "default": "here",
        "description": "Where.",
    }
    assert "title" not in str(parameters["properties"])


async def test_arguments_arrive_as_their_types() -> None:
    """A dataclass and a date are made of the JSON, and what is not given has the function's own default."""
    arguments = '{"guest": {"name": "Ada", "age": 36}, "day": "2025-10-31", "schema": 5}'

    assert (await toolbox_of(invite).call("invite", arguments)).content == "Ada (Guest), 31.10., here, 5"


async def test_a_request_tells_what_was_given_before_it_runs() -> None:
    """Reading a call gives the arguments as the object that the model wrote, or as its text where it is none."""
    toolbox = toolbox_of(invite)

    assert toolbox.read("invite", '{"guest": 1}').arguments == {"guest": 1}
    assert toolbox.read("invite", '{"guest": ').arguments == '{"guest": '
    assert toolbox.read("unknown", "").arguments == {}


def no_docstring(number: int) -> int:
    return number


def no_type(number) -> int:  # type: ignore[no-untyped-def]
    """Have no type."""
    return int(number)


def any_number(*numbers: int) -> int:
    """Take any number of them."""
    return sum(numbers)


@pytest.mark.parametrize("function", [no_docstring, no_type, any_number])
async def test_what_cannot_be_a_tool_says_so_at_once(function: Callable[..., Any]) -> None:
    """A function without docstring or types, or with nameless arguments, is refused when the tools are listed."""
    with pytest.raises(TypeError, match=function.__name__):
        Tool.from_function(function)


async def test_two_tools_of_one_name_are_refused() -> None:
    """A name belongs to one tool."""
    tool = Tool.from_function(invite)
    with pytest.raises(ValueError, match="invite"):
        Toolbox([tool, tool])


def add(a: int, b: float = 0.5) -> float:
    """Add."""
    return a + b


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ('{"a": "1"}', "a: Input should be a valid integer"),
        ('{"a": 1.5}', "a: Input should be a valid integer"),
        ('{"a": true}', "a: Input should be a valid integer"),
        ('{"a": null}', "a: Input should be a valid integer"),
        ('{"a": 1, "c": 2}', "c: Extra inputs are not permitted"),
        ("{}", "a: Field required"),
        ("", "a: Field required"),
        ("[1]", "not a JSON object"),
        ('"a"', "not a JSON object"),
        ("{'a': 1}", "not a JSON object"),
        ('{"a": NaN}', "NaN is no number in JSON"),
        ('{"a": 1, "b": -Infinity}', "-Infinity is no number in JSON"),
        ('{"a": 1, "b": 1e999}', "1e999 is no number in JSON"),
        ('{"a": ' + "9" * 5000 + "}", "not a JSON object"),
        ('{"a": ' + "[" * 100_000, "nested too deeply"),
        ('{"a": "\\ud800"}', "not a JSON object"),
    ],
)
async def test_wrong_arguments_are_refused_with_a_reason(arguments: str, complaint: str) -> None:
    """Nothing is guessed: what does not fit the schema is named, in a few words."""
    result = await toolbox_of(add).call("add", arguments)

    assert result.error is not None
    assert complaint in result.error
    assert result.content == f"Error: {result.error}"
    assert len(result.content) < 700


async def test_results_become_text() -> None:
    """Text stays as it is, anything else is JSON, and what JSON cannot say is said in words."""
    results: dict[str, Any] = {
        "text": "as it is",
        "object": {"day": date(2025, 10, 31), "guest": Guest("Ada", 36)},
        "nothing": None,
        "infinite": float("inf"),
        "half": "a\ud800b",
    }

    def give(what: str) -> Any:
        """Give something."""
        return results[what]

    toolbox = toolbox_of(give)
    contents = [(await toolbox.call("give", f'{{"what": "{name}"}}')).content for name in results]

    day = '{"day":"2025-10-31","guest":{"name":"Ada","age":36}}'
    assert contents == ["as it is", day, "null", '"Infinity"', "a?b"]


async def test_what_cannot_be_written_is_an_error() -> None:
    """A result that has no JSON is the tool's failure."""

    def give() -> object:
        """Give an object."""
        return object()

    assert "cannot be written as JSON" in ((await toolbox_of(give).call("give", "{}")).error or "")


async def test_a_very_long_result_is_cut_and_says_so() -> None:
    """The model gets the beginning and hears how much there was."""

    def much() -> str:
        """Give much."""
        return "x" * 1000

    result = await Toolbox([Tool.from_function(much)], max_result_characters=10).call("much", "{}")

    assert result.content == "x" * 10 + "\n[Cut here: these are the first 10 of 1,000 characters.]"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("there is no such place."), "fail failed: there is no such place."),
        (KeyError("x"), "fail failed: KeyError: 'x'"),
        (ZeroDivisionError(), "fail failed: ZeroDivisionError"),
        (SystemExit(3), "fail failed: it tried to end the program (3)"),
        (StopIteration(), "fail failed: it stopped iterating"),
        (asyncio.CancelledError(), "fail was broken off."),
    ],
)
@pytest.mark.parametrize("blocking", [False, True])
async def test_an_exception_becomes_a_sentence(
    error: BaseException, words: str, blocking: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The model gets one sentence and nothing of our code; the log gets the traceback."""

    def fail() -> None:
        """Fail."""
        raise error

    async def fail_too() -> None:
        """Fail."""
        raise error

    fail_too.__name__ = "fail"
    if isinstance(error, StopIteration) and not blocking:
        words = "fail failed: coroutine raised StopIteration"
    result = await toolbox_of(fail if blocking else fail_too).call("fail", "{}")

    assert result.error == words
    if not isinstance(error, asyncio.CancelledError):
        assert "Traceback" in caplog.text


async def test_blocking_tools_run_beside_the_event_loop_and_each_other() -> None:
    """Three blocking tools wait for each other in their threads while the event loop goes on."""
    meeting = threading.Barrier(4, timeout=5)

    def meet() -> str:
        """Meet the others."""
        meeting.wait()
        return "met"

    toolbox = toolbox_of(meet)
    calls = [asyncio.create_task(toolbox.call("meet", "{}")) for _ in range(3)]
    await asyncio.to_thread(meeting.wait)

    assert [result.content for result in await asyncio.gather(*calls)] == ["met"] * 3


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_tool_that_takes_too_long_is_given_up(blocking: bool) -> None:
    """After its time limit the call is over, also when a thread still hangs."""
    release = threading.Event()

    def hang() -> None:
        """Hang."""
        release.wait(5)

    async def hang_too() -> None:
        """Hang."""
        await asyncio.Event().wait()

    hang_too.__name__ = "hang"
    begun = time.monotonic()
    result = await toolbox_of(hang if blocking else hang_too, timeout_seconds=0.05).call("hang", "{}")
    release.set()

    assert result.error == "hang gave no result within 0.05 seconds."
    assert time.monotonic() - begun < 2


async def count(most: int = 3, then: Literal["end", "fail", "hang", "number"] = "end") -> AsyncIterator[str]:
    """Count."""
    for number in range(most):
        yield f"{number} "
    if then == "fail":
        raise ValueError("no more numbers.")
    if then == "hang":
        await asyncio.Event().wait()
    if then == "number":
        yield cast(str, 3)


async def test_a_tool_may_give_its_result_in_pieces() -> None:
    """Its result is the pieces together, and each is heard as it comes."""
    toolbox, heard = toolbox_of(count), list[str]()

    result = await toolbox.run(toolbox.read("count", "{}"), toolbox.output(heard.append))

    assert result == ToolResult("0 1 2 ")
    assert heard == ["0 ", "1 ", "2 "]


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ("fail", "count failed: no more numbers."),
        ("hang", "count gave no result within 0.1 seconds."),
        ("number", "count failed: TypeError: it gave a piece that is no text but int"),
    ],
)
async def test_what_came_before_a_failure_is_kept(then: str, words: str) -> None:
    """The model gets the failure with the pieces before it; the sentence for a person is the failure alone."""
    result = await toolbox_of(count, timeout_seconds=0.1).call("count", f'{{"then": "{then}"}}')

    assert result == ToolResult(f"Error: {words}\nIts output until then:\n0 1 2 ", words)


async def test_pieces_beyond_the_limit_are_counted_and_not_kept() -> None:
    """A tool that goes on and on fills neither the memory nor the screen, and the result says that it is cut."""
    toolbox = Toolbox([Tool.from_function(count)], max_result_characters=5)
    heard: list[str] = []

    result = await toolbox.run(toolbox.read("count", '{"most": 1000}'), toolbox.output(heard.append))

    assert result.content == "0 1 2\n[Cut here: these are the first 5 of 3,890 characters.]"
    assert "".join(heard) == "0 1 2"


async def test_a_tool_that_never_pauses_is_stopped_all_the_same() -> None:
    """Pieces without end and without a wait between them still let the time limit strike."""

    async def chatter() -> AsyncIterator[str]:
        """Chatter."""
        while True:
            yield "bla "

    result = await toolbox_of(chatter, timeout_seconds=0.05).call("chatter", "{}")

    assert result.error == "chatter gave no result within 0.05 seconds."


async def test_a_toolbox_without_some_tools_has_the_others() -> None:
    """Tools that are switched off are not offered; the toolbox itself stays as it was."""
    toolbox = toolbox_of(count, invite)

    assert toolbox.without({"count", "unknown"}).names() == ["invite"]
    assert toolbox.names() == ["count", "invite"]
