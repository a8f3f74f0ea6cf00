"""What every way to run a turn is measured by: one question, one tool, the cost of a turn as a line of JSON."""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

QUESTION = "What's the weather in San Francisco and Paris?"
SYSTEM = "You are a helpful assistant. Use the tools you are given whenever they can answer better than you."
MODEL = "verbatim-offline"
WARM_UP = 10

Turn = Callable[[], Awaitable[str]]


async def get_current_weather(location: str, unit: str = "fahrenheit") -> dict[str, Any]:
    """Get the current weather in one place.

    Args:
        location: The city, with region or country where the name alone is not clear, e.g. San Francisco, CA.
        unit: The unit of the temperature.
    """
    return {"location": location, "temperature": 72, "unit": unit, "forecast": ["sunny", "windy"], "source": "sample"}


def compete(make_turn: Callable[[str], Turn]) -> None:
    """Run as many turns as the command line says at the address it gives, and print what one costs in milliseconds."""
    url, turns = sys.argv[1], int(sys.argv[2])
    print(json.dumps(asyncio.run(_cost(make_turn(url), turns))))


async def _cost(turn: Turn, turns: int) -> dict[str, float]:
    for _ in range(WARM_UP):
        answer = await turn()
        if answer.count("72") != 2:
            raise RuntimeError(f"This is not the answer of two tools: {answer!r}")
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(turns):
        await turn()
    return {
        "wall_ms": 1000 * (time.perf_counter() - wall) / turns,
        "cpu_ms": 1000 * (time.process_time() - cpu) / turns,
    }
