"""Changes that wait for the writer together are committed together, and none of them can spoil another."""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from literalai.api.helpers.gql import steps_query_builder
from sqlalchemy import func, select
from starlette.applications import Starlette

from literal_server import ingest, totals
from literal_server.changes import Changes
from literal_server.db import Database
from literal_server.group_commit import LARGEST_GROUP, GroupCommit
from literal_server.ingest import StepReport
from literal_server.plain_rows import PlainRows, PlainStep
from literal_server.tables import Step, Thread
from tests.app_process import wait_until
from tests.literal_server.wire import Wire

pytestmark = pytest.mark.anyio

Work = Callable[[PlainRows], str]


@pytest.fixture
def database(server: Starlette) -> Database:
    made: Database = server.state.api.database
    return made


@pytest.fixture
def group(database: Database) -> GroupCommit:
    return GroupCommit(database, Changes().tell)


def making(name: str, failure: Exception | None = None, transactions: list[PlainRows] | None = None) -> Work:
    """A change that makes a step, and notes the rows of the transaction that it is made in."""

    def work(plain: PlainRows) -> str:
        if transactions is not None:
            transactions.append(plain)
        plain.steps.add(PlainStep("project", name))
        if failure is not None:
            raise failure
        return name

    return work


async def stored(database: Database) -> set[str]:
    async with database.reading() as session:
        return set(await session.scalars(select(Step.id)))


async def test_those_who_wait_share_a_commit(database: Database, group: GroupCommit) -> None:
    """What comes while the writer is busy is committed at once, and each is answered by its own work."""
    transactions: list[PlainRows] = []
    names = [f"p{number}" for number in range(20)]
    async with database.writing():
        tasks = [asyncio.create_task(group.write(making(name, transactions=transactions))) for name in names]
        await asyncio.sleep(0)
        assert database.waiting > 0
    answers = await asyncio.gather(*tasks)

    assert answers == names
    assert await stored(database) == set(names)
    assert len(transactions) == 20
    assert len(set(transactions)) == 1
    # The server's own work at its start waits for the writer, too.
    await asyncio.to_thread(wait_until, lambda: database.waiting == 0, 10, lambda: f"{database.waiting} wait.")


async def test_a_group_has_an_end(database: Database, group: GroupCommit) -> None:
    """Large changes are not written together: whoever came first would wait for all of them."""
    transactions: list[PlainRows] = []
    works = [making(f"p{number}", transactions=transactions) for number in range(3)]
    async with database.writing():
        tasks = [asyncio.create_task(group.write(work, LARGEST_GROUP - 1)) for work in works]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert len(set(transactions)) == 3


async def test_one_that_fails_fails_alone(database: Database, group: GroupCommit) -> None:
    """A change that fails leaves nothing behind, and those that shared its transaction are stored all the same."""
    works = [making("a"), making("b", ValueError("no")), making("c"), making("d", OSError("disk"))]
    outcomes = await asyncio.gather(*(group.write(work) for work in works), return_exceptions=True)

    assert outcomes[0] == "a"
    assert outcomes[2] == "c"
    assert [str(one) for one in outcomes if isinstance(one, Exception)] == ["no", "disk"]
    assert await stored(database) == {"a", "c"}


async def test_nobody_is_answered_what_cannot_be_committed(database: Database, group: GroupCommit) -> None:
    """When the commit fails each of the group hears so, nothing is stored, and the next one is."""

    def no_commit(action: int, kind: str | None, *_: object) -> int:
        is_commit = action == sqlite3.SQLITE_TRANSACTION and kind == "COMMIT"
        return sqlite3.SQLITE_DENY if is_commit else sqlite3.SQLITE_OK

    writer = await database.transact(lambda connection: connection)
    writer.set_authorizer(no_commit)
    outcomes = await asyncio.gather(*(group.write(making(name)) for name in "abc"), return_exceptions=True)
    writer.set_authorizer(None)

    assert [str(one) for one in outcomes] == ["not authorized"] * 3
    assert await stored(database) == set()
    assert await group.write(making("later")) == "later"
    assert await stored(database) == {"later"}


async def test_a_full_disk_is_told(database: Database, group: GroupCommit) -> None:
    """When the disk has no room for what is written its client hears so, and the next one that fits is stored."""
    writer = await database.transact(lambda connection: connection)
    most = writer.execute("PRAGMA max_page_count").fetchone()[0]
    writer.execute("PRAGMA max_page_count=1")  # as many as there are
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        await group.write(making("x" * 1_000_000))
    writer.execute(f"PRAGMA max_page_count={most}")

    assert await stored(database) == set()
    assert await group.write(making("later")) == "later"
    assert await stored(database) == {"later"}


async def test_who_goes_away_keeps_nobody_waiting(database: Database, group: GroupCommit) -> None:
    """A request that is given up while it waits does not hold up the others, nor those that come later."""
    async with database.writing():
        gone, stays = (asyncio.create_task(group.write(making(name))) for name in ("gone", "stays"))
        await asyncio.sleep(0)
        gone.cancel()
    assert await stays == "stays"
    assert await group.write(making("later")) == "later"
    assert {"stays", "later"} <= await stored(database)


async def test_requests_at_once_are_all_stored(http: httpx.AsyncClient, server: Starlette, wire: Wire) -> None:
    """Many reports of few steps at once, some refused: each is answered for itself, and the totals are right."""
    kinds = ("run", "user_message")

    async def send(number: int) -> dict[str, Any]:
        values: dict[str, Any] = {"id_0": f"s{number % 7}", "threadId_0": f"t{number % 2}", "type_0": kinds[number % 2]}
        values |= {"endTime_0": "2026-01-01T10:00:00Z", "name_0": f"n{number}"}
        values |= {"scores_0": ["no score"]} if number == 5 else {}
        body = {"query": steps_query_builder([{}]), "variables": values}
        answer = await http.post("/api/graphql", json=body)
        return dict(answer.json()["data"]["step0"])

    answers = await asyncio.gather(*(send(number) for number in range(40)))
    assert [number for number, answer in enumerate(answers) if not answer["ok"]] == [5]
    api = server.state.api
    async with api.database.writing() as session:
        assert await session.scalar(select(func.count()).select_from(Step)) == 7
        for thread in (await session.scalars(select(Thread))).all():
            kept = thread.turn_count, thread.open_count, thread.last_activity
            await totals.recount(session, thread)
            assert kept == (thread.turn_count, thread.open_count, thread.last_activity)


async def test_a_batch_finds_what_its_company_has_changed(
    database: Database, group: GroupCommit, server: Starlette
) -> None:
    """Two batches in one transaction that tell of one new step make one row of it."""
    project = server.state.api.project

    def telling(report: StepReport) -> Callable[[PlainRows], None]:
        return lambda plain: ingest.ingest_plainly(plain, project, report)

    first = StepReport("s", thread_id="t", name="first", end_time=1)
    second = StepReport("s", thread_id="t", output="second", end_time=2)
    await asyncio.gather(group.write(telling(first)), group.write(telling(second)))
    async with database.reading() as session:
        step = await session.get(Step, (project, "s"))
    assert step is not None
    assert (step.name, step.output, step.end_time) == ("first", "second", 2)
