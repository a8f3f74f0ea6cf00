"""The outbox's end of the connection to the chat: takes its reports, says which are on disk, and answers questions."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from recording.lines import Lines
from recording.outbox import Outbox
from recording.updates import as_json

logger = logging.getLogger(__name__)


class OutboxService:
    """Serves one outbox. `ended` is set when the chat has said that it ends."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.ended = asyncio.Event()
        self._open: set[_Chat] = set()
        self.questions: Mapping[str, Callable[..., Awaitable[Any]]] = {
            "flush": outbox.flush,
            "waiting_steps": outbox.waiting_steps,
            "waiting_score_deletions": self._score_deletions,
            "knows_step": outbox.knows_step,
            "status": self._status,
            "stop": self._stop,
        }

    async def listen(self, path: str) -> asyncio.Server:
        """Take connections at the socket of this path; each is told at once that the outbox is ready."""
        return await asyncio.get_running_loop().create_unix_server(lambda: _Chat(self), path)

    def opened(self, line: "_Chat") -> None:
        """Note a connection for as long as it lasts."""
        self._open.add(line)
        line.lost.add_done_callback(lambda _: self._open.discard(line))

    async def heard_out(self, seconds: float) -> None:
        """Wait until the chat, which has ended, has been listened to until its last word, at most for `seconds`."""
        if self._open:
            await asyncio.wait([line.lost for line in self._open], timeout=seconds)
        await self.outbox.written()

    async def _score_deletions(self) -> list[str]:
        return sorted(await self.outbox.waiting_score_deletions())

    async def _status(self) -> dict[str, Any]:
        return self.outbox.status()

    async def _stop(self, seconds: float) -> None:
        await self.outbox.stop(seconds)
        self.ended.set()


class _Chat(Lines):
    def __init__(self, service: OutboxService) -> None:
        super().__init__()
        self._service, self._outbox = service, service.outbox
        self._taken = self._told = 0
        self._put_at: list[float] = []
        self._telling: asyncio.Task[None] | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answering: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._service.opened(self)
        self.send('{"ready": true}')

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost.set_result(None)

    def lines_received(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            what, *rest = json.loads(line)
            if what == "ask":
                task = asyncio.create_task(self._answer(*rest))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            elif what == "from":
                self._taken = self._told = rest[0]
            else:
                self._take(what, *rest)
        if self._told < self._taken and not self._telling:
            self._telling = asyncio.create_task(self._tell())

    def _take(self, method: str, put_at: float, *told: Any) -> None:
        *arguments, named = told
        self._taken += 1
        self._put_at.append(put_at)
        try:
            getattr(self._outbox, f"put_{method}")(*arguments, **named)
        except Exception:
            logger.exception("A report (%s) could not be taken", method)

    async def _tell(self) -> None:
        """Say how many reports are on disk, until it is all; those that come meanwhile share the next commit."""
        while self._told < self._taken:
            taken, put_at, self._put_at = self._taken, self._put_at, []
            await self._outbox.written()
            self._told = taken
            if not self._outbox.health.disk_fails:
                self._outbox.health.written([time.monotonic() - at for at in put_at])
            self.send(f'{{"kept": {taken}}}')
        self._telling = None

    async def _answer(self, number: int, what: str, *arguments: Any) -> None:
        answer = await self._service.questions[what](*arguments)
        self.send(as_json({"answer": number, "value": answer}))
