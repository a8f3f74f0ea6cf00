"""The demo data: the same for a seed, added once, recent, and with everything in it that a reviewer meets."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from literalai import LiteralClient

from literal_server import clock, payloads
from literal_server.db import Database
from literal_server.demo.fill import fill
from literal_server.demo.threads import THREADS, rows
from literal_server.settings import ServerSettings
from tests.literal_server.exchange_help import PROJECT, everything, export_all, store_of, take_in
from tests.literal_server.server_process import ServerProcess, done
from tests.literal_server.wire import KEY

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000_000_000
DAY = 24 * 60 * 60 * 1_000_000


@pytest.fixture
async def store(server_settings: ServerSettings, anyio_backend: str) -> AsyncIterator[Database]:
    opened = Database(server_settings.database_path, session_info=payloads.session_info(server_settings))
    yield opened
    await opened.close()


@pytest.fixture
async def filled(store: Database) -> dict[str, list[Any]]:
    await fill(store, store_of(store), PROJECT, 1, NOW)
    return await everything(store)


async def test_a_second_time_adds_nothing(store: Database) -> None:
    """Also days later, when all moments would be others, and when a thread was deleted in between."""
    added = await fill(store, store_of(store), PROJECT, 1, NOW)
    assert added["thread"] == THREADS
    before = await everything(store)

    assert (await fill(store, store_of(store), PROJECT, 1, NOW + 3 * DAY)).total() == 0
    assert await everything(store) == before
    assert (await fill(store, store_of(store), PROJECT, 2, NOW))["thread"] == THREADS


def test_a_seed_makes_the_same() -> None:
    """The same seed makes the same rows, at the same distance from the present."""
    first, again, later = list(rows(7, NOW)), list(rows(7, NOW)), list(rows(7, NOW + DAY))

    assert first == again
    assert [line["id"] for _, line in first] == [line["id"] for _, line in later]
    ages = [
        (clock.parse_time(one["createdAt"]), clock.parse_time(other["createdAt"]))
        for (_, one), (_, other) in zip(first, later, strict=True)
    ]
    assert {late - early for early, late in ages} == {DAY}


async def test_it_is_of_the_last_two_weeks(filled: dict[str, list[Any]]) -> None:
    """Threads lie in the last fifteen days, none in the future, none still running."""
    created = [thread["created_at"] for thread in filled["thread"]]

    assert min(created) > NOW - 15 * DAY
    assert max(step["end_time"] for step in filled["step"]) <= NOW
    assert {thread["open_count"] for thread in filled["thread"]} == {0}
    assert len({moment // DAY for moment in created}) > 10


async def test_it_has_what_a_reviewer_meets(filled: dict[str, list[Any]]) -> None:
    """Several users and models, tools that fail, errors, cancelled and superseded turns, judgements, files, tokens."""
    steps, threads, scores = filled["step"], filled["thread"], filled["score"]
    metadata = [step["metadata_"] or {} for step in steps]

    assert len({thread["participant_id"] for thread in threads}) >= 4
    assert len({step["model"] for step in steps if step["type"] == "llm"}) >= 3
    assert any(step["type"] == "tool" and step["error"] for step in steps)
    assert any(step["type"] == "run" and step["error"] for step in steps)
    assert any(one.get("outcome") == "cancelled" for one in metadata)
    assert any("superseded" in one for one in metadata)
    assert {score["type"] for score in scores} == {"HUMAN", "AI"}
    assert any(score["name"] == "user-feedback" and score["comment"] for score in scores)
    assert {file["mime"] for file in filled["attachment"]} == {"image/png", "text/plain"}
    assert sum(thread["token_count"] for thread in threads) > 10_000
    assert {len(thread["tags"]) for thread in threads} >= {0, 1, 2}
    assert max(thread["turn_count"] for thread in threads) >= 20


async def test_tools_run_side_by_side(filled: dict[str, list[Any]]) -> None:
    """Some calls of one run overlap in time."""
    tools = [step for step in filled["step"] if step["type"] == "tool"]

    assert any(
        one["id"] != other["id"] and one["parent_id"] == other["parent_id"] and one["start_time"] == other["start_time"]
        for one in tools
        for other in tools
    )


async def test_it_survives_a_round_trip(store: Database, tmp_path: Path) -> None:
    """Exported and imported into an empty store, the demo data is the same in every field."""
    await fill(store, store_of(store), PROJECT, 1, NOW)
    other = Database(tmp_path / "other.db")
    await other.migrate()
    _, words = await take_in(other, await export_all(store))

    assert words == []
    assert await everything(other) == await everything(store)
    await other.close()


async def test_files_can_be_opened(store: Database) -> None:
    """The attachments' files are there: small pictures and texts."""
    await fill(store, store_of(store), PROJECT, 1, NOW)
    found = [line for line in await export_all(store) if line["kind"] == "file"]
    heads = {base64.b64decode(line["base64"])[:7] for line in found}

    assert heads == {b"\x89PNG\r\n\x1a", b"Invoice"}


def test_the_sdk_finds_the_prompt_and_the_dataset(tmp_path: Path) -> None:
    """On a server with the demo data the SDK reads `Default`, renders it, and finds a dataset with items."""
    data = tmp_path / "data"
    done(data, "demo-data")
    server = ServerProcess(data, LITERAL_API_KEY=KEY)
    client: Any = LiteralClient(url=server.url, api_key=KEY, disabled=True)
    prompt = client.api.get_prompt(name="Default", version=0)

    assert (prompt.version, prompt.provider, len(prompt.template_messages)) == (0, "openai", 1)
    rendered = "Hello, this is a test value and this\n\n* item 0\n* item 1\n* item 2\n\nis a templated list."
    assert prompt.format_messages()[0]["content"] == rendered
    edited = prompt.format_messages(test_var="Edited value")[0]["content"]
    assert edited == rendered.replace("a test value", "a Edited value")
    assert [(one["version"], one["rollout"]) for one in client.api.get_prompt_ab_testing(name="Default")] == [(0, 100)]
    assert len(client.api.get_dataset(name="Questions with tools").items) == 6
    assert done(data, "demo-data") == "Added to the project verbatim: nothing, it is all there.\n"
    assert server.stop() == 0
