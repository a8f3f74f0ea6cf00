"""LangChain with the SDK's callback: chains, models and tools are steps of one tree.

The callback itself reports nothing of asynchronous calls and of completion models (it fails in LangChain's hands before
it sends anything), so there is nothing to test of them here.
"""

from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.clients.processes import Places


@pytest.fixture
def model(running: Places) -> Any:
    return ChatOpenAI(
        model="verbatim-offline",
        api_key="sk-none",
        base_url=f"{running.model}/v1",
        temperature=0.5,
    )


def steps_of(client: Any, thread: str) -> list[Any]:
    """Return the steps of a thread once all was sent."""
    client.flush()
    return list(client.api.get_thread(thread).steps)


def test_chat_model(client: Any, model: Any) -> None:
    """A call of a model keeps its messages, settings, answer and tokens."""
    with client.thread() as thread:
        answer = model.invoke("Hello", config={"callbacks": [client.langchain_callback()]})
    (step,) = steps_of(client, thread.id)
    generation = step.generation
    assert (step.type, step.name, generation.type) == ("llm", "ChatOpenAI", "CHAT")
    assert (generation.model, generation.settings["temperature"]) == (
        "verbatim-offline",
        "0.5",
    )  # as the callback sends it
    assert [(message["role"], message["content"]) for message in generation.messages] == [("user", "Hello")]
    assert generation.message_completion["content"] == answer.content
    assert generation.token_count == answer.usage_metadata["total_tokens"]


def test_chain(client: Any, model: Any) -> None:
    """A chain inside a run: the call hangs below it, with the chain's variables."""
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "Say {word}")]) | model
    with client.thread() as thread, client.run(name="app") as run:
        chain.invoke({"word": "Hello"}, config={"callbacks": [client.langchain_callback()]})
    steps = steps_of(client, thread.id)
    assert (steps[0].id, steps[0].name) == (run.id, "app")
    (call,) = (step for step in steps if step.type == "llm")
    known = {step.id for step in steps}
    assert call.parent_id in known
    assert [message["role"] for message in call.generation.messages] == ["system", "user"]
    assert call.generation.messages[1]["content"] == "Say Hello"


def test_tool(client: Any) -> None:
    """A tool is a step of its own, with what it was given and what it gave."""

    def double(number: int) -> int:
        """Double a number."""
        return number * 2

    with client.thread() as thread:
        assert tool(double).invoke({"number": 4}, config={"callbacks": [client.langchain_callback()]}) == 8
    (step,) = steps_of(client, thread.id)
    assert (step.type, step.name) == ("tool", "double")
    assert "4" in str(step.input)
    assert "8" in str(step.output)


def test_tool_calls(client: Any, model: Any) -> None:
    """A model that is given tools keeps which, and what it called."""

    def get_current_weather(location: str) -> str:
        """Tell the weather of a place."""
        return f"sunny in {location}"

    bound = model.bind_tools([tool(get_current_weather)])
    with client.thread() as thread:
        answer = bound.invoke("What's the weather in Paris?", config={"callbacks": [client.langchain_callback()]})
    (step,) = steps_of(client, thread.id)
    assert answer.tool_calls[0]["name"] == "get_current_weather"
    assert [one["function"]["name"] for one in step.generation.tools] == ["get_current_weather"]
    (called,) = step.generation.message_completion["tool_calls"]
    assert "get_current_weather" in str(called)


def test_stream(client: Any, model: Any) -> None:
    """A streamed answer is recorded whole."""
    with client.thread() as thread:
        chunks = list(model.stream("Hello", config={"callbacks": [client.langchain_callback()]}))
    (step,) = steps_of(client, thread.id)
    assert step.generation.message_completion["content"] == "".join(chunk.content for chunk in chunks)
    assert step.generation.tt_first_token is not None


def test_prompt_template(client: Any, model: Any) -> None:
    """A prompt of the server becomes a LangChain template, and the call keeps which prompt it came from."""
    prompt = client.api.get_prompt(name="Default", version=0)
    chain = prompt.to_langchain_chat_prompt_template() | model
    with client.thread() as thread:
        chain.invoke({"test_var": "x"}, config={"callbacks": [client.langchain_callback()]})
    (call,) = (step for step in steps_of(client, thread.id) if step.type == "llm")
    assert call.generation.messages[0]["content"].startswith("Hello, this is a x and this")
    assert call.generation.variables["test_var"] == "x"
