"""Turns typed functions into tools: their schemas for the model, one call, and every failure into a sentence for it."""

import asyncio
import contextlib
import contextvars
import inspect
import json
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_json

from agent.channel import end
from agent.events import Message
from agent.json_text import parse_object, whole_characters

logger = logging.getLogger(__name__)

SECONDS_TO_END = 1.0
"""How long a cancelled tool may take to clean up before it is left to itself."""
QUOTE_CHARACTERS = 200
SHOWN_PROBLEMS = 5
OUR_WORDS = (ValueError, LookupError, RuntimeError)
"""Exceptions that carry a sentence; any other is named by its class, too, because its text alone may say little."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call.

    `parameters` is a JSON Schema; `arguments` is the model class that checks what comes against it.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[..., Any]
    arguments: type[BaseModel]
    timeout_seconds: float
    approval_seconds: float | None = None

    @classmethod
    def from_function(
        cls, function: Callable[..., Any], *, timeout_seconds: float = 30.0, approval_seconds: float | None = None
    ) -> "Tool":
        """Make a tool of a typed function; its docstring (with `Args:` in Google's style) is what the model reads.

        An async generator of texts is a tool as well: its result is all of them together, and what came before it was
        broken off is kept. With `approval_seconds` each call waits so long for a person to consent to it.

        Raises TypeError for a parameter without a type, one that cannot be passed by name, or a missing docstring.
        """
        name = function.__name__
        if not function.__doc__:
            raise TypeError(f"The tool {name} needs a docstring: it is all that the model knows of it.")
        docstring = docstring_parser.parse(function.__doc__, docstring_parser.DocstringStyle.GOOGLE)
        arguments = _arguments_model(function, {parameter.arg_name: parameter for parameter in docstring.params})
        schema = arguments.model_json_schema(schema_generator=_Schema)
        schema.pop("title", None)
        schema.setdefault("properties", {})
        description = "\n\n".join(filter(None, (docstring.short_description, docstring.long_description)))
        return cls(name, description, schema, function, arguments, timeout_seconds, approval_seconds)

    @property
    def schema(self) -> Message:
        """The tool as a member of the Chat Completions parameter `tools`."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a call: `content` is for the model, `error` the failure in words for a person."""

    content: str
    error: str | None = None


class Output:
    """The text that one call gives, piece by piece; what is beyond the first `limit` characters is only counted.

    `say` hears each piece that is kept, as it comes.
    """

    def __init__(self, limit: int, say: Callable[[str], None] = lambda _: None) -> None:
        self._limit = limit
        self._say = say
        self._pieces: list[str] = []
        self._kept = 0
        self._given = 0

    def add(self, piece: str) -> None:
        """Take in the next piece."""
        piece = whole_characters(piece)
        self._given += len(piece)
        piece = piece[: self._limit - self._kept]
        if piece:
            self._kept += len(piece)
            self._pieces.append(piece)
            self._say(piece)

    @property
    def text(self) -> str:
        """All that was kept, and a note where something was not."""
        text = "".join(self._pieces)
        if self._given == self._kept:
            return text
        return f"{text}\n[Cut here: these are the first {self._limit:,} of {self._given:,} characters.]"

    def broken_off(self, sentence: str) -> str:
        """Return a sentence on why there is no more, with what there is: no work that was done gets lost."""
        return f"{sentence}\nIts output until then:\n{self.text}" if self._given else sentence


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A call that the model asked for, read but not yet run.

    `arguments` is what it gave: the object, or the raw text where it is none. With a `problem` nothing can be run.
    `approval_seconds` is how long a person may take to consent to it; None where no consent is needed.
    """

    name: str
    arguments: Mapping[str, Any] | str
    call: Callable[[Output], Coroutine[Any, Any, Any]] | None = None
    timeout_seconds: float = 0.0
    approval_seconds: float | None = None
    problem: str | None = None


class Toolbox:
    """All tools of an agent, by name. Results longer than `max_result_characters` are cut, and say so."""

    def __init__(self, tools: Iterable[Tool], *, max_result_characters: int = 50_000) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            if tool.name in self._tools:
                raise ValueError(f"Two tools are named {tool.name}.")
            self._tools[tool.name] = tool
        self._schemas = [tool.schema for tool in self._tools.values()]
        self._max_result_characters = max_result_characters

    def schemas(self) -> list[Message]:
        """Return all tools in the shape of the Chat Completions parameter `tools`."""
        return list(self._schemas)

    def without(self, names: Collection[str]) -> "Toolbox":
        """Return a toolbox with all tools but these."""
        kept = (tool for tool in self._tools.values() if tool.name not in names)
        return Toolbox(kept, max_result_characters=self._max_result_characters)

    def tools(self) -> list[Tool]:
        """Return all tools, in their order."""
        return list(self._tools.values())

    def names(self) -> list[str]:
        """Return the names of all tools, in their order."""
        return list(self._tools)

    def output(self, say: Callable[[str], None]) -> Output:
        """Return an empty output for one call; `say` hears the pieces of a tool that gives its result in pieces."""
        return Output(self._max_result_characters, say)

    async def call(self, name: str, raw_arguments: str) -> ToolResult:
        """Read and run one call; a failure is a result too, never an exception."""
        return await self.run(self.read(name, raw_arguments), self.output(lambda _: None))

    def read(self, name: str, raw_arguments: str) -> ToolRequest:
        """Find the tool and check the arguments, JSON text as the model wrote it. Never raises."""
        try:
            given = parse_object(raw_arguments)
        except (ValueError, RecursionError) as error:
            return ToolRequest(name, raw_arguments, problem=_unreadable(name, raw_arguments, error))
        tool = self._tools.get(name)
        if tool is None:
            names = ", ".join(self._tools) or "none"
            return ToolRequest(name, given, problem=f"There is no tool {name!r}. The tools are: {names}.")
        try:
            checked = tool.arguments.model_validate_json(raw_arguments.strip() or "{}", strict=True)
        except ValidationError as error:
            return ToolRequest(name, given, problem=f"Wrong arguments for {name}: {_problems(error)}")
        fields = tool.arguments.model_fields
        values = {str(fields[key].alias): getattr(checked, key) for key in checked.model_fields_set}
        return ToolRequest(
            name,
            given,
            lambda output: _invoke(tool.function, values, output),
            tool.timeout_seconds,
            tool.approval_seconds,
        )

    async def run(self, request: ToolRequest, output: Output) -> ToolResult:
        """Run a call that was read, into an empty output.

        Cancelled, it ends the tool, and what there is so far is in the output; a blocking one is left to itself in its
        thread.
        """
        if request.call is None:
            return _failed(request.problem or "")
        task = asyncio.create_task(request.call(output))
        try:
            await asyncio.wait((task,), timeout=request.timeout_seconds)
            finished = task.done()
        finally:
            if not await end(task, patience=SECONDS_TO_END):
                logger.error("The tool %s goes on although it was cancelled", request.name)
        if not finished:
            return _failed(f"{request.name} gave no result within {request.timeout_seconds:g} seconds.", output)
        if task.cancelled():
            return _failed(f"{request.name} was broken off.", output)
        if error := task.exception():
            logger.error("The tool %s failed", request.name, exc_info=error)
            return _failed(f"{request.name} failed: {_words(error)}", output)
        return self._succeeded(request.name, task.result(), output)

    def _succeeded(self, name: str, value: Any, output: Output) -> ToolResult:
        if value is output:
            return ToolResult(output.text)
        try:
            text = value if isinstance(value, str) else to_json(value, inf_nan_mode="strings").decode()
        except ValueError as error:
            logger.exception("The tool %s gave back what cannot be written as JSON", name)
            return _failed(f"{name} gave back something that cannot be written as JSON: {error}", output)
        whole = Output(self._max_result_characters)
        whole.add(text)
        return ToolResult(whole.text)


class _Schema(GenerateJsonSchema):
    """Leaves out titles: they repeat each name and cost tokens in every request."""

    def field_title_should_be_set(self, schema: Any) -> Literal[False]:  # noqa: ARG002 - asked for every field
        return False


def _arguments_model(function: Callable[..., Any], described: Mapping[str, Any]) -> type[BaseModel]:
    """Return a class with one field for each parameter. The names stand as aliases, so that any is allowed."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{function.__name__}: {parameter} cannot be passed by name.")
        if parameter.name not in hints:
            raise TypeError(f"{function.__name__}: {parameter.name} needs a type.")
        default = ... if parameter.default is parameter.empty else parameter.default
        words = described[parameter.name].description if parameter.name in described else None
        field = Field(default, alias=parameter.name, description=words)
        fields[f"argument_{index}"] = (hints[parameter.name], field)
    return create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)


