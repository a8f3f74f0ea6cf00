"""The Mistral SDK, instrumented by literalai, against the offline model."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from mistralai import Mistral

from tests.clients.faces import only_call
from tests.clients.processes import Places

pytestmark = pytest.mark.anyio

HELLO: Any = {"model": "verbatim-offline", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0.5}
CODE: Any = {"model": "verbatim-offline", "prompt": "1+1=", "temperature": 0}


@pytest.fixture
def instrumented(lasting_client: Any) -> Any:
    lasting_client.instrument_mistralai()
    return lasting_client


@pytest.fixture
async def mistral(running: Places, anyio_backend: str) -> AsyncIterator[Any]:
    async with Mistral(api_key="none", server_url=running.model) as made:
        yield made


def is_chat(step: Any, answer: Any) -> None:
    """Check what every chat call keeps."""
    generation = step.generation
    assert (generation.type, generation.provider, generation.model) == ("CHAT", "mistralai", "verbatim-offline")
    assert generation.settings["temperature"] == 0.5
    assert generation.message_completion["content"] == answer.choices[0].message.content
    assert generation.token_count == answer.usage.total_tokens


def is_completion(step: Any) -> None:
    """Check what every completion keeps."""
    generation = step.generation
    assert (generation.type, generation.prompt, generation.completion) == ("COMPLETION", "1+1=", "return 1")
    assert generation.token_count == 11


async def test_chat(instrumented: Any, mistral: Any) -> None:
    """A chat call keeps its settings, answer and tokens."""
    with instrumented.thread() as thread:
        answer = mistral.chat.complete(**HELLO)
    is_chat(only_call(instrumented, thread.id), answer)


async def test_asynchronous_chat(instrumented: Any, mistral: Any) -> None:
    """The same for coroutines."""
    with instrumented.thread() as thread:
        answer = await mistral.chat.complete_async(**HELLO)
    is_chat(only_call(instrumented, thread.id), answer)


async def test_completion(instrumented: Any, mistral: Any) -> None:
    """Code filled in is a completion."""
    with instrumented.thread() as thread:
        mistral.fim.complete(**CODE)
    is_completion(only_call(instrumented, thread.id))


async def test_asynchronous_completion(instrumented: Any, mistral: Any) -> None:
    """The same for coroutines."""
    with instrumented.thread() as thread:
        await mistral.fim.complete_async(**CODE)
    is_completion(only_call(instrumented, thread.id))
