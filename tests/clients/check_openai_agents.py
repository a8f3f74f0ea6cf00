"""The OpenAI Agents SDK with the processor of literalai 0.1.300: agents, tools, handoffs and calls as one tree."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import Agent, OpenAIChatCompletionsModel, Runner, custom_span, function_tool, set_trace_processors, trace
from openai import AsyncOpenAI

from tests.clients.processes import Places

pytestmark = pytest.mark.anyio


def get_current_weather(location: str) -> str:
    """Tell the weather of a place."""
    return f"sunny in {location}"


@pytest.fixture
async def agent(client: Any, running: Places, anyio_backend: str) -> AsyncIterator[Any]:
    set_trace_processors([client.openai_agents_tracing_processor()])
    async with AsyncOpenAI(api_key="sk-none", base_url=f"{running.model}/v1") as openai:
        model = OpenAIChatCompletionsModel(model="verbatim-offline", openai_client=openai)
        yield Agent(
            name="forecaster", instructions="Be brief.", model=model, tools=[function_tool(get_current_weather)]
        )


async def test_agent_with_a_tool(client: Any, agent: Any) -> None:
    """A trace is a run, the agent a run inside, its calls and its tools below the agent."""
    with client.thread() as thread:
        answer = await Runner.run(agent, "What's the weather in Paris?")
    client.flush()
    steps = client.api.get_thread(thread.id).steps
    root = steps[0]
    assert (root.type, root.parent_id) == ("run", None)
    (inside,) = (step for step in steps if step.name == "forecaster")
    assert inside.type == "run"
    known = {step.id: step for step in steps}
    assert all(step.parent_id in known for step in steps[1:])
    tools = [step for step in steps if step.type == "tool"]
    assert [step.name for step in tools] == ["get_current_weather"]
    assert "Paris" in str(tools[0].input)
    assert "sunny in Paris" in str(tools[0].output)
    calls = [step for step in steps if step.type == "llm"]
    assert len(calls) == 2
    assert [call.generation.type for call in calls] == ["CHAT", "CHAT"]
    assert calls[0].generation.messages[-1]["content"] == "What's the weather in Paris?"
    assert "sunny" in str(answer.final_output)


async def test_custom_spans(client: Any, agent: Any) -> None:
    """Spans of the application's own keep their data, in the trace they were made in."""
    with client.thread() as thread, trace("errand"), custom_span("weigh", {"grams": 5}):
        pass
    client.flush()
    root, span = client.api.get_thread(thread.id).steps
    assert (root.name, root.type) == ("errand", "run")
    assert (span.name, span.parent_id, span.metadata) == ("weigh", root.id, {"type": "custom", "grams": 5})
