"""Deleting, bringing back and purging: what is deleted is hidden with its own, comes back alone, and ends for good."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.applications import Starlette

from literal_server import clock, deletions, purge, search
from literal_server.collection_tables import Dataset, DatasetItem
from literal_server.errors import NotFound, Refused
from literal_server.paging import PageRequest
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

MARKER = "wTqZ7kXv-forget-me"
LONG_AGO = "2025-01-01T10:00:00Z"
IN_A_WHILE = "2199-01-01T10:00:00Z"

Work = Callable[..., Awaitable[Any]]


async def write(server: Starlette, work: Work, *arguments: Any) -> Any:
    api = server.state.api
    async with api.database.writing() as session:
        return await work(session, api.project, *arguments)


async def restore(server: Starlette, kind: str, identity: str) -> Any:
    return await write(server, deletions.restore, kind, identity)


async def one_turn(wire: Wire, thread: str, text: str = "hello") -> None:
    """A thread of two steps, with everything that can hang on one; every text of it is the one given."""
    own = {"threadId": thread, "startTime": LONG_AGO, "endTime": LONG_AGO, "name": text, "tags": [text]}
    await wire.report(
        {**own, "id": f"{thread}-ask", "type": "user_message", "output": {"content": text}, "metadata": {"a": text}},
        {**own, "id": f"{thread}-llm", "parentId": f"{thread}-ask", "type": "llm", "input": {"content": text},
         "error": text, "generation": {"model": text, "messages": [{"role": "user", "content": text}], "tokenCount": 5},
         "scores": [{"id": f"{thread}-score", "name": text, "type": "HUMAN", "value": 1, "comment": text}],
         "attachments": [{"id": f"{thread}-file", "name": text, "url": f"https://x.test/{text}"}]},
    )  # fmt: skip
    await wire.send(
        gql.UPSERT_THREAD, {"id": thread, "name": text, "participantId": text, "metadata": {"b": text}, "tags": [text]}
    )


async def test_restored_thread_is_the_one_that_was_deleted(wire: Wire, server: Starlette) -> None:
    """A thread comes back with all that went with it, and what was deleted before on its own stays deleted."""
    await one_turn(wire, "t")
    await wire.report({"id": "gone", "threadId": "t", "output": {"content": "x"}})
    await wire.send(gql.DELETE_STEP, {"id": "gone"})
    before = await wire.thread("t")
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t"})
    for query, identity in ((gql.GET_STEP, "t-llm"), (gql.GET_ATTACHMENT, "t-file"), (gql.GET_THREAD, "t")):
        assert await wire.send(query, {"id": identity}) is None
    assert (await wire.send(gql.GET_SCORES))["totalCount"] == 0
    await restore(server, "thread", "t")
    assert await wire.thread("t") == before
    assert await wire.step("gone") is None
    assert (await wire.send(gql.GET_SCORES))["totalCount"] == 1


async def test_late_reports_come_back_with_their_thread(wire: Wire, server: Starlette) -> None:
    """What began before the deletion and was reported after it is hidden, and not lost when the thread comes back."""
    await one_turn(wire, "t")
    await wire.send(gql.CREATE_SCORE, {"name": "early", "type": "AI", "value": 1, "stepId": "late"})
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t"})
    await wire.report({"id": "late", "threadId": "t", "startTime": LONG_AGO, "output": {"content": "at last"}})
    assert (await wire.send(gql.GET_SCORES))["totalCount"] == 0
    await restore(server, "thread", "t")
    assert (await wire.step("late"))["output"] == {"content": "at last"}
    assert [one["name"] for one in (await wire.step("late"))["scores"]] == ["early"]


async def test_step_that_begins_after_the_deletion_is_refused(wire: Wire, server: Starlette) -> None:
    """The client is told that the thread is deleted; other steps of the batch are stored; so also after the purge."""
    await one_turn(wire, "t")
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t"})
    for _ in range(2):
        steps = [{"id": "new", "threadId": "t", "startTime": IN_A_WHILE}, {"id": "other", "threadId": "elsewhere"}]
        body = await wire.post(gql.steps_query_builder(steps), gql.steps_variables_builder(steps))
        assert body["data"] == {
            "step0": {"ok": False, "message": "thread deleted"},
            "step1": {"ok": True, "message": None},
        }
        assert (await wire.step("other"))["threadId"] == "elsewhere"
        made = await wire.post(gql.CREATE_STEP, {"threadId": "t", "startTime": IN_A_WHILE})
        assert made["errors"][0]["message"] == "thread deleted"
        # An end or a file of a step that began before is no new step.
        await wire.report({"id": "t-llm", "threadId": "t", "startTime": LONG_AGO, "endTime": IN_A_WHILE})
        await wire.report({"id": "unknown", "threadId": "t"})
        assert await wire.thread("t") is None
        await purge.purge(server.state.api.database)


async def test_deleted_before_it_is_known(wire: Wire, server: Starlette) -> None:
    """A thread whose deletion overtakes its first report stays deleted."""
    assert await wire.send(gql.DELETE_THREAD, {"thread_id": "early"}) is None
    await wire.report({"id": "s", "threadId": "early", "startTime": LONG_AGO})
    assert await wire.thread("early") is None


async def test_each_kind_can_be_restored(wire: Wire, server: Starlette) -> None:
    """A step comes back with its scores and files and the thread's totals, the others alone; twice is not found."""
    await one_turn(wire, "t")
    before = await wire.thread("t")
    user = before["participant"]["id"]
    deleted = {
        "step": (gql.DELETE_STEP, "t-llm"),
        "score": (gql.DELETE_SCORE, "t-score"),
        "attachment": (gql.DELETE_ATTACHMENT, "t-file"),
        "participant": (gql.DELETE_PARTICIPANT, user),
    }
    for kind, (document, identity) in deleted.items():
        await wire.send(document, {"id": identity})
        assert await wire.thread("t") != before
        await restore(server, kind, identity)
        assert await wire.thread("t") == before
        with pytest.raises(NotFound):
            await restore(server, kind, identity)


