"""The agent as the app has assembled it: a model, tools and limits, of which a turn's options may change some."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from agent.conversation import Turn
from agent.events import Event
from agent.loop import run_turn
from agent.model import ChatModel
from agent.toolbox import Toolbox


@dataclass(frozen=True, slots=True)
class Agent:
    """It holds nothing that a turn changes, so turns may overlap.

    `max_iterations` is how often the model is called in one turn at the most; options may lower it.
    """

    model: ChatModel
    toolbox: Toolbox
    system_prompt: str
    max_iterations: int = 5
    max_parallel_tools: int = 8

    def answer(self, turn: Turn) -> AsyncIterator[Event]:
        """Return the events of a turn. A history that brings instructions of its own gets no others."""
        options = turn.options
        messages = [*turn.history, turn.question]
        if not any(message["role"] in ("system", "developer") for message in messages):
            messages.insert(0, {"role": "system", "content": options.system_prompt or self.system_prompt})
        return run_turn(
            self.model.like(options.model, options.temperature),
            self.toolbox.without(options.tools_off),
            messages,
            max_iterations=min(options.max_iterations or self.max_iterations, self.max_iterations),
            max_parallel_tools=self.max_parallel_tools,
            approvals=turn.approvals,
            stop=turn.stopping,
        )
