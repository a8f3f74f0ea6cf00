"""Which models there are to choose from."""

import json

import pytest

from agent.model import ChatModel, openai_client
from agent.model_list import ModelList
from agent.offline import OFFLINE_MODEL, offline_model
from tests.agent.raw_server import serve

pytestmark = pytest.mark.anyio


def answer(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close"
    return head.encode() + b"\r\n\r\n" + body


def listing(*names: str) -> bytes:
    return answer(json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]}).encode())


async def names_at(address: str) -> tuple[list[str], bool]:
    model = ChatModel(openai_client(base_url=f"{address}/v1", max_retries=2), "mine")
    models = ModelList(model)
    names = await models.names()
    await model.close()
    return names, models.known


async def test_the_endpoints_chat_models_are_listed_after_the_apps_own() -> None:
    """Names that say that they embed, hear, speak or paint are left out; the app's own model is always there."""
    async with serve(listing("qwen3:8b", "nomic-embed-text", "whisper-1", "gpt-4o", "tts-1", "mine")) as address:
        assert await names_at(address) == (["mine", "gpt-4o", "qwen3:8b"], True)


@pytest.mark.parametrize(
    "nothing",
    [
        answer(b'{"error": "no such page"}', "404 Not Found"),
        answer(b"<html>"),
        answer(b'{"data": null}'),
        answer(b'{"data": [{}]}'),
        b"",
    ],
)
async def test_an_endpoint_without_a_list_leaves_the_apps_own(nothing: bytes) -> None:
    """Whatever comes instead of a list, there is one model to choose, and it is known that the rest is not known."""
    async with serve(nothing) as address:
        assert await names_at(address) == (["mine"], False)


async def test_the_list_is_asked_for_once_and_then_remembered() -> None:
    """Many who open the settings at once cost one request."""
    models = ModelList(offline_model())
    asked: list[float] = []
    listed = models._model.listed

    async def count(seconds: float) -> list[str]:
        asked.append(seconds)
        return await listed(seconds)

    models._model.listed = count  # type: ignore[method-assign]

    assert [await models.names() for _ in range(3)] == [[OFFLINE_MODEL]] * 3
    assert len(asked) == 1