async def test_what_cannot_live_again_says_why(wire: Wire, server: Starlette) -> None:
    """A step of a deleted thread, a file of a deleted step and a user whose name is taken are refused with a reason."""
    await one_turn(wire, "t")
    user = (await wire.thread("t"))["participant"]["id"]
    await wire.send(gql.DELETE_PARTICIPANT, {"id": user})
    await wire.send(gql.CREATE_PARTICIPANT, {"identifier": "hello"})
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t"})
    for kind, identity in (("participant", user), ("step", "t-llm"), ("attachment", "t-file"), ("score", "t-score")):
        with pytest.raises(Refused, match=r"restore that one|by now"):
            await restore(server, kind, identity)


async def test_deleted_threads_are_listed(wire: Wire, server: Starlette) -> None:
    """People see which threads were deleted, when and through which client, the last first."""
    for thread in ("a", "b"):
        await one_turn(wire, thread)
        await wire.send(gql.DELETE_THREAD, {"thread_id": thread}, **{"x-client-name": f"client of {thread}"})
    api = server.state.api
    async with api.database.reading() as session:
        page = await deletions.list_threads(session, api.project, api.settings, PageRequest())
    assert [(row.id, row.deleted_by) for row in page.rows] == [("b", "client of b"), ("a", "client of a")]


