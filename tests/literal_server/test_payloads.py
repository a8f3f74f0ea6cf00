"""Values too large for a row: kept whole beside the database, read back whole, shown by their beginning."""

import json
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from starlette.applications import Starlette

from literal_server import payloads, purge
from literal_server.app import create_app
from literal_server.settings import ServerSettings
from literal_server.tables import Step, Thread
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

MARKER = "kJ4x-whole"
LARGE = f"{'é' * 60_000}{MARKER}"


@pytest.fixture
async def server(server_settings: ServerSettings, anyio_backend: str) -> AsyncIterator[Starlette]:
    limits = {"max_metadata_bytes": 20_000, "max_payload_bytes": 100_000, "max_read_bytes": 1_000_000}
    made = create_app(server_settings.model_copy(update=limits))
    async with made.router.lifespan_context(made):
        yield made


async def row_of(server: Starlette, table: type[Step] | type[Thread], identity: str) -> Any:
    async with server.state.api.database.reading() as session:
        return await session.scalar(select(table).where(table.id == identity))


def files(server: Starlette) -> list[str]:
    folder = server.state.api.settings.payloads_dir
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


async def test_large_values_come_back_whole(wire: Wire, server: Starlette) -> None:
    """Input, output, metadata and keys of a generation may be of any size: the row keeps their beginning."""
    messages = [{"role": "user", "content": LARGE}, {"role": "user", "content": "and this"}]
    report = {
        "id": "s", "threadId": "t", "type": "llm", "name": "short", "input": {"city": "Paris", "blob": LARGE},
        "output": {"content": LARGE}, "metadata": {"a": LARGE[-30_000:]}, "error": LARGE,
        "generation": {"model": "m", "messages": messages, "tokenCount": 3},
    }  # fmt: skip
    await wire.report(report, {"id": "other", "threadId": "t"})
    thread = await wire.thread("t")
    for step in (await wire.step("s"), next(one for one in thread["steps"] if one["id"] == "s")):
        for name in ("input", "output", "metadata", "error", "name"):
            assert step[name] == report[name]
        assert step["generation"]["messages"] == messages
        assert step["generation"]["tokenCount"] == 3
    row = await row_of(server, Step, "s")
    assert row.input["city"] == "Paris"
    assert MARKER not in json.dumps([row.input, row.output, row.metadata_, row.error, row.generation])
    assert row.payloads.keys() == {"input", "output", "metadata", "error", "generation.messages"}
    assert "more characters are stored" in row.output["content"]


async def test_a_large_value_is_merged_like_any_other(wire: Wire, server: Starlette) -> None:
    """A retry changes nothing, an older report does not cover it, an empty one neither, a newer small one does."""
    times = {"startTime": "2025-01-01T10:00:00Z", "endTime": "2025-01-01T10:00:02Z"}
    for _ in range(2):
        await wire.report({"id": "s", "output": {"content": LARGE}, "generation": {"prompt": LARGE}, **times})
    assert len(files(server)) == 2
    await wire.report({"id": "s", "output": {"content": "old"}, "startTime": times["startTime"]})
    await wire.report({"id": "s", "output": {"content": ""}, "generation": {"model": "m"}})
    step = await wire.step("s")
    assert (step["output"], step["generation"]["prompt"]) == ({"content": LARGE}, LARGE)
    await wire.send(gql.UPDATE_STEP, {"id": "s", "name": "renamed"})
    assert (await row_of(server, Step, "s")).payloads.keys() == {"output", "generation.prompt"}
    await wire.report({"id": "s", "output": {"content": "new"}, **times})
    assert (await wire.step("s"))["output"] == {"content": "new"}
    assert (await row_of(server, Step, "s")).payloads.keys() == {"generation.prompt"}


async def test_metadata_of_a_thread(wire: Wire, server: Starlette) -> None:
    """Keys are laid over the whole of what is stored, not over its beginning."""
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "metadata": {"a": LARGE, "b": 1}})
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "metadata": {"b": 2}})
    assert (await wire.thread("t"))["metadata"] == {"a": LARGE, "b": 2}
    assert MARKER not in json.dumps((await row_of(server, Thread, "t")).metadata_)
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "metadata": {"a": None}})
    assert (await wire.thread("t"))["metadata"] == {"b": 2}


