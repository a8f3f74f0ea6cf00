"""What is on its way to the recording server: one ordered queue, one sender, nothing dropped without a word."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recording.client import LiteralAPI, UnreachableError

logger = logging.getLogger(__name__)

BATCH = 50
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Thread:
    thread_id: str
    name: str | None
    participant: str | None
    metadata: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Step:
    step: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Deletion:
    step_id: str


_Update = _Thread | _Step | _Deletion


class Outbox:
    """Sends updates in the order they were put, without ever making the one who puts wait.

    What it takes is told by method names and plain values, because after a save of the source the one who puts may be
    of newer code.

    While the server cannot be reached, it tries again with growing pauses. A refused batch is sent one update at a
    time, so that the culprit alone is lost, with its reason in the log. Beyond `limit` waiting updates the newest are
    refused, each with a line in the log.
    """

    def __init__(self, api: LiteralAPI, limit: int = 20_000) -> None:
        self._api = api
        self._limit = limit
        self._waiting: deque[_Update] = deque()
        self._work = asyncio.Event()
        self._put_count = self._done_count = 0
        self._progress = asyncio.Condition()
        self._sender: asyncio.Task[None] | None = None
        self._singly = 0  # how many updates of a refused batch still go one by one
        self.lost = 0

    def start(self) -> None:
        """Begin to send; needs a running event loop."""
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_for_ever(), name="recording outbox")

    def put_step(self, step: Mapping[str, Any]) -> None:
        """Queue a step as far as it is known now, in the keys of the Literal wire; absent keys keep what is stored."""
        self._put(_Step(step))

    def put_thread(
        self,
        thread_id: str,
        *,
        name: str | None = None,
        participant: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Queue what is to be known of a thread; None keeps what is stored."""
        self._put(_Thread(thread_id, name, participant, metadata))

    def put_deletion(self, step_id: str) -> None:
        """Queue the deletion of a step."""
        self._put(_Deletion(step_id))

    def _put(self, update: _Update) -> None:
        if len(self._waiting) >= self._limit:
            self._lose(update, f"{self._limit} updates are waiting already")
            return
        self._waiting.append(update)
        self._put_count += 1
        self._work.set()

    async def flush(self, seconds: float) -> bool:
        """Wait until all that was put before this call is stored, at most `seconds`; return whether it is."""
        put = self._put_count
        try:
            async with asyncio.timeout(seconds), self._progress:
                await self._progress.wait_for(lambda: self._done_count >= put)
        except TimeoutError:
            return False
        return True

    async def stop(self, seconds: float) -> None:
        """Send what is left, at most for `seconds`, and end; say in the log what could not be sent."""
        if not await self.flush(seconds):
            logger.error("Recording stopped with %d updates unsent.", len(self._waiting))
        if self._sender:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    async def _send_for_ever(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            await self._work.wait()
            batch = self._next_batch()
            try:
                await self._send(batch)
            except UnreachableError as error:
                logger.warning("Recording waits %.1f s (%d updates): %s", pause, len(self._waiting), error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            except Exception as error:  # noqa: BLE001 - a refusal, or a bug with one update: it must not end all recording
                if len(batch) > 1:
                    self._singly = len(batch)
                    continue
                self._lose(batch[0], str(error) or type(error).__name__)
            pause = FIRST_PAUSE_SECONDS
            await self._done(len(batch))
            await asyncio.sleep(0)  # a server in this process may answer without a pause: let the others have a turn

    def _next_batch(self) -> list[_Update]:
        """Return the updates at the head that fit into one request: steps in a row, or anything else alone."""
        batch: list[_Update] = []
        for update in self._waiting:
            if batch and not (isinstance(update, _Step) and isinstance(batch[0], _Step)):
                break
            batch.append(update)
            if len(batch) == BATCH or self._singly:
                break
        return batch

    async def _send(self, batch: list[_Update]) -> None:
        first = batch[0]
        match first:
            case _Step():
                steps: list[Any] = [dict(update.step) for update in batch if isinstance(update, _Step)]
                await self._api.send_steps(steps)
            case _Thread():
                await self._api.upsert_thread(
                    id=first.thread_id,
                    name=first.name,
                    participant_id=first.participant,
                    metadata=dict(first.metadata) if first.metadata is not None else None,
                )
            case _Deletion():
                await self._api.delete_step(id=first.step_id)

    async def _done(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()
        self._singly = max(0, self._singly - count)
        if not self._waiting:
            self._work.clear()
        async with self._progress:
            self._done_count += count
            self._progress.notify_all()

    def _lose(self, update: _Update, reason: str) -> None:
        self.lost += 1
        logger.error("Not recorded: %s. Reason: %s", _name(update), reason)


def _name(update: _Update) -> str:
    match update:
        case _Step(step):
            return f"{step.get('type') or 'step'} {step['id']} of thread {step.get('threadId')}"
        case _Thread():
            return f"thread {update.thread_id}"
        case _Deletion():
            return f"deletion of step {update.step_id}"
