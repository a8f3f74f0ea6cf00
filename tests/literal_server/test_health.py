"""What watchers are told, and what the log holds of a request."""

import asyncio
import json
import shutil
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request

from literal_server import health
from literal_server.app import create_app
from literal_server.auth import Visitor
from literal_server.settings import ServerSettings
from tests.literal_server.server_process import ServerProcess, done
from tests.literal_server.wire import KEY, Wire, gql

pytestmark = pytest.mark.anyio


def values(text: str) -> dict[str, float]:
    """Read Prometheus's text form."""
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in text.splitlines() if line[0] != "#")
    }


async def read_metrics(http: httpx.AsyncClient) -> dict[str, float]:
    """Fetch the counters as this machine may."""
    answer = await http.get("/metrics")
    assert answer.status_code == 200, answer.text
    return values(answer.text)


async def test_work_is_counted(wire: Wire) -> None:
    """Requests, root fields, stored reports, refusals and sizes show up in the counters."""
    await wire.report({"id": "a", "threadId": "t", "type": "run"}, {"id": "b", "threadId": "t", "type": "tool"})
    await wire.thread("t")
    refused = await wire.post(gql.UPDATE_THREAD, {"id": "nowhere", "name": "x"})
    assert "errors" in refused
    assert (await wire.http.post("/api/graphql", headers={"x-api-key": "wrong"})).status_code == 401
    async with asyncio.timeout(30):
        while (counted := await read_metrics(wire.http))["literal_writer_queue"]:
            pass  # what a server does at its start by itself takes turns, too

    assert counted["literal_ingested_steps_total"] == 2
    assert counted['literal_operations_total{field="ingestStep",outcome="ok"}'] == 2
    assert counted['literal_operations_total{field="updateThread",outcome="refused"}'] == 1
    assert counted['literal_operation_seconds_count{field="threadDetail"}'] == 1
    assert counted['literal_requests_total{endpoint="/api/graphql",status="200"}'] == 3
    assert counted['literal_requests_total{endpoint="/api/graphql",status="401"}'] == 1
    assert counted["literal_writer_wait_seconds_count"] >= 2
    assert counted["literal_database_bytes"] > 4096
    assert (counted["literal_threads"], counted["literal_steps"]) == (1, 2)