async def test_one_answer_reads_so_much_and_no_more(wire: Wire) -> None:
    """Where the whole values of a page would fill the memory the previews stay, and say that they are previews."""
    await wire.report(*({"id": f"s{number}", "output": {"content": LARGE}} for number in range(20)))
    page = await wire.send(gql.GET_STEPS, {"first": 20})
    sizes = sorted(len(edge["node"]["output"]["content"]) for edge in page["edges"])
    assert (sizes[0] < 3_000, sizes[-1]) == (True, len(LARGE))
    for number in range(20):
        assert (await wire.step(f"s{number}"))["output"]["content"] == LARGE


async def test_purge_removes_the_files(wire: Wire, server: Starlette) -> None:
    """With a purged step or thread its files go, those of others stay."""
    for thread in ("t1", "t2"):
        await wire.report({"id": f"{thread}-s", "threadId": thread, "output": {"content": LARGE}})
        await wire.send(gql.UPSERT_THREAD, {"id": thread, "metadata": {"a": LARGE}})
    await wire.report({"id": "alone", "threadId": "t2", "output": {"content": LARGE}})
    assert len(files(server)) == 5
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t1"})
    await wire.send(gql.DELETE_STEP, {"id": "alone"})
    await purge.purge(server.state.api.database)
    assert len(files(server)) == 2
    assert (await wire.thread("t2"))["steps"][0]["output"]["content"] == LARGE


async def test_a_lost_file_leaves_its_thread_readable(wire: Wire, server: Starlette) -> None:
    """Where a file is gone the beginning of its value is shown."""
    await wire.report({"id": "s", "threadId": "t", "output": {"content": LARGE}})
    for path in server.state.api.settings.payloads_dir.rglob("*.json"):
        path.unlink()
    assert (await wire.thread("t"))["steps"][0]["output"]["content"].startswith("éé")


@pytest.mark.parametrize("value", ["x" * 9, {"a": ["x" * 50_000] * 50}, [[[1]] * 500], {str(n): n for n in range(999)}])
def test_preview_is_short_and_of_the_same_shape(value: Any) -> None:
    """A preview has at most some twenty thousand characters."""
    shown = payloads.preview(value)
    assert type(shown) is type(value)
    assert len(json.dumps(shown)) < 40_000


async def test_writing_fails_for_one_and_not_for_the_next(
    wire: Wire, http: httpx.AsyncClient, server: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a file cannot be written nothing of the request is stored, and it can be sent again."""

    def full(*_arguments: Any) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(payloads.PayloadStore, "write", full)
        variables = {"id_0": "s", "output_0": {"content": LARGE}}
        body = {"query": gql.steps_query_builder([{"id": "s"}]), "variables": variables}
        assert (await http.post("/api/graphql", json=body)).json()["data"] is None
    assert await wire.step("s") is None
    await wire.report({"id": "s", "output": {"content": LARGE}})
    assert (await wire.step("s"))["output"]["content"] == LARGE


async def test_a_write_that_fails_leaves_nothing(
    wire: Wire, server: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What finds no room on the disk does not take the last of it, however often its client tries again."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as on_full_disk:
        on_full_disk.setattr(os, "fsync", full)
        for _ in range(3):
            with pytest.raises(AssertionError, match="unexpected error"):
                await wire.report({"id": "s", "threadId": "t", "output": {"content": LARGE}})
    assert files(server) == []
    await wire.report({"id": "s", "threadId": "t", "output": {"content": LARGE}})
    assert len(files(server)) == 1


async def test_the_name_of_a_file_is_on_disk_too(
    wire: Wire, server: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut after the answer loses no file: the folders that it is named in are written before."""
    synced = set()
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    await wire.report({"id": "s", "threadId": "t", "output": {"content": LARGE}})

    root = server.state.api.settings.payloads_dir
    assert {path.stat().st_ino for path in (root.parent, root, *root.rglob("*"))} <= synced
