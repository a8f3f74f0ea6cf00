"""The demo's threads as rows that an import takes: what an application would have recorded, step by step."""

import base64
import json
import random
import struct
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from literal_server import clock
from literal_server.demo.story import (
    LONG_STORY,
    MODELS,
    PLACES,
    PRODUCTS,
    STORIES,
    USERS,
    WEATHER,
    Call,
    Story,
    Turn,
)
from literal_server.files import object_key

THREADS = 40
_SECOND = 1_000_000
_DAY = 24 * 60 * 60 * _SECOND

Row = tuple[str, dict[str, Any]]  # kind and line


@dataclass
class Script:
    """One thread in the making: `at` is the present moment in it, microseconds."""

    id: str
    random: random.Random
    at: int
    words: Mapping[str, Any]
    user: str
    environment: str
    model: tuple[str, str, float, float]
    history: list[dict[str, Any]] = field(default_factory=list)

    def new_id(self, *parts: object) -> str:
        """Answer an id that is the same whenever this script is made again."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([self.id, *map(str, parts)])))

    def say(self, text: str) -> str:
        """Fill the braces of a text; those that are none of ours stay."""
        for name, value in self.words.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    def step(self, identity: str, kind: str, name: str, seconds: float, **fields: Any) -> Row:
        """Make a step that begins now and lasts so long; time goes on only by `pass_`."""
        line = {
            "id": identity,
            "threadId": self.id,
            "type": kind,
            "name": name,
            "startTime": clock.format_time(self.at),
            "endTime": clock.format_time(self.at + round(seconds * _SECOND)),
            "createdAt": clock.format_time(self.at),
            "environment": self.environment,
            "tags": [],
        }
        return "step", line | fields

    def pass_(self, seconds: float) -> None:
        """Let time go by."""
        self.at += round(seconds * _SECOND)


def rows(seed: int, now: int) -> Iterator[Row]:
    """Yield all rows; the same seed gives the same ids, texts and distances in time."""
    chance = random.Random(seed)  # noqa: S311 - a story, not a secret
    for identifier, metadata in USERS.items():
        identity = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed} {identifier}"))
        made = clock.format_time(now - 15 * _DAY)
        yield "participant", {"id": identity, "identifier": identifier, "createdAt": made, "metadata": dict(metadata)}
    for number in range(THREADS):
        story = LONG_STORY if number == THREADS // 2 else STORIES[number % len(STORIES)]
        # Evenly over two weeks, with more or less of an hour.
        age = (THREADS - number) / THREADS * 14 * _DAY + chance.uniform(0.1, 1) * 3_600 * _SECOND
        yield from _thread(story, Script(
            id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed} thread {number}")),
            random=random.Random(f"{seed} {number}"),  # noqa: S311
            at=round(now - age),
            words=_words(chance),
            user=chance.choice([*USERS]),
            environment=chance.choices(["prod", "staging", "dev"], [8, 1, 1])[0],
            model=chance.choice(MODELS),
        ))  # fmt: skip


def _words(chance: random.Random) -> dict[str, Any]:
    place, other = chance.sample(PLACES, 2)
    degrees, amount = chance.randint(-5, 31), chance.randint(20, 240)
    return {
        "place": place, "other": other, "degrees": degrees, "colder": degrees - 3, "amount": amount,
        "sum": round(amount * 0.17 - 3, 2), "wind": chance.randint(2, 60), "order": chance.randint(10_000, 99_999),
        "product": chance.choice(PRODUCTS), "sky": chance.choice(WEATHER),
    }  # fmt: skip


def _thread(story: Story, script: Script) -> Iterator[Row]:
    yield (
        "thread",
        {
            "id": script.id,
            "name": script.say(story.name),
            "createdAt": clock.format_time(script.at),
            "environment": script.environment,
            "participant": {"identifier": script.user},
            "metadata": {"client": "chat", "demo": True, **story.metadata},
            "tags": list(story.tags),
        },
    )
    for number, turn in enumerate(story.turns):
        yield from _turn(turn, number, script)
        script.pass_(script.random.uniform(4, 90))


def _turn(turn: Turn, number: int, script: Script) -> Iterator[Row]:
    question_id, run_id = script.new_id(number, "question"), script.new_id(number, "run")
    question, mark = script.say(turn.question), _mark(turn, number, script)
    kept = len(script.history)
    script.history.append({"role": "user", "content": question})
    attachments = _attachments(turn, number, script)
    for one in attachments:
        yield _file(turn, one, script)
    yield script.step(question_id, "user_message", script.user, 0, output={"content": question}, metadata=mark,
                      attachments=attachments)  # fmt: skip
    script.pass_(0.01)
    began, steps = script.at, [*_work(turn, number, run_id, script)]
    took = (script.at - began) / _SECOND
    script.at = began
    answer = script.say(turn.answer)
    yield script.step(
        run_id, "run", "on_message", took, parentId=question_id, input={"content": question},
        output={"content": answer, "messages": script.history[kept + 1 :]}, error=turn.error or None,
        metadata={"client": "chat", "outcome": turn.end, **mark},
    )  # fmt: skip
    script.pass_(took)
    for kind, line in steps:
        yield kind, line | {"metadata": {**line.get("metadata", {}), **mark}, "rootRunId": run_id}
    if turn.superseded:
        del script.history[kept:]


def _mark(turn: Turn, number: int, script: Script) -> dict[str, Any]:
    if not turn.superseded:
        return {}
    by, at = script.new_id(number + 1, "question"), clock.format_time(script.at + 30 * _SECOND)
    return {"superseded": {"by": by, "at": at, "author": script.user}}


def _as_a_model_writes(arguments: Any) -> str:
    return json.dumps(arguments, ensure_ascii=False)


def _work(turn: Turn, number: int, run_id: str, script: Script) -> Iterator[Row]:
    """What happens in a run: model calls, the tool calls that they ask for, and the answer with its judgement."""
    for round_, calls in enumerate(turn.rounds):
        ids = {script.new_id(number, round_, place): call for place, call in enumerate(calls)}
        asked = [
            {
                "id": f"call_{identity[:12]}",
                "type": "function",
                "function": {"name": call.name, "arguments": _as_a_model_writes(_filled(call.arguments, script))},
            }
            for identity, call in ids.items()
        ]
        message = {"role": "assistant", "content": None, "tool_calls": asked}
        yield _model_call(script, script.new_id(number, round_, "llm"), run_id, message)
        for identity, call in ids.items():
            yield _tool_call(script, identity, run_id, call, f"call_{identity[:12]}")
        script.pass_(max(call.seconds for call in calls) + 0.005)
    message = {"role": "assistant", "content": script.say(turn.answer)}
    broken = (
        {"error": turn.error} if turn.error else {"metadata": {"cancelled": True}} if turn.end == "cancelled" else {}
    )
    yield _model_call(script, script.new_id(number, "llm"), run_id, message, **broken)
    told = message["content"] or turn.error
    judged = _scores(turn, number, script)
    yield script.step(script.new_id(number, "answer"), "assistant_message", "Verbatim", 0, parentId=run_id,
                      output={"content": told}, error=turn.error or None, scores=judged)  # fmt: skip


def _filled(arguments: Mapping[str, Any], script: Script) -> dict[str, Any]:
    return {name: script.say(value) if isinstance(value, str) else value for name, value in arguments.items()}


def _tool_call(script: Script, identity: str, run_id: str, call: Call, call_id: str) -> Row:
    seconds = call.seconds * script.random.uniform(0.8, 1)
    content = script.say(call.error or call.result)
    script.history.append({"role": "tool", "tool_call_id": call_id, "content": content})
    return script.step(
        identity, "tool", call.name, seconds, parentId=run_id, input=_filled(call.arguments, script),
        output={"content": content}, error=script.say(call.error) or None, metadata={"toolCallId": call_id},
    )  # fmt: skip


def _model_call(script: Script, identity: str, run_id: str, message: dict[str, Any], **fields: Any) -> Row:
    provider, model, first, speed = script.model
    given = [{"role": "system", "content": "You are Verbatim, a helpful assistant."}, *script.history]
    tokens_in = sum(len(json.dumps(one)) for one in given) // 4
    tokens_out = max(1, len(json.dumps(message)) // 4)
    waited = first * script.random.uniform(0.7, 1.6)
    seconds = 60.0 if fields.get("error") else waited + tokens_out / speed
    generation = {
        "type": "CHAT", "provider": provider, "model": model, "messages": given, "messageCompletion": message,
        "settings": {"model": model, "temperature": 0.7, "stream": True}, "tools": _TOOLS,
        "inputTokenCount": tokens_in, "outputTokenCount": tokens_out, "tokenCount": tokens_in + tokens_out,
        "ttFirstToken": round(waited * 1_000, 1), "duration": round(seconds, 3),
        "tokenThroughputInSeconds": round(tokens_out / seconds, 1),
    }  # fmt: skip
    if fields.get("error"):
        generation |= {"messageCompletion": None, "outputTokenCount": None, "tokenCount": None, "inputTokenCount": None}
    else:
        script.history.append(message)
    row = script.step(identity, "llm", model, seconds, parentId=run_id, output=message, generation=generation, **fields)
    script.pass_(seconds)
    return row


_TOOLS = [
    {"type": "function", "function": {"name": name, "description": does, "parameters": {"type": "object"}}}
    for name, does in (
        ("get_current_weather", "Say how the weather is in a city."),
        ("find_order", "Find an order by its number or item."),
        ("refund", "Give the price of an order back."),
        ("calculate", "Work out an expression."),
    )
]


def _scores(turn: Turn, number: int, script: Script) -> list[dict[str, Any]]:
    scores = []
    if turn.feedback is not None:
        scores.append({"id": script.new_id(number, "feedback"), "name": "user-feedback", "type": "HUMAN",
                       "value": turn.feedback, "comment": turn.comment or None})  # fmt: skip
    if turn.end == "completed" and script.random.random() < 0.5:
        scores.append({"id": script.new_id(number, "judge"), "name": "helpfulness", "type": "AI", "scorer": "judge-v2",
                       "value": round(script.random.uniform(0.55, 1), 2)})  # fmt: skip
    return scores


def _attachments(turn: Turn, number: int, script: Script) -> list[dict[str, Any]]:
    if not turn.attachment:
        return []
    mime = "image/png" if turn.attachment.endswith(".png") else "text/plain"
    identity = script.new_id(number, "attachment")
    return [{"id": identity, "name": turn.attachment, "mime": mime, "objectKey": object_key(identity),
             "metadata": {"type": mime.split("/")[0], "display": "inline", "size": "medium"}}]  # fmt: skip


def _file(turn: Turn, attachment: Mapping[str, Any], script: Script) -> Row:
    content = png(script.random) if turn.attachment.endswith(".png") else script.say(INVOICE).encode()
    line = {"id": attachment["id"], "mime": attachment["mime"], "part": 0, "parts": 1, "threadId": script.id}
    return "file", line | {
        "createdAt": clock.format_time(script.at), "base64": base64.b64encode(content).decode(),
    }  # fmt: skip


INVOICE = "Invoice {order}\n\n1  {product}           {amount} EUR\n2  yearly service fee    12 EUR\n"


def png(chance: random.Random, size: int = 48) -> bytes:
    """Answer a small picture of coloured stripes."""
    colours: Sequence[bytes] = [bytes(chance.randrange(40, 230) for _ in range(3)) for _ in range(6)]
    lines = b"".join(b"\0" + b"".join(colours[(x + y) // 8 % 6] for x in range(size)) for y in range(size))
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    written = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)
