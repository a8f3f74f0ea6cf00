"""Steps as a chat with tools makes them, and the requests in which the SDKs send them."""

import json
import random
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any

from literalai.api.helpers.gql import steps_query_builder, steps_variables_builder

STEPS_IN_A_TURN = 7
TURNS_IN_A_THREAD = 5

_START = datetime(2026, 1, 1, tzinfo=UTC)
_TEXT = """\
the weather in San Francisco is sunny and warm while in Paris the wind brings rain from the west so take a coat with you
when you leave the house and ask again tomorrow because forecasts change more often than people think"""
_LONG_TEXT = " ".join(random.Random(0).choices(_TEXT.split(), k=100_000))


def steps(seed: int = 0) -> Iterator[dict[str, Any]]:
    """Make steps of 2 to 4 KB without end: threads of five turns, each a question, a run, model and tool calls."""
    chance = random.Random(seed)
    while True:
        thread = _identity(chance)
        for number in range(TURNS_IN_A_THREAD):
            yield from _turn(chance, thread, number)


def long_calls(seed: int = 1, turns: int = 20, size: int = 57_000) -> Iterator[dict[str, Any]]:
    """Make `llm` steps without end, each with the whole context of its call: in the last of so many turns `size` bytes.

    The context is new to each thread and grows by a question and an answer a call, as that of a real chat does.
    """
    chance = random.Random(seed)
    while True:
        thread, context = _identity(chance), [_message("system", chance, size - turns * 800)]
        for number in range(turns):
            context.append(_message("user", chance, 200))
            answer = _message("assistant", chance, 600)
            call = _step(chance, thread, None, number)
            yield call | {"type": "llm", "name": "gpt", "generation": _generation(list(context), answer)}
            context.append(answer)


def bodies(source: Iterator[dict[str, Any]], batch: int, count: int) -> list[bytes]:
    """Make the bodies of requests with `count` steps in all, as the Python SDK writes them."""
    return [_body(list(islice(source, min(batch, count - start)))) for start in range(0, count, batch)]


def _body(batch: Sequence[dict[str, Any]]) -> bytes:
    sent: list[Any] = list(batch)
    return json.dumps({"query": _document(len(sent)), "variables": steps_variables_builder(sent)}).encode()


@cache
def _document(steps: int) -> str:
    return str(steps_query_builder([{}] * steps))


def _turn(chance: random.Random, thread: str, number: int) -> Iterator[dict[str, Any]]:
    question = _step(chance, thread, None, number)
    run = _step(chance, thread, question["id"], number)
    yield question | {"type": "user_message", "name": "user", "output": {"content": _text(chance, 2_000)}}
    yield run | {"type": "run", "name": "on_message", "input": {"content": _text(chance, 1_000)}, "output": {}}
    for kind in ("llm", "tool", "tool", "llm"):
        yield _step(chance, thread, run["id"], number) | _work(chance, kind)
    answer = _step(chance, thread, run["id"], number)
    yield answer | {"type": "assistant_message", "name": "Verbatim", "output": {"content": _text(chance, 2_500)}}


def _work(chance: random.Random, kind: str) -> dict[str, Any]:
    if kind == "tool":
        given = {"location": "San Francisco", "note": _text(chance, 800)}
        return {
            "type": "tool",
            "name": "get_current_weather",
            "input": given,
            "output": {"content": _text(chance, 1_500)},
        }
    context = [_message("system", chance, 600), _message("user", chance, 800)]
    return {"type": "llm", "name": "gpt", "generation": _generation(context, _message("assistant", chance, 800))}


def _step(chance: random.Random, thread: str, parent: str | None, number: int) -> dict[str, Any]:
    start = _START + timedelta(minutes=number, milliseconds=chance.randrange(30_000))
    return {
        "id": _identity(chance),
        "threadId": thread,
        "parentId": parent,
        "startTime": _moment(start),
        "endTime": _moment(start + timedelta(milliseconds=chance.randrange(10, 3_000))),
        "metadata": {"client": "chat", "session": _identity(chance), "note": _text(chance, 300)},
        "tags": ["bench"],
    }


def _generation(messages: list[dict[str, str]], completion: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "CHAT",
        "provider": "openai",
        "model": "gpt-4o",
        "settings": {"temperature": 0.2, "max_tokens": 1_000},
        "messages": messages,
        "messageCompletion": completion,
        "inputTokenCount": 400,
        "outputTokenCount": 200,
        "tokenCount": 600,
        "duration": 1.25,
        "ttFirstToken": 210.0,
    }


def _message(role: str, chance: random.Random, size: int) -> dict[str, str]:
    return {"role": role, "content": _text(chance, size)}


def _text(chance: random.Random, size: int) -> str:
    start = chance.randrange(len(_LONG_TEXT) - size)
    return _LONG_TEXT[start : start + size]


def _identity(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
