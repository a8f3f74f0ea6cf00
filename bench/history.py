"""A large server's past, made by a seeded generator, straight into the tables: threads, steps, people, scores."""

import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from literal_server.db import Database

PROJECT = "bench"
SEED = 20_260_101
END = 1_767_225_600_000_000  # the moment at which it is read, 2026-01-01, microseconds
SECOND = 1_000_000
DAY = 24 * 60 * 60 * SECOND
PEOPLE = 5_000
WORDS = 20_000
SENTENCES = 40_000
TOOLS = ("get_current_weather", "search_documents", "calculator", "read_file", "send_mail")
MODELS = (("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5"), ("local", "house-llama"))
LONG_THREAD = "long"
LONG_TURNS = 40

STEPS_OF_A_TURN = 5
_AT_ONCE = 2_000

Row = dict[str, Any]


@dataclass
class Rows:
    """Rows of each table that wait to be written."""

    threads: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    scores: list[Row] = field(default_factory=list)


async def fill(path: Path, threads: int, long_turns: int = LONG_TURNS) -> int:
    """Make a database with so many threads of ten steps on average and a long one; answers how many steps it has."""
    database = Database(path)
    await database.migrate()
    await database.close()
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("synchronous=OFF", "journal_mode=WAL", "cache_size=-200000"):
        connection.execute(f"PRAGMA {pragma}")
    steps = 0
    connection.execute("BEGIN")
    _insert(connection, "projects", [{"id": PROJECT, "name": PROJECT, "created_at": 0}])
    _insert(connection, "participants", [_person(number) for number in range(PEOPLE)])
    for rows in _parts(threads, long_turns):
        steps += len(rows.steps)
        for table in ("threads", "steps", "scores"):
            _insert(connection, table, getattr(rows, table))
    connection.execute("DELETE FROM search_changes")  # an index that is made anew reads the steps themselves
    connection.execute("COMMIT")
    connection.close()
    return steps


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    if rows:
        names = list(rows[0])
        places = ", ".join(f":{name}" for name in names)
        connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", rows)


def _person(number: int) -> Row:
    return {
        "project_id": PROJECT,
        "id": f"person-{number}",
        "identifier": f"person{number}@example.org",
        "created_at": 0,
        "metadata": "{}",
    }


def _parts(threads: int, long_turns: int) -> Iterator[Rows]:
    teller = _Teller(random.Random(SEED))
    rows = Rows()
    teller.thread(rows, LONG_THREAD, END - DAY, long_turns)
    for number in range(threads - 1):
        at = END - 365 * DAY + round(number / threads * 365 * DAY)
        teller.thread(rows, teller.identity(), at, 1 + number % 3)
        if len(rows.threads) >= _AT_ONCE:
            yield rows
            rows = Rows()
    yield rows


class _Teller:
    """Tells threads: a few words stand in most of them, most words in a few, as in any language."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        words = [f"{'bcdfglmnprst'[n % 12]}{'aeiou'[n % 5]}{n:x}" for n in range(WORDS)]
        weights = list(accumulate(1 / (n + 10) for n in range(WORDS)))
        self.sentences = [" ".join(chance.choices(words, cum_weights=weights, k=12)) for _ in range(SENTENCES)]

    def identity(self) -> str:
        """Answer an id like the ones that clients make."""
        return f"{self.chance.getrandbits(128):032x}"

    def text(self) -> str:
        """Answer three sentences."""
        return ". ".join(self.chance.choices(self.sentences, k=3))

    def thread(self, rows: Rows, identity: str, at: int, turns: int) -> None:
        """Tell one thread that begins at a moment."""
        thread = {
            "project_id": PROJECT, "id": identity, "name": self.chance.choice(self.sentences)[:60],
            "participant_id": f"person-{self.chance.randrange(PEOPLE)}", "environment": "prod", "created_at": at,
            "last_activity": at, "first_start": at, "last_end": at, "token_count": 0, "cost": 0.0, "error_count": 0,
            "turn_count": turns, "open_count": 0, "metadata": '{"release": "1.2"}',
            "tags": '["paid"]' if self.chance.random() < 0.1 else "[]",
        }  # fmt: skip
        for _ in range(turns):
            at = self._turn(rows, thread, at + self.chance.randrange(SECOND, 300 * SECOND))
        thread["last_activity"] = thread["last_end"] = at
        rows.threads.append(thread)

    def _turn(self, rows: Rows, thread: Row, at: int) -> int:
        question, run = self.identity(), self.identity()
        self._step(rows, thread, question, None, "user_message", "user", at, output={"content": self.text()})
        end = at + self.chance.randrange(3 * SECOND, 60 * SECOND)
        self._step(rows, thread, run, question, "run", "on_message", at, end, input={"content": self.text()})
        provider, model = self.chance.choice(MODELS)
        counts = (self.chance.randrange(200, 20_000), self.chance.randrange(20, 1_000))
        messages = [{"role": "user", "content": self.text()}]
        generation = {
            "type": "CHAT", "provider": provider, "model": model, "messages": messages, "inputTokenCount": counts[0],
            "outputTokenCount": counts[1], "tokenCount": sum(counts),
        }  # fmt: skip
        asked = self._step(rows, thread, self.identity(), run, "llm", model, at, end, output={"content": self.text()})
        asked |= {"generation": json.dumps(generation), "provider": provider, "model": model}
        asked |= {"input_tokens": counts[0], "output_tokens": counts[1], "token_count": sum(counts)}
        thread["token_count"] += sum(counts)
        tool = self._step(
            rows, thread, self.identity(), run, "tool", self.chance.choice(TOOLS), at, end,
            input={"query": self.text()}, output={"content": self.text()},
        )  # fmt: skip
        if self.chance.random() < 0.02:
            tool |= {"error": "Timed out after 30 s.", "is_error": 1}
            thread["error_count"] += 1
        answer = self.identity()
        self._step(rows, thread, answer, run, "assistant_message", "answer", end, end, output={"content": self.text()})
        if self.chance.random() < 0.05:
            rows.scores.append(self._score(answer, end))
        return end

    def _step(
        self, rows: Rows, thread: Row, identity: str, parent: str | None, kind: str, name: str, at: int,
        end: int | None = None, **values: Any,
    ) -> Row:  # fmt: skip
        row = {
            "project_id": PROJECT, "id": identity, "thread_id": thread["id"], "parent_id": parent, "type": kind,
            "name": name, "environment": "prod", "start_time": at, "end_time": end or at, "created_at": at,
            "updated_at": at, "is_error": 0, "error": None, "model": None, "provider": None, "input_tokens": None,
            "output_tokens": None, "token_count": None, "generation": None, "tags": None, "metadata": "{}",
            "input": json.dumps(values["input"]) if "input" in values else None,
            "output": json.dumps(values["output"]) if "output" in values else None,
        }  # fmt: skip
        rows.steps.append(row)
        return row

    def _score(self, step: str, at: int) -> Row:
        value = float(self.chance.random() < 0.8)
        return {
            "project_id": PROJECT, "id": self.identity(), "step_id": step, "name": "user-feedback", "type": "HUMAN",
            "value": value, "created_at": at, "updated_at": at,
        }  # fmt: skip
