"""Scores: single and in batches, on steps, on generations, on items of experiments."""

from typing import Any

import pytest
from starlette.applications import Starlette

from literal_server import deletions, purge, thread_list
from literal_server.paging import PageRequest
from tests.literal_server.wire import Wire, gql

NEWEST: Any = {"column": "createdAt", "direction": "DESC"}


def test_a_batch_keeps_its_order(client: Any) -> None:
    """Scores of a batch come back in the order in which they were sent, with exact values."""
    given: Any = [
        {"name": f"s{number}", "type": "AI", "value": number + 0.9234, "stepId": "s", "label": "good", "scorer": "me"}
        for number in range(12)
    ]
    made = client.api.create_scores(given)

    assert [(one["name"], one["value"]) for one in made] == [(one["name"], one["value"]) for one in given]
    assert {(one["label"], one["scorer"]) for one in made} == {("good", "me")}
    client.api.create_score(name="last", type="CODE", value=0, step_id="s", comment="late")
    (newest,) = client.api.get_scores(first=1, order_by=NEWEST).data
    assert (newest.name, newest.comment, newest.step_id) == ("last", "late", "s")


def test_a_batch_of_nothing(client: Any) -> None:
    """An empty list of scores, for which the SDK writes no valid document, is an empty list of answers."""
    assert client.api.create_scores([]) == []


@pytest.mark.anyio
async def test_a_score_on_a_generation(wire: Wire) -> None:
    """A generation's id is that of its step: a score that names it is a score of the step."""
    await wire.report({"id": "g", "type": "llm", "generation": {"model": "m"}})
    document = """mutation ($generationId: String) {
        createScore(name: "n", type: AI, value: 1, generationId: $generationId) { id stepId generationId } }"""
    made = await wire.send(document, {"generationId": "g"})

    assert (made["stepId"], made["generationId"]) == ("g", "g")
    assert [score["id"] for score in (await wire.step("g"))["scores"]] == [made["id"]]


@pytest.mark.anyio
async def test_comments_are_kept_or_emptied(wire: Wire) -> None:
    """A change without a comment keeps it, one with null empties it."""
    score = await wire.send(gql.CREATE_SCORE, {"name": "n", "type": "HUMAN", "value": 1, "comment": "why"})
    assert (await wire.send(gql.UPDATE_SCORE, {"id": score["id"], "value": 0}))["comment"] == "why"
    assert (await wire.send(gql.UPDATE_SCORE, {"id": score["id"], "value": 0, "comment": None}))["comment"] is None


async def scored(server: Starlette) -> dict[str, list[str]]:
    """Return the threads that a filter by a score finds, with the scores that the list shows of each."""
    api = server.state.api
    wanted = thread_list.Wanted(api.project, "score[n] = 1", None, 0)
    async with api.database.reading() as session:
        page = (await thread_list.read(session, wanted, api.settings, PageRequest(), "-activity")).page
        shown = await thread_list.scores_of(session, api.project, page.rows)
    return {row.id: [f"{one.name} x{one.count}" for one in shown[row.id]] for row in page.rows}


@pytest.mark.anyio
async def test_a_score_counts_where_its_step_is(wire: Wire, server: Starlette) -> None:
    """It counts in the thread of its step: when that arrives later, moves, is deleted, restored, and purged."""
    early, late = (
        {"startTime": f"2026-01-01T1{hour}:00:00Z", "endTime": f"2026-01-01T1{hour}:00:00Z"} for hour in "12"
    )
    await wire.send(gql.CREATE_SCORE, {"name": "n", "type": "HUMAN", "value": 1, "stepId": "s"})
    assert await scored(server) == {}
    await wire.report({"id": "s", "threadId": "one", **early})
    assert await scored(server) == {"one": ["n x1"]}
    await wire.report({"id": "s", "threadId": "two", **late, "scores": [{"name": "n", "type": "CODE", "value": 1}]})
    assert await scored(server) == {"two": ["n x2"]}
    await wire.send(gql.DELETE_STEP, {"id": "s"})
    assert await scored(server) == {}
    api = server.state.api
    async with api.database.writing() as session:
        await deletions.restore(session, api.project, "step", "s")
    assert await scored(server) == {"two": ["n x2"]}
    await wire.send(gql.DELETE_THREAD, {"thread_id": "two"})
    await purge.purge(api.database)
    assert await scored(server) == {}
