"""The wire itself: keys, limits, odd texts, errors in words."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from literal_server import threads
from literal_server.graphql import service
from literal_server.threads import ThreadReport
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("key", ["", "wrong", "my-initial-api-key "[:-2], "é"])
async def test_wrong_key_is_refused_in_the_form_of_graphql(http: httpx.AsyncClient, key: str) -> None:
    """A missing or wrong key is 401 with an error that clients can read, on every address of the API."""
    for path in ("/api/graphql", "/api/my-project"):
        response = await http.post(path, json={"query": "{__typename}"}, headers={b"x-api-key": key.encode()})
        assert response.status_code == 401
        assert "key" in response.json()["errors"][0]["message"]


async def test_project_of_the_key(http: httpx.AsyncClient) -> None:
    """The key's project is a slug, also under a doubled slash, and health is told to anybody."""
    slug = (await http.post("/api/my-project", json={})).json()["projectId"]
    assert slug.startswith("verbatim-")
    assert (await http.post("http://localhost//api/my-project", json={})).json()["projectId"] == slug
    assert (await http.get("/health")).json()["status"] == "ok"
    assert (await http.get("/ready")).status_code == 200


async def test_key_is_kept_as_a_digest(server: Starlette) -> None:
    """The text of a key is nowhere in the database."""
    folder = server.state.api.settings.data_dir
    assert all(b"my-initial-api-key" not in file.read_bytes() for file in folder.iterdir())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"query": 1}', 400),
        (b'{"query": "{__typename}", "variables": []}', 400),
        (b"\xff\xfe", 400),
        (b'{"query": "{__typename}", "variables": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}", 400),
        (b"[" * 100_000, 400),
        (b'"' + b"x" * (33 * 1024 * 1024) + b'"', 413),
    ],
    ids=["empty", "cut", "list", "number", "list of variables", "no UTF-8", "deep", "very deep", "large"],
)
async def test_bad_bodies_are_refused(http: httpx.AsyncClient, body: bytes, status: int) -> None:
    """What is no request gets a reason in JSON."""
    response = await http.post("/api/graphql", content=body)
    assert response.status_code == status
    assert response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "query",
    ["", "mutation CreateSteps() { }", "{ nothing }", "query a {__typename} query b {__typename}", "{" * 5_000],
)
async def test_bad_documents_are_explained(wire: Wire, query: str) -> None:
    """A document that cannot be executed is answered with its mistakes, as the protocol has it with status 200."""
    body = await wire.post(query)
    assert body["errors"]
    assert "data" not in body or body["data"] is None
    assert "unexpected" not in body["errors"][0]["message"]


async def test_batches_have_a_limit(wire: Wire) -> None:
    """A thousand aliases are taken, more are refused before any work."""
    for count, refused in ((1_000, False), (1_001, True)):
        body = await wire.post("{" + " ".join(f"a{number}: __typename" for number in range(count)) + "}")
        assert ("errors" in body) is refused


ODD_TEXTS = ["\0", "a\0b", "\ud800", "\udc00x", "𝄞", "\u202e", "\x7f\x1b", "'; DROP TABLE steps; --", "%_\\", ""]


@pytest.mark.parametrize("odd", ODD_TEXTS)
async def test_odd_texts_are_stored(wire: Wire, odd: str) -> None:
    """Any text comes back from JSON as it was, and is taken as id, name, tag and error without a fault."""
    payload = {"content": odd, odd or "key": [odd]}
    report = {"id": f"s{odd}", "threadId": f"t{odd}", "name": odd, "error": odd, "tags": [odd], "input": payload}
    await wire.report({**report, "generation": {"messages": [{"role": "user", "content": odd}], "model": odd}})
    found = await wire.step(f"s{odd}")
    assert found["input"] == payload
    assert (await wire.thread(f"t{odd}"))["steps"][0]["generation"]["messages"][0]["content"] == odd
    page = await wire.send(
        gql.LIST_THREADS, {"filters": [{"field": "stepOutput", "operator": "ilike", "value": odd, "path": "content"}]}
    )
    assert page["edges"] == []