async def test_what_was_undone_does_not_count_as_stored(
    wire: Wire, server: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a fault of ours undoes a document, its other reports are told as undone."""

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("literal_server.threads.upsert", broken)
    both = 'mutation { one: ingestStep(id: "a", type: run) { ok } two: upsertThread(id: "t", name: "x") { id } }'
    assert (await wire.http.post("/api/graphql", json={"query": both})).json()["data"] is None
    counted = await read_metrics(wire.http)

    assert counted["literal_ingested_steps_total"] == 0
    assert counted['literal_operations_total{field="ingestStep",outcome="undone"}'] == 1
    assert counted['literal_operations_total{field="upsertThread",outcome="error"}'] == 1


async def test_labels_do_not_grow_with_what_is_asked(wire: Wire) -> None:
    """Addresses that clients make up share a few labels."""
    for number in range(20):
        await wire.http.get(f"/nothing/{number}")
        await wire.http.get(f"/projects/{number}/logs/threads/{number}")
    await wire.http.post("http://localhost//api/my-project")
    endpoints = {
        name.split('"')[1] for name in await read_metrics(wire.http) if name.startswith("literal_requests_total")
    }

    assert endpoints == {"other", "/projects/…", "/api/my-project"}


async def test_metrics_are_for_this_machine_or_a_token(server_settings: ServerSettings) -> None:
    """Without a token only this machine reads the counters; with one, whoever shows it and nobody else."""
    for token, peer, shown, status in (
        (None, "127.0.0.1", None, 200),
        (None, "10.0.0.9", None, 403),
        ("s3cret", "10.0.0.9", "Bearer s3cret", 200),
        ("s3cret", "10.0.0.9", "bearer  s3cret", 200),
        ("s3cret", "10.0.0.9", "Bearer s3cre", 403),
        ("s3cret", "127.0.0.1", None, 403),
    ):
        settings = server_settings.model_copy(update={"metrics_token": SecretStr(token) if token else None})
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, client=(peer, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                headers = {"authorization": shown} if shown else {}
                assert (await client.get("/metrics", headers=headers)).status_code == status, (token, peer, shown)


async def test_ready_says_what_is_in_the_way(
    http: httpx.AsyncClient, server_settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready while the database has its form and the disk takes writes; else it says which of them fails."""
    assert (await http.get("/ready")).json() == {"status": "ok"}

    async def reason() -> str:
        answer = await http.get("/ready")
        assert answer.status_code == 503
        return str(answer.json()["status"])

    monkeypatch.setattr(health, "LEAST_FREE_BYTES", 2**80)
    assert "almost full" in await reason()
    monkeypatch.undo()
    shutil.rmtree(server_settings.data_dir)
    assert "cannot be written to" in await reason()
    assert (await http.get("/health")).json()["status"] == "ok"


async def test_not_ready_before_the_start(server_settings: ServerSettings) -> None:
    """A server whose database is not open yet lives, and is not ready."""
    transport = httpx.ASGITransport(create_app(server_settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/ready")).status_code == 503


@pytest.mark.parametrize("style", ["text", "json"])
def test_the_log_tells_of_requests_and_not_of_contents(tmp_path: Path, style: str) -> None:
    """A line a request with method, path, status, time, project and client; no key, no query, no payload."""
    data = tmp_path / "data"
    server = ServerProcess(data, LITERAL_API_KEY=KEY, LOG_FORMAT=style, METRICS_TOKEN="s3cret-token")
    body = {"query": gql.CREATE_THREAD, "variables": {"name": "a private matter"}}
    headers = {"x-api-key": KEY, "x-client-name": "py-literal-client"}
    assert httpx.post(f"{server.url}/api/graphql", json=body, headers=headers).status_code == 200
    httpx.get(
        f"{server.url}/nothing%0Afaked%20line?token=private-query", headers={"authorization": "Bearer private-token"}
    )
    assert server.stop() == 0
    log = server.text()

    assert not any(secret in log for secret in (KEY, "private", "s3cret-token"))
    assert "\nfaked" not in log
    if style == "text":
        assert "POST /api/graphql 200" in log
        assert "client 'py-literal-client'" in log
        return
    lines = [json.loads(line) for line in log.splitlines()]
    line = next(one for one in lines if one.get("path") == "/api/graphql")
    assert (line["method"], line["status"], line["client"]) == ("POST", 200, "py-literal-client")
    assert line["ms"] > 0
    assert line["project"] in done(data, "projects", "list")
    assert {"time", "level", "logger", "message"} <= line.keys()


@pytest.mark.parametrize("sees_all", [True, False])
async def test_an_embedders_recorder_is_shown_to_who_sees_all(server_settings: ServerSettings, sees_all: bool) -> None:
    """Trouble with recording stands below every page of those who look after the server, and of nobody else."""

    async def door(_request: Request) -> Visitor:
        return Visitor("ada", sees_all)

    delays = {"p50": 0.4, "p95": 1_200.0}
    counts = {"waiting": 3, "only_in_memory": 2, "retries": 1, "set_aside": 4, "refused": 0, "disk_fails": True}
    made = create_app(server_settings, door, recorder=lambda: {**counts, "to_disk_ms": delays, "to_server_ms": delays})
    async with made.router.lifespan_context(made):
        transport = httpx.ASGITransport(made)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", follow_redirects=True) as http:
            page = (await http.get("/")).text

    assert ("<footer" in page) is sees_all
    for word in ("0.4 ms, 95 % within 1.2 s", '<span class="bad">4</span>', "cannot be written: 2 in memory alone"):
        assert (word in page) is sees_all
