"""Visitors of a chat, many at once, each of whom asks one question after the other; what they saw, in figures."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.chat_client import PATIENCE_SECONDS, ChatTab

QUESTION = "What's the weather in San Francisco and Paris?"
AT_THE_DOOR = 8  # so many come in at once, as nobody is to be turned away
BEGINS = ("stream_start", "stream_token")


@dataclass
class Load:
    """What a load came to: seconds to the first token of each turn, and when each turn began and ended."""

    first_tokens: list[float] = field(default_factory=list)
    turns: list[tuple[float, float]] = field(default_factory=list)

    @property
    def turns_per_second(self) -> float:
        """Return the turns a second, from the first question to the last answer."""
        return len(self.turns) / (max(end for _, end in self.turns) - min(begin for begin, _ in self.turns))

    @property
    def first_token_ms(self) -> float:
        """Return the median time to the first token, in milliseconds."""
        return median(self.first_tokens) * 1000


class Visitor(ChatTab):
    """A tab that keeps nothing of an answer but when it began and when it was over."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._asked_at = 0.0
        self._began_after = 0.0
        self._over = asyncio.Event()

    async def turn(self, load: Load) -> None:
        """Ask, wait until the turn is over, and note it."""
        self._over.clear()
        self._began_after, self._asked_at = 0.0, time.perf_counter()
        begin = self._asked_at
        await self.send(QUESTION)
        await asyncio.wait_for(self._over.wait(), 4 * PATIENCE_SECONDS)
        if not self._began_after:
            raise RuntimeError("A turn ended without an answer.")
        load.turns.append((begin, time.perf_counter()))
        load.first_tokens.append(self._began_after)

    async def _note(self, event: str, *data: Any) -> None:
        if not self._asked_at:
            await super()._note(event, *data)
        elif event in BEGINS and not self._began_after:
            self._began_after = time.perf_counter() - self._asked_at
        elif event == "task_end":
            self._asked_at = 0.0
            self._over.set()


async def ask(url: str, visitors: int, seconds: float, all_are_in: Callable[[], None]) -> Load:
    """Let so many visitors come in, and then all ask, again and again, until so many seconds are over.

    A question that was asked is waited for. Nothing counts before the first question; `all_are_in` is told of it.
    """
    load = Load()
    async with asyncio.TaskGroup() as group:
        gate, door = asyncio.Event(), asyncio.Semaphore(AT_THE_DOOR)
        arrivals = [asyncio.Event() for _ in range(visitors)]

        async def visit(arrived: asyncio.Event) -> None:
            async with contextlib.AsyncExitStack() as stack:
                async with door:
                    visitor = await stack.enter_async_context(Visitor(url))
                arrived.set()
                await gate.wait()
                deadline = time.perf_counter() + seconds
                while time.perf_counter() < deadline:
                    await visitor.turn(load)

        for arrived in arrivals:
            group.create_task(visit(arrived))
        for arrived in arrivals:
            await arrived.wait()
        all_are_in()
        gate.set()
    return load


async def come_and_go(url: str, visitors: int) -> None:
    """Let so many visitors come in, a few at a time, ask one question each, and go."""
    load, door = Load(), asyncio.Semaphore(2 * AT_THE_DOOR)
    async with asyncio.TaskGroup() as group:

        async def visit() -> None:
            async with door, Visitor(url) as visitor:
                await visitor.turn(load)

        for _ in range(visitors):
            group.create_task(visit())


async def stay(url: str, visitors: int, all_are_in: Callable[[], None]) -> None:
    """Let so many visitors come in, and all go again without a word when `all_are_in` was told."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(visitors):
            await stack.enter_async_context(Visitor(url))
        all_are_in()
