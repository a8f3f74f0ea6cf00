"""Reading threads: the same as through the SDK's own way, but for what nobody wants, and without holding others up."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import build_schema, graphql_sync
from literalai.api import AsyncLiteralAPI
from literalai.api.helpers.gql import steps_query_builder
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import literal_server
from literal_server.app import create_app
from literal_server.settings import ServerSettings
from recording.client import FailedError, LiteralAPI

pytestmark = pytest.mark.anyio

STEPS: list[dict[str, Any]] = [
    {"id": "q", "threadId": "t", "type": "user_message", "name": "ada", "output": {"content": "Hi"}, "tags": ["a"],
     "startTime": "2026-01-01T00:00:00Z", "scores": [{"name": "user-feedback", "type": "HUMAN", "value": 1}]},
    {"id": "r", "threadId": "t", "parentId": "q", "type": "run", "name": "on_message", "metadata": {"client": "chat"},
     "startTime": "2026-01-01T00:00:01Z", "endTime": "2026-01-01T00:00:09Z", "error": "it failed"},
    {"id": "l", "threadId": "t", "parentId": "r", "rootRunId": "r", "type": "llm", "name": "gpt", "input": {"a": [1]},
     "startTime": "2026-01-01T00:00:02Z", "generation": {"messages": [{"role": "user", "content": "x"}]},
     "attachments": [{"id": "f", "name": "a.png", "mime": "image/png", "url": "https://example.org/a.png"}]},
]  # fmt: skip


async def test_a_thread_is_read_as_the_sdk_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every field of thread and steps is that of the SDK's own reading, without generations and without a sleep."""
    server = create_app(ServerSettings(data_dir=tmp_path, api_key=SecretStr("key")))
    async with server.router.lifespan_context(server):
        api = LiteralAPI("http://literal.in-process", "key", httpx.ASGITransport(server))
        await api.upsert_thread(id="t", name="Greeting", participant_id="ada", metadata={"k": 1}, tags=["x"])
        await api.add_steps(STEPS)
        stock = await AsyncLiteralAPI.get_thread(api, "t")
        monkeypatch.setattr(time, "sleep", _forbidden)
        ours = await api.get_thread("t")
        nothing = await api.get_thread("unknown")
        await api.close()

    assert ours is not None
    assert nothing is None
    assert ours.participant_identifier == "ada"
    expected: Any = stock.to_dict()
    assert expected["steps"][2].pop("generation")
    told: Any = ours.to_dict()
    assert [step.pop("generation", None) for step in told["steps"]] == [None, None, None]
    for step in expected["steps"]:
        step.pop("generation", None)
    assert told == expected


def _forbidden(_seconds: float) -> None:
    raise AssertionError("it sleeps, and with it everybody's answers")


def test_servers_of_another_make_pass_stamps_over() -> None:
    """GraphQL ignores variables that a document does not declare: a server that knows no stamps stores the steps."""
    schema = build_schema((Path(literal_server.__file__).parent / "graphql" / "schema.graphql").read_text())
    stored: list[Any] = []

    def ingest_step(_info: Any, **step: Any) -> dict[str, Any]:
        stored.append(step)
        return {"ok": True}

    stamp = {"thread": "t", "at": 1, "told": {"w": [1, [[1, 1]]]}, "place": None}
    sent = {"id_0": "a", "stamp_0": stamp, "id_1": "b", "stamp_1": None}
    answer = graphql_sync(schema, steps_query_builder([{}, {}]), {"ingestStep": ingest_step}, variable_values=sent)

    assert answer.errors is None
    assert stored == [{"id": "a"}, {"id": "b"}]


async def test_an_answer_that_cannot_be_unpacked_is_no_refusal() -> None:
    """Bytes that are not what their header says are a fault on the way: the same report is sent again."""

    async def answer(_request: Request) -> Response:
        return Response(b"no gzip", headers={"content-encoding": "gzip"})

    app = Starlette(routes=[Route("/api/graphql", answer, methods=["POST"])])
    api = LiteralAPI("http://test", "key", httpx.ASGITransport(app))
    with pytest.raises(FailedError):
        await api.add_steps(STEPS)
    await api.close()
