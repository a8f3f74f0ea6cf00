"""Callers that send what no client should: each gets an answer that says why, and the next one is served."""

import base64
import json
from typing import Any

import pytest
from starlette.applications import Starlette

from literal_server.graphql import service
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio


async def refused(wire: Wire, query: str, variables: dict[str, Any] | None = None) -> str:
    """Send what has to be refused, see that the server goes on, and answer the reason."""
    body = await wire.post(query, variables)
    assert body["errors"], body
    await wire.report({"id": "after"})
    message = str(body["errors"][0]["message"])
    assert message != service.UNEXPECTED
    return message


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_moments_that_no_calendar_holds(wire: Wire, moment: str) -> None:
    """A moment that its offset pushes out of the years 1 to 9999 is refused: it could never be shown."""
    message = await refused(wire, gql.CREATE_STEP, {"startTime": moment, "threadId": "t"})
    assert "A moment is a text" in message
    for edge in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        await wire.report({"id": edge, "threadId": "t", "startTime": edge, "endTime": edge})
    assert len((await wire.thread("t"))["steps"]) == 2


@pytest.mark.parametrize("number", [2**63, -(2**70), 10**400, 1e308])
async def test_numbers_beyond_the_database(wire: Wire, number: float) -> None:
    """A number that no column holds is compared, or refused in words, in filters and in cursors."""
    for operator in ("eq", "gt", "in"):
        value = [number] if operator == "in" else number
        given = [{"field": "tokenCount", "operator": operator, "value": value}]
        body = await wire.post(gql.LIST_THREADS, {"filters": given})
        assert body.get("errors", [{}])[0].get("message") != service.UNEXPECTED
        score = [{"field": "scoreValue", "operator": operator, "value": value, "path": "x"}]
        body = await wire.post(gql.LIST_THREADS, {"filters": score})
        assert body.get("errors", [{}])[0].get("message") != service.UNEXPECTED
    cursor = base64.urlsafe_b64encode(json.dumps([number, "a"]).encode()).decode()
    body = await wire.post(gql.LIST_THREADS, {"after": cursor})
    assert body.get("errors", [{}])[0].get("message") != service.UNEXPECTED
    await wire.report(
        {"id": "s", "type": "llm", "generation": {"tokenCount": number, "duration": number}, "input": number}
    )
    await wire.step("s")


@pytest.mark.parametrize(
    "cursor", ["", "x", "W10=", "bnVsbA==", "eyJhIjoxfQ==", "W251bGwsImEiXQ==", "\ud800", "é" * 50]
)
async def test_cursors_that_are_none(wire: Wire, cursor: str) -> None:
    """A cursor that this server did not make is refused as such, the empty one is none at all."""
    body = await wire.post(gql.LIST_THREADS, {"after": cursor})
    assert ("errors" in body) is bool(cursor), body
    if cursor:
        assert "no cursor" in body["errors"][0]["message"]


IDS = ["a/b", "..", "../../x", "line\nbreak", "\0", "\ud800", "'\"`\\", "%00", "?a=b#c", " ", "\u202e", "x" * 1_000]


@pytest.mark.parametrize("identity", IDS)
async def test_ids_of_any_characters(wire: Wire, identity: str, server: Starlette) -> None:
    """Any text is an id: what is stored under it is found, scored, shown on its page, and deleted."""
    await wire.report({"id": identity, "threadId": identity, "output": {"content": "x"}})
    await wire.send(gql.CREATE_SCORE, {"name": "x", "type": "AI", "value": 1, "stepId": identity})
    step = (await wire.thread(identity))["steps"][0]
    assert [score["name"] for score in step["scores"]] == ["x"]
    only = [{"field": "id", "operator": "eq", "value": identity}]
    assert (await wire.send(gql.LIST_THREADS, {"filters": only}))["totalCount"] == 1
    assert (await wire.send(gql.DELETE_THREAD, {"thread_id": identity}))["id"] == step["threadId"]
    assert await wire.step(identity) is None