async def _invoke(function: Callable[..., Any], arguments: Mapping[str, Any], output: Output) -> Any:
    """Call a tool's function: on the event loop if it is made for that, else in a thread of its own.

    One that gives its result in pieces puts them into the output, which is then what is returned.
    """
    try:
        if inspect.isasyncgenfunction(function):
            return await _gather(function(**arguments), output)
        if inspect.iscoroutinefunction(function):
            return await function(**arguments)
        return await _in_thread(lambda: function(**arguments))
    except SystemExit as error:  # would end the event loop and with it the app
        raise RuntimeError(f"it tried to end the program ({error})") from error


async def _gather(pieces: AsyncGenerator[str], output: Output) -> Output:
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            if not isinstance(piece, str):
                raise TypeError(f"it gave a piece that is no text but {type(piece).__name__}")
            output.add(piece)
            await asyncio.sleep(0)  # one that never waits must not keep everybody else from their turn
    return output


async def _in_thread(work: Callable[[], Any]) -> Any:
    """Run blocking work in a new daemon thread.

    A pool would fill up with tools that hang and so stop those that do not, and it would keep the program from ending.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: Any, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is None:
            outcome.set_result(value)
        else:
            outcome.set_exception(error)

    def run() -> None:
        value, failure = None, None
        try:
            value = context.run(work)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the one who waits
            failure = RuntimeError("it stopped iterating") if isinstance(error, StopIteration) else error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile, so nobody waits
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=run, daemon=True, name="tool").start()
    return await outcome


def _failed(sentence: str, output: Output | None = None) -> ToolResult:
    sentence = whole_characters(sentence)
    told = f"Error: {sentence}"
    return ToolResult(output.broken_off(told) if output else told, sentence)


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())[:1000]
    if text and type(error) in OUR_WORDS:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _unreadable(name: str, raw: str, error: Exception) -> str:
    shown = raw if len(raw) <= QUOTE_CHARACTERS else raw[:QUOTE_CHARACTERS] + "…"
    why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return f"The arguments for {name} are not a JSON object ({why}): {shown}"


def _problems(error: ValidationError) -> str:
    """Say what is wrong with each argument, a sentence each."""
    found = error.errors(include_url=False, include_context=False)
    sentences = []
    for problem in found[:SHOWN_PROBLEMS]:
        place = ".".join(str(part) for part in problem["loc"]) or "JSON"
        given = json.dumps(problem["input"], default=str)[:QUOTE_CHARACTERS]
        about = "" if problem["type"] in ("missing", "json_invalid") else f" (given: {given})"
        sentences.append(f"{place}: {problem['msg']}{about}.")
    if len(found) > SHOWN_PROBLEMS:
        sentences.append(f"And {len(found) - SHOWN_PROBLEMS} more.")
    return " ".join(sentences)
