"""The process beside the chat that keeps the record: the outbox and, where no other is named, the Literal server.

So what recording costs is paid by another processor core than the one that talks to people. The chat's process forks
it before there is an event loop or a thread, which takes some milliseconds and shares what was imported. Should it die,
the one that watches over it forks it anew, and the chat tells again what was not on disk; it ends when the chat does.
"""

import asyncio
import contextlib
import logging
import math
import os
import select
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import httpx
import uvicorn
from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from literal_proxy import Told
from literal_server import steps
from literal_server.app import create_app
from literal_server.auth import Visitor
from literal_server.collector import spare_the_collector
from literal_server.errors import ServerError
from literal_server.json_text import encodable
from literal_server.rest import Api
from literal_server.settings import ServerSettings
from recording.client import LiteralAPI, UnreachableError
from recording.outbox import Outbox
from recording.outbox_metrics import OutboxMetrics
from recording.outbox_service import OutboxService, take_up_journals

logger = logging.getLogger(__name__)

OUTBOX_SOCKET, SERVER_SOCKET = "outbox.socket", "server.socket"
STAYS_AWAY = 3  # exit code: to be started anew would not help
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 10.0  # before it is started anew, longer each time
SECONDS_TO_HEAR_OUT = 5.0
SECONDS_TO_END = 10.0


@dataclass(frozen=True)
class Record:
    """Where reports wait and where they go: to the server of this address and key, or to our own of these settings.

    `journal` is the name of that which the chat keeps beside the outbox's file. `sign_in` is the address to which our
    server's pages send who must sign in first, None where nobody must. `since` is when the chat began: turns that were
    heard of since then go on.
    """

    outbox_file: Path
    outbox_limit: int
    journal: str
    url: str
    key: str
    server: ServerSettings | None = None
    sign_in: str | None = None
    since: float = field(default_factory=time.time)


class NotStartedError(Exception):
    """The process that keeps the record could not do its work at all; it has said why in the log."""


