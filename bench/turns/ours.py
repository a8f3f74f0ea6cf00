"""The turn as this app runs it: all its events, read to the end."""

from contest import MODEL, QUESTION, SYSTEM, Turn, compete, get_current_weather

from agent.events import TurnFinished
from agent.loop import run_turn
from agent.model import ChatModel, openai_client
from agent.toolbox import Tool, Toolbox


def make_turn(url: str) -> Turn:
    """Return the turn at an endpoint."""
    model = ChatModel(openai_client(base_url=url), MODEL)
    toolbox = Toolbox([Tool.from_function(get_current_weather)])

    async def turn() -> str:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        text = ""
        async for event in run_turn(model, toolbox, messages):
            if isinstance(event, TurnFinished):
                text = event.text
        return text

    return turn


compete(make_turn)
