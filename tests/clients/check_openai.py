"""The OpenAI SDK, instrumented by literalai, against the offline model: each call is an llm step of its thread."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

from tests.clients.faces import NEWEST, only_call
from tests.clients.processes import Places

pytestmark = pytest.mark.anyio

HELLO: Any = {"model": "verbatim-offline", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0.5}
ONCE: Any = {"model": "verbatim-offline", "prompt": "Once", "max_tokens": 5}


@pytest.fixture
def instrumented(lasting_client: Any) -> Any:
    lasting_client.instrument_openai()
    return lasting_client


@pytest.fixture
def openai(running: Places) -> Any:
    return OpenAI(api_key="sk-none", base_url=f"{running.model}/v1")


@pytest.fixture
async def async_openai(running: Places, anyio_backend: str) -> AsyncIterator[Any]:
    async with AsyncOpenAI(api_key="sk-none", base_url=f"{running.model}/v1") as made:
        yield made


def is_chat(step: Any, said: str, tokens: int | None) -> None:
    """Check what every chat call keeps."""
    generation = step.generation
    assert (generation.type, generation.provider, generation.model) == ("CHAT", "openai", "verbatim-offline")
    assert generation.settings["temperature"] == 0.5
    assert [(message["role"], message["content"]) for message in generation.messages] == [("user", "Hello")]
    assert (generation.message_completion["content"], generation.token_count) == (said, tokens)


def is_completion(step: Any) -> None:
    """Check what every completion keeps."""
    generation = step.generation
    assert (generation.type, generation.prompt, generation.completion) == ("COMPLETION", "Once", "Once there was")
    assert (generation.settings["max_tokens"], generation.token_count) == (5, 12)


def test_chat(instrumented: Any, openai: Any) -> None:
    """A chat call keeps its messages, settings, answer and tokens."""
    with instrumented.thread() as thread:
        answer = openai.chat.completions.create(**HELLO)
    step = only_call(instrumented, thread.id)
    is_chat(step, answer.choices[0].message.content, answer.usage.total_tokens)


def test_streamed_chat(instrumented: Any, openai: Any) -> None:
    """A streamed chat call keeps its whole answer; this SDK counts no tokens of streams."""
    with instrumented.thread() as thread:
        chunks = list(openai.chat.completions.create(**HELLO, stream=True))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    step = only_call(instrumented, thread.id)
    is_chat(step, said, None)
    assert step.generation.tt_first_token is not None


async def test_asynchronous_chat(instrumented: Any, async_openai: Any) -> None:
    """The same for coroutines, whole and streamed."""
    with instrumented.thread() as thread:
        answer = await async_openai.chat.completions.create(**HELLO)
    step = only_call(instrumented, thread.id)
    is_chat(step, answer.choices[0].message.content, answer.usage.total_tokens)
    with instrumented.thread() as thread:
        chunks = [chunk async for chunk in await async_openai.chat.completions.create(**HELLO, stream=True)]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    is_chat(only_call(instrumented, thread.id), said, None)


def test_completion(instrumented: Any, openai: Any) -> None:
    """A completion is recorded as one, with its prompt."""
    with instrumented.thread() as thread:
        openai.completions.create(**ONCE)
    is_completion(only_call(instrumented, thread.id))


async def test_asynchronous_completion(instrumented: Any, async_openai: Any) -> None:
    """The same for coroutines."""
    with instrumented.thread() as thread:
        await async_openai.completions.create(**ONCE)
    is_completion(only_call(instrumented, thread.id))


async def test_azure(instrumented: Any, running: Places) -> None:
    """A deployment at Azure is recorded like any other."""
    place: Any = {"api_key": "none", "api_version": "2024-02-01", "azure_endpoint": running.model}
    with instrumented.thread() as thread:
        AzureOpenAI(**place).completions.create(**ONCE)
    is_completion(only_call(instrumented, thread.id))
    with instrumented.thread() as thread:
        async with AsyncAzureOpenAI(**place) as azure:
            answer = await azure.chat.completions.create(**HELLO)
    is_chat(only_call(instrumented, thread.id), answer.choices[0].message.content, answer.usage.total_tokens)


def test_call_inside_a_step(instrumented: Any, openai: Any) -> None:
    """A call belongs to the step it was made in."""
    with instrumented.thread() as thread, instrumented.run(name="agent") as run:
        openai.chat.completions.create(**HELLO)
    instrumented.flush()
    outer, inner = instrumented.api.get_thread(thread.id).steps
    assert (outer.id, inner.type, inner.parent_id) == (run.id, "llm", run.id)


def test_call_outside_everything(instrumented: Any, openai: Any) -> None:
    """A call outside any thread is a generation by itself."""
    answer = openai.chat.completions.create(**HELLO, seed=20_251_031)
    (newest,) = instrumented.api.get_generations(first=1, order_by=NEWEST).data
    assert newest.settings["seed"] == 20_251_031
    assert newest.message_completion["content"] == answer.choices[0].message.content


def test_call_with_a_prompt(instrumented: Any, openai: Any) -> None:
    """A call made with a prompt's messages is linked to that prompt and keeps its variables."""
    prompt = instrumented.api.get_prompt(name="Default", version=0)
    with instrumented.thread() as thread:
        openai.chat.completions.create(model="verbatim-offline", messages=prompt.format_messages(test_var="x"))
    step = only_call(instrumented, thread.id)
    assert step.generation.variables["test_var"] == "x"
    assert step.generation.messages[0]["uuid"] == prompt.template_messages[0]["uuid"]
    filters: Any = [{"field": "promptLineage", "operator": "eq", "value": "Default"}]
    assert step.id in [found.id for found in instrumented.api.get_generations(first=50, filters=filters).data]