NESTED = {"id": "s", "scores": [{"id": ["x" * 100_000], "name": "x", "value": 1}]}


async def test_ids_have_an_end(wire: Wire) -> None:
    """An id of 100 KB is refused in words, wherever it stands, and the rest of its batch is stored."""
    long = "x" * 100_000
    for named in ({"id": long}, {"id": "s", "threadId": long}, {"id": "s", "parentId": long}, NESTED):
        steps = [named, {"id": "good"}]
        body = await wire.post(gql.steps_query_builder(steps), gql.steps_variables_builder(steps))
        assert "at most" in body["data"]["step0"]["message"]
        assert body["data"]["step1"]["ok"]
        assert await wire.step("good") is not None
    for query, variables in (
        (gql.CREATE_GENERATION, {"generation": {"id": {"a": long}}}),
        (gql.UPSERT_THREAD, {"id": long}),
        (gql.UPSERT_THREAD, {"id": "t", "participantId": long}),
        (gql.CREATE_PARTICIPANT, {"identifier": long}),
        (gql.CREATE_SCORE, {"name": "x", "type": "AI", "value": 1, "stepId": long}),
    ):
        assert "at most" in await refused(wire, query, variables)


async def test_documents_have_an_end(wire: Wire) -> None:
    """Depth, breadth and length of a document are limited, with the setting named that says how much."""
    deep = "{threads{edges{node{" + "steps{thread{" * 7 + "id" + "}}" * 7 + "}}}}"
    assert "MAX_DEPTH" in await refused(wire, deep)
    fragments = "{...f} fragment f on Query {threads{edges{node{...g}}}} fragment g on Thread {steps{thread{...h}}} "
    deeper = "fragment h on Thread {" + "steps{thread{" * 5 + "id" + "}}" * 5 + "}"
    assert "MAX_DEPTH" in await refused(wire, fragments + deeper)
    wide = (
        "query{" + " ".join(f"a{n}: threads(first: 1000) {{edges {{node {{steps {{id}}}}}}}}" for n in range(200)) + "}"
    )
    assert "MAX_" in await refused(wire, wide)
    aliases = "{threads{edges{node{" + " ".join(f"a{number}: name" for number in range(30_000)) + "}}}}"
    assert "MAX_FIELDS" in await refused(wire, aliases)
    bomb = " ".join(f"fragment f{n} on Thread {{a: steps {{thread {{...f{n + 1}}}}} id}}" for n in range(6))
    doubled = bomb.replace("a: steps", "a: steps {thread {id}} b: steps")
    assert "MAX_" in await refused(wire, "{threads{edges{node{...f0}}}}" + doubled + " fragment f6 on Thread {id}")
    assert "MAX_FIELDS" in await refused(wire, "{threads{edges{" + "cursor " * 60_000 + "}}}")
    circle = "{threads{edges{node{...f}}}} fragment f on Thread {steps{thread{...f}}}"
    assert "itself" in await refused(wire, circle)
    assert "token" in await refused(wire, "{" + "a " * 300_000 + "}")


async def test_mistaken_kinds_everywhere(wire: Wire) -> None:
    """A value of another kind than the schema says is refused where it stands, with the variable named."""
    for value in (1, True, [], {}, [None], {"a": 1}, "x" * 100_000):
        for name in ("first", "filters", "orderBy", "cursorAnchor"):
            body = await wire.post(gql.LIST_THREADS, {name: value})
            assert all(len(error["message"]) <= 1_000 for error in body.get("errors", ()))
            assert all(error["message"] != service.UNEXPECTED for error in body.get("errors", ()))


async def test_a_text_of_ten_megabytes(wire: Wire) -> None:
    """A large text anywhere is stored or refused, and the server goes on."""
    large = "é" * 5_000_000
    await wire.report({"id": "s", "threadId": "t", "error": large, "name": large[:100_000]})
    assert (await wire.step("s"))["error"] == large
    body = await wire.post(gql.LIST_THREADS, {"filters": [{"field": "name", "operator": "ilike", "value": large}]})
    assert "at most" in body["errors"][0]["message"]
