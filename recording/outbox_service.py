"""The outbox's end of the connection to the chat: takes its reports, says which are on disk, and answers questions."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recording import journal
from recording.lines import Lines
from recording.outbox import Outbox
from recording.updates import as_json, from_json

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
        self._journal = ""
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
            what, *rest = from_json(line)
            if what == "ask":
                task = asyncio.create_task(self._answer(*rest))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            elif what == "from":
                self._taken = self._told = rest[0]
                self._journal = rest[1]
            else:
                self._take(what, *rest)
        if self._told < self._taken and not self._telling:
            self._telling = asyncio.create_task(self._tell())

    def _take(self, what: str, put_at: float, *told: Any) -> None:
        if self._outbox.is_closed:
            return  # never said to be on disk, so it stays in the journal of the chat, which ends: for the next start
        self._taken += 1
        if self._journal:
            if self._taken <= self._outbox.read_to(self._journal):
                return  # told again, as an earlier process could not confirm it any more
            self._outbox.from_journal(self._journal, self._taken)
        self._put_at.append(put_at)
        _put(self._outbox, what, *told)

    async def _tell(self) -> None:
        """Say how many reports are on disk, until it is all; those that come meanwhile share the next commit."""
        while self._told < self._taken:
            taken, put_at, self._put_at = self._taken, self._put_at, []
            await self._outbox.written()
            self._told = taken
            on_disk = not self._outbox.health.disk_fails
            if on_disk:
                self._outbox.health.written([time.monotonic() - at for at in put_at])
            self.send(as_json({"kept": taken, "on_disk": on_disk}))
        self._telling = None

    async def _answer(self, number: int, what: str, *arguments: Any) -> None:
        answer = await self._service.questions[what](*arguments)
        self.send(as_json({"answer": number, "value": answer}))


async def take_up_journals(outbox: Outbox, folder: Path, own: str) -> None:
    """Put what killed chats have left in their journals, before the outbox starts; `own` is the one of this chat."""
    left, unreadable = journal.left_behind(folder, own), set[Path]()
    for name, paths in left.items():
        for path in paths:
            if not _take_up(outbox, name, path):
                unreadable.add(path)
    if not await outbox.took_up():
        return  # at the next start
    for path in (path for paths in left.values() for path in paths):
        if path in unreadable:
            path.rename(path.with_name(f"{path.name}.broken"))
        else:
            path.unlink()
    outbox.forget_journals(but=own)  # last: what is found again after a kill must be known to have been read


def _take_up(outbox: Outbox, name: str, path: Path) -> bool:
    """Put what a journal's file holds; return whether all of it could be read, which a power cut may have spoilt."""
    said_at, all_read = path.stat().st_mtime, True
    for number, line in journal.lines(path):
        if number <= outbox.read_to(name):
            continue
        try:
            what, _, *told = from_json(line)
        except (TypeError, ValueError, RecursionError) as error:
            logger.error("Line %d of %s cannot be read and is passed over; the file is kept: %s", number, path, error)
            all_read = False
            continue
        outbox.from_journal(name, number, said_at)
        _put(outbox, what, *told)
    return all_read


def _put(outbox: Outbox, what: str, *told: Any) -> None:
    try:
        *arguments, named = told
        getattr(outbox, f"put_{what}")(*arguments, **named)
    except Exception:
        logger.exception("A report (%s) could not be taken", what)
