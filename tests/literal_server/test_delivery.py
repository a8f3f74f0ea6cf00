"""Reports over real sockets: many at once, and a server that is killed right after its answer."""

import asyncio
import contextlib
import random
import signal
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.literal_server.server_process import ServerProcess
from tests.literal_server.wire import KEY, Wire, gql

pytestmark = pytest.mark.anyio

TURNS = 10


def reports_of_a_turn(turn: int) -> list[dict[str, Any]]:
    """What a chat sends about one turn: starts, ends, a file alone, and a retry."""
    start, end = f"2025-01-01T10:{turn:02}:00Z", f"2025-01-01T10:{turn:02}:30Z"
    ask, run, llm = (f"{name}{turn}" for name in ("ask", "run", "llm"))
    ended = {"id": run, "parentId": ask, "type": "run", "startTime": start, "endTime": end, "output": {"content": "ok"}}
    return [
        {"id": ask, "type": "user_message", "startTime": start, "endTime": start, "output": {"content": f"q{turn}"}},
        {"id": run, "parentId": ask, "type": "run", "startTime": start},
        ended,
        ended,
        {"id": llm, "parentId": run, "type": "llm", "startTime": start, "generation": {"model": "m"}},
        {"id": llm, "type": "llm", "startTime": start, "endTime": end, "generation": {"model": "m", "tokenCount": 7}},
        {"id": run, "attachments": [{"id": f"file{turn}", "name": "x", "url": "u"}]},
    ]


async def test_many_at_once(address: str) -> None:
    """Seventy reports and as many upserts of one new thread, all at the same time, each on its own connection."""
    requests = [one for turn in range(TURNS) for one in reports_of_a_turn(turn)]
    random.Random(7).shuffle(requests)  # noqa: S311 - disorder, not a secret

    async def one(report: dict[str, Any]) -> None:
        async with httpx.AsyncClient(base_url=address, headers={"x-api-key": KEY}, timeout=60) as client:
            await Wire(client).report({**report, "threadId": "t"})
            await Wire(client).send(gql.UPSERT_THREAD, {"id": "t", "name": "hello", "participantId": "ada"})

    await asyncio.gather(*(one(report) for report in requests))
    async with httpx.AsyncClient(base_url=address, headers={"x-api-key": KEY}) as client:
        thread = await Wire(client).thread("t")
        listed = await Wire(client).send(gql.LIST_THREADS)
        users = await Wire(client).send(gql.GET_PARTICIPANTS)
    assert [edge["node"]["tokenCount"] for edge in listed["edges"]] == [7 * TURNS]
    assert (thread["name"], users["totalCount"]) == ("hello", 1)
    expected = [f"{name}{turn}" for turn in range(TURNS) for name in ("ask", "run", "llm")]
    assert [step["id"] for step in thread["steps"]] == expected
    runs = [step for step in thread["steps"] if step["type"] == "run"]
    assert all((len(run["attachments"]), run["output"]) == (1, {"content": "ok"}) for run in runs)


async def test_answered_is_stored(tmp_path: Path) -> None:
    """What was answered is in the database of a server that is killed at that very moment, and it starts again."""
    data = tmp_path / "data"
    for number in range(3):
        server = ServerProcess(data, LITERAL_API_KEY=KEY)
        async with httpx.AsyncClient(base_url=server.url, headers={"x-api-key": KEY}) as client:
            await Wire(client).report({"id": f"s{number}", "threadId": "t", "output": {"content": str(number)}})
            server.stop(signal.SIGKILL)
        with contextlib.closing(sqlite3.connect(data / "literal.db")) as database:
            found = [row[0] for row in database.execute("SELECT output FROM steps ORDER BY id")]
        assert found == [f'{{"content":"{one}"}}' for one in range(number + 1)]