async def test_purged_text_is_nowhere_in_the_data_folder(wire: Wire, server: Starlette) -> None:
    """After the purge no file of the data folder holds a word of what was deleted, and the rest is untouched."""
    api = server.state.api
    for number in range(30):  # so that pages of the database are split and filled again
        await one_turn(wire, f"keep{number}", f"stay {number} " * 20)
        if number % 3 == 0:
            await one_turn(wire, f"t{number}", f"{MARKER} " * (number + 1))
    await wire.report({"id": "alone", "threadId": "keep0", "output": {"content": MARKER}, "parentId": "keep0-ask"})
    await wire.report({"id": "child", "threadId": "keep0", "parentId": "alone"})
    kept = [await wire.thread(f"keep{number}") for number in range(1, 30)]
    people = [edge["node"] for edge in (await wire.send(gql.GET_PARTICIPANTS, {"first": 1000}))["edges"]]
    await search.catch_up(api.database)
    assert "search.db" in {name.removesuffix("-wal") for name in holding(server)}
    for number in range(0, 30, 3):
        await wire.send(gql.DELETE_THREAD, {"thread_id": f"t{number}"})
    await wire.send(gql.DELETE_STEP, {"id": "alone"})
    for user in people:
        if MARKER in user["identifier"]:
            await wire.send(gql.DELETE_PARTICIPANT, {"id": user["id"]})
    gone = await purge.purge(api.database)
    assert gone == {"threads": 10, "steps": 21, "scores": 10, "attachments": 10, "participants": 10}
    assert holding(server) == []
    assert [await wire.thread(f"keep{number}") for number in range(1, 30)] == kept
    child = next(step for step in (await wire.thread("keep0"))["steps"] if step["id"] == "child")
    assert child["parentId"] == "keep0-ask"
    assert await purge.purge_at_once(api.database) == {}
    assert [await wire.thread(f"keep{number}") for number in range(1, 30)] == kept


