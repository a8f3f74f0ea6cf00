"""Hands the events of a turn from the tasks that make them to its one reader, in lockstep, and ends tasks in order."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from agent.events import Event, TextDelta, ToolDelta

Result = TypeVar("Result")


class StoppedError(Exception):
    """The turn was asked to stop while this was under way."""


class Channel:
    """A queue whose writers wait until the reader, having dealt with their event, asks for the next one.

    So a listener that writes each event to disk has done so before the next thing happens. Pieces of text do not
    wait: there are many of them, and the end of the call that they belong to waits for all.
    """

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[Event, asyncio.Future[None] | None] | None] = asyncio.Queue()
        self._being_read: asyncio.Future[None] | None = None

    def say(self, delta: TextDelta | ToolDelta) -> None:
        """Put in a piece of text and go on at once."""
        self._queue.put_nowait((delta, None))

    async def send(self, event: Event) -> None:
        """Put in an event and wait until it has been dealt with."""
        handled = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((event, handled))
        await handled

    def close(self) -> None:
        """Let the reader come to an end after all that is in the queue."""
        self._queue.put_nowait(None)

    async def receive(self) -> Event | None:
        """Return the next event, None at the end; to ask for it says that the one before has been dealt with."""
        if self._being_read and not self._being_read.done():
            self._being_read.set_result(None)
        event, self._being_read = await self._queue.get() or (None, None)
        return event


class Stop:
    """A turn's view of the wish to stop it."""

    def __init__(self, wish: asyncio.Event | None) -> None:
        self._wish = wish or asyncio.Event()

    @property
    def asked(self) -> bool:
        """Whether the turn shall end now."""
        return self._wish.is_set()

    async def guard(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what `work` returns; end it and raise StoppedError as soon as the turn shall stop."""
        if self.asked:
            work.close()
            raise StoppedError
        task = asyncio.create_task(work)
        wish = asyncio.create_task(self._wish.wait())
        try:
            await asyncio.wait((task, wish), return_when=asyncio.FIRST_COMPLETED)
            finished = task.done()
        finally:
            await end(task, wish)
        if not finished:
            raise StoppedError
        return task.result()


async def end(*tasks: asyncio.Task[Any], patience: float | None = None) -> bool:
    """Cancel what still runs of `tasks` and wait, at most `patience` seconds, for their ends; tell whether all ended.

    What they end with is of no interest any more, so nobody is told of an exception that was never retrieved.
    """
    for task in tasks:
        task.add_done_callback(_look_away)
    running = [task for task in tasks if task.cancel()]
    if not running:
        return True
    _, unwilling = await asyncio.wait(running, timeout=patience)
    return not unwilling


def _look_away(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
