"""The turn in the OpenAI Agents SDK, streamed, its tracing to OpenAI switched off."""

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from contest import MODEL, QUESTION, SYSTEM, Turn, compete, get_current_weather
from openai import AsyncOpenAI


def make_turn(url: str) -> Turn:
    """Return the turn at an endpoint."""
    set_tracing_disabled(True)
    model = OpenAIChatCompletionsModel(model=MODEL, openai_client=AsyncOpenAI(api_key="none", base_url=url))
    agent = Agent(name="agent", instructions=SYSTEM, model=model, tools=[function_tool(get_current_weather)])

    async def turn() -> str:
        running = Runner.run_streamed(agent, QUESTION)
        async for _ in running.stream_events():
            pass
        return str(running.final_output)

    return turn


compete(make_turn)