async def test_a_purge_ends_what_another_has_begun(
    wire: Wire, server: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one that failed when the rows were gone already, the next one clears their words out of the index."""
    database = server.state.api.database
    await one_turn(wire, "keep", "stay " * 20)
    await one_turn(wire, "t", f"{MARKER} " * 20)
    await search.catch_up(database)
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t"})

    async def broken(_database: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as failing:
        failing.setattr(search, "forget_purged", broken)
        with pytest.raises(OSError, match="full"):
            await purge.purge(database)
    assert (await purge.purge_at_once(database))["steps"] == 0
    assert [name for name in holding(server) if name.startswith("search")] == []


def holding(server: Starlette) -> list[str]:
    """The files of the data folder that have the marker's first word, without the letter that an index may share."""
    folder = server.state.api.settings.data_dir
    files = [path for path in folder.rglob("*") if path.is_file()]
    word = MARKER.lower().partition("-")[0].encode()[1:]
    return [path.name for path in files if word in path.read_bytes().lower()]


async def test_files_go_with_their_last_attachment(wire: Wire, http: httpx.AsyncClient, server: Starlette) -> None:
    """An uploaded file is removed when no attachment names it any more, and its address leads nowhere."""
    folder = server.state.api.settings.files_dir
    asked = {"fileName": "x", "contentType": "text/plain"}
    signed = (await http.post("/api/upload/file", json=asked)).json()
    post = signed["post"]
    uploaded = await http.post(post["url"], data=post["fields"], files={"file": ("x", MARKER.encode(), "text/plain")})
    assert uploaded.is_success
    for thread in ("t1", "t2"):
        attachment = {"id": thread, "name": "x", "objectKey": post["fields"]["key"]}
        await wire.report({"id": f"s-{thread}", "threadId": thread, "attachments": [attachment]})
    for thread, left in (("t1", 1), ("t2", 0)):
        await wire.send(gql.DELETE_THREAD, {"thread_id": thread})
        await purge.purge(server.state.api.database)
        assert len([path for path in folder.rglob("*") if path.is_file()]) == left
        assert (await http.get(signed["signedUrl"])).status_code == (200 if left else 404)
    assert holding(server) == []


async def test_nothing_purged_comes_back(wire: Wire, server: Starlette) -> None:
    """Late reports of a purged thread, step or user are taken and forgotten, so that the sender stops sending them."""
    await one_turn(wire, "t")
    await wire.report({"id": "alone", "threadId": "living", "output": {"content": "x"}})
    user = (await wire.thread("t"))["participant"]["id"]
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t"})
    await wire.send(gql.DELETE_STEP, {"id": "alone"})
    await wire.send(gql.DELETE_PARTICIPANT, {"id": user})
    await purge.purge(server.state.api.database)
    await wire.report({"id": "t-llm", "threadId": "t", "startTime": LONG_AGO, "output": {"content": MARKER}})
    await wire.report({"id": "alone", "threadId": "living", "output": {"content": MARKER}})
    assert (await wire.send(gql.UPSERT_THREAD, {"id": "t", "name": MARKER}))["id"] == "t"
    assert await wire.send(gql.DELETE_THREAD, {"thread_id": "t"}) is None
    await wire.send(gql.UPSERT_THREAD, {"id": "living", "participantId": user})
    assert holding(server) == []
    assert (await wire.send(gql.GET_PARTICIPANTS))["totalCount"] == 0
    assert [await wire.thread("t"), await wire.step("t-llm"), await wire.step("alone")] == [None, None, None]
    for kind, identity in (("thread", "t"), ("step", "alone"), ("participant", user)):
        with pytest.raises(NotFound):
            await restore(server, kind, identity)


async def test_purge_waits_for_its_time(wire: Wire, server: Starlette) -> None:
    """Only what was deleted before the moment goes; a thread that is half gone cannot be restored."""
    api = server.state.api
    await one_turn(wire, "t")
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t"})
    assert await purge.purge(api.database, before=clock.now() - purge.DAY) == {}
    await restore(server, "thread", "t")
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t"})
    async with api.database.writing() as session:
        assert await purge.purge_some(session, clock.now() + 1, limit=1) == {"steps": 1}
    with pytest.raises(Refused, match="being purged"):
        await restore(server, "thread", "t")
    assert (await purge.purge(api.database))["threads"] == 1


async def test_datasets_go_and_come_back_with_their_items(server: Starlette) -> None:
    """A dataset is restored with the items that were deleted with it, and purged with all it has."""
    api, now = server.state.api, clock.now()  # what was deleted long ago the server's own round may take away

    async def make(session: AsyncSession, project: str) -> None:
        common: dict[str, Any] = {"project_id": project, "metadata_": {}, "created_at": 1}
        for name, deleted_at in (("list", now), ("kept", None)):
            session.add(Dataset(id=name, name=name, type="key_value", updated_at=1, deleted_at=deleted_at, **common))
            for item, moment in (("with", deleted_at), ("before", now - 1)):
                identity = f"{name}-{item}"
                session.add(DatasetItem(id=identity, dataset_id=name, input=MARKER, deleted_at=moment, **common))

    async def living() -> list[str]:
        async with api.database.reading() as session:
            found = await session.scalars(select(DatasetItem.id).where(DatasetItem.deleted_at.is_(None)))
            return sorted(found)

    await write(server, make)
    with pytest.raises(Refused, match="restore that one"):
        await restore(server, "dataset_item", "list-with")
    await restore(server, "dataset", "list")
    assert await living() == ["kept-with", "list-with"]
    assert await purge.purge(api.database) == {"dataset_items": 2}
    async with api.database.writing() as session:
        await session.execute(update(Dataset).values(deleted_at=now))
    assert await purge.purge(api.database) == {"datasets": 2, "dataset_items": 2}
    assert holding(server) == []


async def test_a_client_can_ask_whether_a_thread_was_deleted(http: httpx.AsyncClient, wire: Wire) -> None:
    """Living, deleted and unknown are told apart, for who has the key; the wire answers null for the latter two."""
    for thread in ("living", "gone"):
        await wire.report({"id": f"m {thread}", "threadId": thread, "type": "user_message"})
    await wire.send("mutation D($id: String!) { deleteThread(id: $id) { id } }", {"id": "gone"})

    async def state(thread: object, **headers: str) -> httpx.Response:
        return await http.post("/api/verbatim/thread-state", json={"threadId": thread}, headers=headers)

    states = {thread: (await state(thread)).json()["state"] for thread in ("living", "gone", "never")}

    assert states == {"living": "living", "gone": "deleted", "never": "unknown"}
    assert (await state("gone", **{"x-api-key": "wrong"})).status_code == 401
    assert (await state(7)).status_code == 400
