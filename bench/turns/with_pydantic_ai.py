"""The turn in Pydantic AI, streamed."""

from contest import MODEL, QUESTION, SYSTEM, Turn, compete, get_current_weather
from pydantic_ai import Agent, AgentRunResultEvent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


def make_turn(url: str) -> Turn:
    """Return the turn at an endpoint."""
    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=url, api_key="none"))
    agent = Agent(model, system_prompt=SYSTEM, tools=[get_current_weather])

    async def turn() -> str:
        async with agent.run_stream_events(QUESTION) as events:
            async for event in events:
                if isinstance(event, AgentRunResultEvent):
                    return str(event.result.output)
        raise RuntimeError("The turn has no end.")

    return turn


compete(make_turn)