@pytest.mark.parametrize(
    "moment",
    ["2024-10-01T12:00:00Z", "2024-10-01T12:00:00.123Z", "2024-10-01T12:00:00.123456+00:00",
     "2024-10-01 12:00:00.123456", "2024-10-01T14:00:00.123456+02:00"],
)  # fmt: skip
async def test_moments_of_all_clients(wire: Wire, moment: str) -> None:
    """The forms of time that clients send are one moment in UTC."""
    await wire.report({"id": "s", "startTime": moment})
    assert (await wire.step("s"))["startTime"].startswith("2024-10-01T12:00:00.")
    body = await wire.post(gql.CREATE_STEP, {"startTime": "yesterday"})
    assert "A moment is a text" in body["errors"][0]["message"]


async def test_undeclared_variables_are_ignored(wire: Wire) -> None:
    """Clients send variables that their documents do not declare."""
    await wire.send(gql.CREATE_STEP, {"root_run_id": "x", "createdAt_0": "now", "type": "run"})


async def test_refused_field_leaves_the_others(wire: Wire) -> None:
    """A step that is refused does not take the rest of its batch along."""
    steps = [{"id": "bad", "scores": [{"name": "x"}]}, {"id": "good"}]
    body = await wire.post(gql.steps_query_builder(steps), gql.steps_variables_builder(steps))
    assert "finite number" in body["data"]["step0"]["message"]
    assert (await wire.step("good"))["id"] == "good"


async def test_a_fault_is_masked_and_undone(
    wire: Wire, server: Starlette, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours is a plain sentence to the client and a traceback in the log, and stores nothing."""

    def broken(*_arguments: Any, **_more: Any) -> Any:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr("literal_server.ingest.merge_attachment", broken)
    steps = [{"id": "first"}, {"id": "second", "attachments": [{"id": "x"}]}]
    document = {"query": gql.steps_query_builder(steps), "variables": gql.steps_variables_builder(steps)}
    response = await wire.http.post("/api/graphql", json=document)
    body = response.json()
    assert response.status_code == 500  # so that a client knows it from a refusal, and tries again
    assert body["data"] is None
    assert body["errors"][0]["message"] == service.UNEXPECTED
    assert "a secret of the inside" in caplog.text
    assert await wire.step("first") is None


async def test_writing_goes_on_after_an_abandoned_request(wire: Wire, server: Starlette) -> None:
    """A write whose caller went away in the middle of it leaves no transaction open."""
    database = server.state.api.database
    waiting = asyncio.Event()

    async def abandoned() -> None:
        async with database.writing() as session:
            await threads.upsert(session, server.state.api.project, "gone", ThreadReport(name="x"))
            await session.flush()
            waiting.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(abandoned())
    await waiting.wait()
    task.cancel()
    await asyncio.wait([task])
    assert await wire.thread("gone") is None
    await wire.report({"id": "s"})
    assert (await wire.step("s"))["id"] == "s"


async def test_scores_of_the_chat(wire: Wire) -> None:
    """Feedback is given, changed with its comment kept, shown on its step, and taken back."""
    given = {"name": "user-feedback", "type": "HUMAN", "value": 1, "stepId": "s", "comment": "nice"}
    score = await wire.send(gql.CREATE_SCORE, given)
    await wire.report({"id": "s", "threadId": "t"})
    changed = await wire.send(gql.UPDATE_SCORE, {"id": score["id"], "value": 0})
    assert (changed["value"], changed["comment"]) == (0, "nice")
    shown = (await wire.step("s"))["scores"]
    assert [(one["id"], one["value"]) for one in shown] == [(score["id"], 0)]
    listed = await wire.send(gql.GET_SCORES)
    assert listed["edges"][0]["node"]["step"]["thread"]["id"] == "t"
    await wire.send(gql.DELETE_SCORE, {"id": score["id"]})
    assert (await wire.step("s"))["scores"] == []
