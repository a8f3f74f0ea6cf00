"""LiteLLM with its callback `literalai` and two variables set: each of its calls is an llm step."""

import uuid
from collections.abc import Iterator
from typing import Any

import anyio
import litellm
import pytest
from anyio import to_thread
from litellm.integrations.literal_ai import LiteralAILogger

from tests.app_process import wait_until
from tests.clients.processes import Places
from tests.server_process import KEY

pytestmark = pytest.mark.anyio

HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def place(running: Places, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Set what LiteLLM's manual says, and return how to reach the model."""
    monkeypatch.setenv("LITERAL_API_KEY", KEY)
    monkeypatch.setenv("LITERAL_API_URL", running.server)
    monkeypatch.setenv("LITERAL_BATCH_SIZE", "1")
    litellm.success_callback = ["literalai"]
    yield {"model": "openai/verbatim-offline", "api_base": f"{running.model}/v1", "api_key": "sk-none"}
    litellm.success_callback = []


def wait_for_step(client: Any, identity: str) -> Any:
    """Wait until LiteLLM's own thread has sent the step, and return it."""
    wait_until(lambda: client.api.get_step(identity), 30, lambda: f"No step {identity} arrived.")
    return client.api.get_step(identity)


def test_completion(place: dict[str, Any], client: Any) -> None:
    """A call keeps its messages, settings, answer, tokens and tags, and hangs where its metadata say."""
    step, thread, parent = (str(uuid.uuid4()) for _ in range(3))
    metadata = {"step_id": step, "literalai_thread_id": thread, "literalai_parent_id": parent, "tags": ["proxy"]}
    answer = litellm.completion(messages=HELLO, temperature=0.5, metadata=metadata, **place)
    found = wait_for_step(client, step)
    assert (found.type, found.name, found.thread_id, found.parent_id) == ("llm", "verbatim-offline", thread, parent)
    assert found.tags == ["proxy"]
    assert found.start_time <= found.end_time
    generation = found.generation
    assert (generation.type, generation.provider, generation.model) == ("CHAT", "openai", "verbatim-offline")
    assert generation.settings["temperature"] == 0.5
    assert generation.messages[0]["content"] == "Hello"
    assert generation.message_completion["content"] == answer.choices[0].message.content
    assert generation.token_count == answer.usage.total_tokens


def test_failure(place: dict[str, Any], client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that fails is recorded with its error."""
    monkeypatch.setattr(litellm, "failure_callback", [LiteralAILogger()])
    step = str(uuid.uuid4())
    orphan: Any = [{"role": "tool", "tool_call_id": "none", "content": "an answer to nothing"}]
    with pytest.raises(litellm.exceptions.BadRequestError):
        litellm.completion(messages=orphan, metadata={"step_id": step}, **place)
    assert wait_for_step(client, step).error


async def test_asynchronous_batch(place: dict[str, Any], client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls made at once arrive in one message, each as its own step."""
    monkeypatch.setenv("LITERAL_BATCH_SIZE", "100")
    logger = LiteralAILogger()
    litellm.success_callback = [logger]
    steps = [str(uuid.uuid4()) for _ in range(5)]
    async with anyio.create_task_group() as group:
        for step in steps:

            async def call(identity: str = step) -> None:
                await litellm.acompletion(messages=HELLO, metadata={"step_id": identity}, **place)

            group.start_soon(call)
    await to_thread.run_sync(
        wait_until, lambda: len(logger.log_queue) >= 5, 30.0, lambda: f"Only {len(logger.log_queue)} were logged."
    )
    await logger.flush_queue()
    assert {client.api.get_step(step).type for step in steps} == {"llm"}