class RecordProcess:
    """The chat's hold on it; `folder` holds the sockets, and nobody else can reach them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="verbatim-"))
        self._life, self._pid = -1, 0

    def fork(self, record: Record) -> None:
        """Start it. To be called once, before there is an event loop or a thread."""
        ends, self._life = os.pipe()  # nothing is ever written: that it is closed tells that the chat has ended
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._life)
            _watch_over(record, self.folder, ends)
        os.close(ends)

    def has_ended(self) -> bool:
        """Tell whether it has ended, as it does by itself only when it cannot do its work; its log says why."""
        if self._pid and os.waitpid(self._pid, os.WNOHANG)[0]:
            self._pid = 0
        return not self._pid

    async def until(self, ready: Coroutine[Any, Any, None]) -> None:
        """Wait for what its work makes ready. Raises NotStartedError when it ends before."""
        waiting = asyncio.create_task(ready)
        while not waiting.done():
            if self.has_ended():
                waiting.cancel()
                raise NotStartedError
            await asyncio.wait([waiting], timeout=0.05)

    async def end(self) -> None:
        """Have it end, and wait for that, so that the data folder is free again."""
        os.close(self._life)
        deadline = time.monotonic() + SECONDS_TO_END
        while not self.has_ended():
            if time.monotonic() > deadline:
                logger.warning("The process that keeps the record (%d) takes long to end.", self._pid)
                return
            await asyncio.sleep(0.02)


def _watch_over(record: Record, folder: Path, life: int) -> NoReturn:
    """Have the work done until it or the chat ends; whatever happens, this process never runs on as a second chat."""
    code = 1
    try:
        # What a terminal or an init system sends to the whole group: the chat alone says when to end.
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        code = _have_done(record, folder, life)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(code)


def _have_done(record: Record, folder: Path, life: int) -> int:
    """Run the work in a child, and again whenever that dies, until it ends by itself; return its exit code."""
    first, pause = True, SHORTEST_PAUSE_SECONDS
    while True:
        began = time.monotonic()
        try:
            pid = os.fork()
        except OSError as error:
            logger.error("The process that keeps the record cannot be started: %s", error)
            code = STAYS_AWAY if first else 1
        else:
            if pid == 0:
                _work(record, folder, life, first=first)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code in (0, STAYS_AWAY):
            return code
        pause = SHORTEST_PAUSE_SECONDS if time.monotonic() - began > LONGEST_PAUSE_SECONDS else 2 * pause
        logger.error("The process that keeps the record has ended (%d) and is started anew.", code)
        chat_is_gone, _, _ = select.select([life], [], [], min(pause, LONGEST_PAUSE_SECONDS))
        if chat_is_gone:
            return code
        first = False


def _work(record: Record, folder: Path, life: int, *, first: bool) -> NoReturn:
    """Do the work; the first time, what cannot be done at all ends the start of the app, later it is tried again."""
    code = STAYS_AWAY if first else 1
    try:
        loop = asyncio.new_event_loop()  # not `asyncio.run`, which in Chainlit's process takes the chat's
        asyncio.set_event_loop(loop)
        loop.run_until_complete(_keep(record, folder, life, first=first))
        code = 0
    except (sqlite3.Error, DBAPIError, ServerError, OSError) as error:
        beginning = "Verbatim does not start" if first else "The record is not kept for now"
        logger.error("%s: %s", beginning, _in_a_sentence(error, record))
    except Exception:
        logger.exception("The process that keeps the record has failed")
    finally:
        logging.shutdown()
        os._exit(code)


def _in_a_sentence(error: Exception, record: Record) -> str:
    match error:
        case sqlite3.Error():  # the server's own come in another coat
            return f"{record.outbox_file.name} cannot be opened ({error})."
        case DBAPIError():
            return f"the database cannot be used ({error.orig})."
    return str(error)


async def _keep(record: Record, folder: Path, life: int, *, first: bool) -> None:
    chat_is_gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(life, chat_is_gone.set)
    for socket in (OUTBOX_SOCKET, SERVER_SOCKET):
        (folder / socket).unlink(missing_ok=True)
    async with AsyncExitStack() as running:
        health = OutboxMetrics(lambda: outbox.status())
        api: LiteralAPI
        if record.server:
            door = _ToldDoor(record.sign_in) if record.sign_in else _told
            literal = create_app(record.server, door, recorder=health.status, collectors=(health,))
            placed = Starlette(routes=[Mount(record.server.mounted_at, literal)])
            api = _OwnServer(record, literal, placed)
        else:
            api = LiteralAPI(record.url, record.key)
        running.push_async_callback(api.close)
        outbox = Outbox(api, record.outbox_file, record.outbox_limit)
        if record.server:
            await running.enter_async_context(literal.router.lifespan_context(literal))
            await running.enter_async_context(_serving(placed, folder / SERVER_SOCKET))
        await take_up_journals(outbox, record.outbox_file.parent, record.journal)
        outbox.start(alive_since=math.inf if first else record.since)  # at first no turn of this chat runs yet
        service = OutboxService(outbox)
        listening = await service.listen(str(folder / OUTBOX_SOCKET))
        spare_the_collector()
        await _first(service.ended, chat_is_gone)
        listening.close()
        if not service.ended.is_set():
            await service.heard_out(SECONDS_TO_HEAR_OUT)
            await outbox.stop(0)


class _OwnServer(LiteralAPI):
    """A client of the server in this process, which answers in no roundabout way what every question waits for."""

    def __init__(self, record: Record, literal: Starlette, placed: Starlette) -> None:
        super().__init__(record.url, record.key, httpx.ASGITransport(placed, raise_app_exceptions=False))
        self._literal = literal

    async def has_step(self, step_id: str) -> bool:
        """Tell whether a step of this id is stored. Raises UnreachableError."""
        server: Api = self._literal.state.api
        try:
            return steps.is_there(server.database, server.project, encodable(step_id))
        except sqlite3.Error as error:
            raise UnreachableError(f"could not look for a step: {error}") from error


@contextlib.asynccontextmanager
async def _serving(app: Starlette, socket: Path) -> AsyncIterator[None]:
    """Answer at a socket what the chat passes on."""
    quiet: dict[str, Any] = {
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "date_header": False,
        "timeout_keep_alive": 60,  # longer than those who ask keep one, so that none is closed as it is used again
    }
    config = uvicorn.Config(Told(app), uds=str(socket), lifespan="off", timeout_graceful_shutdown=1, **quiet)
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: who watches over this process decides on its end."""
        yield


async def _told(request: Request) -> Visitor | None:
    """Let in whom the chat's process has let in."""
    visitor = request.scope.get("visitor")
    return Visitor(**visitor) if visitor else None


@dataclass(frozen=True)
class _ToldDoor:
    """The same, where who is not signed in is sent to the chat's sign-in."""

    sign_in: str

    async def __call__(self, request: Request) -> Visitor | None:
        return await _told(request)


async def _first(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
