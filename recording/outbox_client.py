"""The chat's end of the connection to the outbox, which is in a process of its own so that it costs the chat nothing.

What was put is kept here until that process has it on disk: should it end and be started anew, it is told again. What
is in the journal meanwhile is safe from a kill, so nobody waits for that process then.
"""

import asyncio
import json
import logging
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from recording.client import UnreachableError
from recording.journal import Journal
from recording.lines import Lines
from recording.updates import as_json, from_json, size_of

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_TRIES = 0.05
SECONDS_BETWEEN_LOOKS = 1.0
GATHERING_SECONDS = 0.02  # what is in the journal is told together with what comes within this time
HANGS_SECONDS = 2.0  # so long turns wait for a process that confirms nothing, before what is in the journal is enough
GONE_SECONDS = 10.0  # so long turns wait for a process that is gone, before they go on with reports in memory alone
ANSWER_SECONDS = 2.0
UNKNOWN = {"server_answers": None, "oldest_waiting_seconds": None, "disk_fails": False}
COUNTS = ("waiting", "waiting_bytes", "only_in_memory", "retries", "set_aside", "refused")
DELAYS = ("to_disk_ms", "to_server_ms")


class _Untold(NamedTuple):
    number: int
    line: str
    put_at: float
    in_journal: bool


class OutboxClient:
    """Puts reports into the outbox of another process; as `Outbox` has it, to put never waits and `written` does.

    Beyond `limit` bytes of reports that nobody has taken the newest are refused, each with a line in the log.

    `written` waits until the other process has flushed the reports to the disk. While that process is away what is in
    the journal is not waited for; nor is it ever with `flush_each` false.
    """

    def __init__(self, socket: Path, limit: int, journal: Journal | None = None, *, flush_each: bool = True) -> None:
        self._socket = str(socket)
        self._limit = limit
        self._journal = journal
        self._trusts_journal = self._never_waits = not flush_each
        self._to_wait_for = 0  # the last report that is to be flushed before a turn goes on
        self._line: _Line | None = None
        self._untold: deque[_Untold] = deque()
        self._gathered: list[str] = []
        self._bytes = 0
        self._put_so_far = self._kept = self._on_disk = self._refused = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._questions: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._asked = 0
        self._alone = False
        self._ready = asyncio.Event()
        self._staying: asyncio.Task[None] | None = None
        self._status: dict[str, Any] = dict.fromkeys(COUNTS, 0) | UNKNOWN
        self._status |= {name: {"p50": None, "p95": None} for name in DELAYS}

    def start(self) -> None:
        """Begin to connect, and to connect again whenever the other process was started anew; needs an event loop."""
        self._staying = self._staying or asyncio.create_task(self._stay_connected(), name="recording")

    async def ready(self) -> None:
        """Wait until the other process takes reports."""
        await self._ready.wait()

    def put_step(self, step: Mapping[str, Any], *, in_order: bool = False) -> None:
        """Put a step, as `Outbox.put_step`."""
        self._put("step", step.get("threadId"), step, {"in_order": in_order})

    def put_thread(
        self,
        thread_id: str,
        *,
        name: str | None = None,
        participant: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Put what is to be known of a thread, as `Outbox.put_thread`."""
        self._put("thread", thread_id, thread_id, {"name": name, "participant": participant, "metadata": metadata})

    def put_deletion(self, step_id: str) -> None:
        """Put the deletion of a step."""
        self._put("deletion", None, step_id, {})

    def put_score_deletion(self, score_id: str, thread_id: str) -> None:
        """Put the deletion of a score, to follow all else that was put of its thread."""
        self._put("score_deletion", thread_id, score_id, thread_id, {})

    def _put(self, method: str, thread_id: str | None, *told: Any) -> None:
        line = as_json([method, now := time.monotonic(), *told])
        if self._bytes + size_of(line) <= self._limit:
            self._tell(line, now)
            return
        self._refused += 1
        logger.error(
            "Not recorded: a %s. The process that keeps the record is away, and %d bytes wait for it already "
            "(OUTBOX_LIMIT_BYTES).",
            method,
            self._bytes,
        )
        if thread_id and self._bytes <= self._limit + self._limit // 10:
            self._tell(as_json(["gap", now, thread_id, {}]), now)

    def _tell(self, line: str, now: float) -> None:
        self._put_so_far += 1
        in_journal = self._journal is not None and self._journal.append(self._put_so_far, line)
        if not (in_journal and self._trusts_journal):
            self._to_wait_for = self._put_so_far
        self._untold.append(_Untold(self._put_so_far, line, now, in_journal))
        self._bytes += size_of(line)
        if self._line is None:
            return
        self._gathered.append(line)
        if not (in_journal and self._never_waits):
            self._send_gathered()
        elif len(self._gathered) == 1:
            asyncio.get_running_loop().call_later(GATHERING_SECONDS, self._send_gathered)

    def _send_gathered(self) -> None:
        if self._line and self._gathered:
            self._line.send(*self._gathered)
        self._gathered = []

    async def written(self) -> None:
        """Wait until all that was put is on disk, or is known not to get there."""
        if self._kept < self._to_wait_for and not self._alone:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append((self._to_wait_for, waiter))
            await waiter

    async def flush(self, seconds: float, thread_id: str | None = None) -> bool:
        """Wait until the server has all that was put of a thread (of all, for None) before this call."""
        try:
            return bool(await self._ask(seconds + ANSWER_SECONDS, "flush", seconds, thread_id))
        except UnreachableError:
            return False

    async def waiting_steps(self) -> Sequence[Mapping[str, Any]]:
        """Return the reports of steps that are not known to be stored yet. Raises UnreachableError."""
        found: list[Mapping[str, Any]] = await self._ask(ANSWER_SECONDS, "waiting_steps")
        return found

    async def waiting_score_deletions(self) -> set[str]:
        """Return the ids of the scores that are to be deleted. Raises UnreachableError."""
        return set(await self._ask(ANSWER_SECONDS, "waiting_score_deletions"))

    async def knows_step(self, step_id: str) -> bool:
        """Tell whether there is a step of this id; none is known of while nobody answers."""
        try:
            return bool(await self._ask(ANSWER_SECONDS, "knows_step", step_id))
        except UnreachableError:
            return False

    async def status(self) -> dict[str, Any]:
        """Return how recording fares, as `Outbox.status`; `away` while nobody answers, and the rest as last known."""
        away = self._line is None
        if not away:
            try:
                self._status = await self._ask(ANSWER_SECONDS, "status")
            except UnreachableError:
                logger.warning("The process that keeps the record does not answer")
                away = True
        told = {"waiting": len(self._untold), "waiting_bytes": self._bytes, "refused": self._refused}
        if self._alone:
            told["only_in_memory"] = sum(not one.in_journal for one in self._untold)
        return self._status | {name: self._status[name] + count for name, count in told.items()} | {"away": away}

    async def stop(self, seconds: float) -> None:
        """Have what is left sent, at most for `seconds`, and the other process end; what is not sent is on its disk."""
        try:
            await self._ask(seconds + ANSWER_SECONDS, "stop", seconds)
        except UnreachableError:
            logger.warning("The process that keeps the record has not said that it ends.")
        if self._staying:
            self._staying.cancel()
            await asyncio.gather(self._staying, return_exceptions=True)
        self._go_on_alone()
        if self._journal:
            self._journal.end(self._on_disk)

    async def _ask(self, seconds: float, what: str, *arguments: Any) -> Any:
        self._asked += 1
        number = self._asked
        line, answer = json.dumps(["ask", number, what, *arguments]), asyncio.get_running_loop().create_future()
        self._questions[number] = line, answer
        self._send_gathered()
        if self._line:
            self._line.send(line)
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as error:
            raise UnreachableError("the process that keeps the record gave no answer") from error
        finally:
            del self._questions[number]

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            line = _Line(self)
            try:
                await loop.create_unix_connection(lambda line=line: line, self._socket)  # type: ignore[misc]
            except OSError:
                self._wait_no_longer()
                await asyncio.sleep(SECONDS_BETWEEN_TRIES)
                continue
            while not line.lost.done():
                self._wait_no_longer()
                await asyncio.wait([line.lost], timeout=SECONDS_BETWEEN_LOOKS)
            self._line = None
            self._trust_journal()
            logger.warning("The process that keeps the record is gone; what it has not confirmed is told again.")

    def connected(self, line: "_Line") -> None:
        """Tell what the other process has not confirmed, now that it is ready."""
        self._line, self._gathered = line, []
        line.send(json.dumps(["from", self._kept, self._journal.name if self._journal else ""]))
        line.send(*(untold.line for untold in self._untold))
        for question, _ in self._questions.values():
            line.send(question)
        self._ready.set()

    def kept(self, number: int, *, on_disk: bool) -> None:
        """Note that all up to this report is on disk, or in that process's memory as its disk is full."""
        self._kept, self._alone, self._trusts_journal = number, False, self._never_waits
        while self._untold and self._untold[0].number <= number:
            self._bytes -= size_of(self._untold.popleft().line)
        if self._journal and on_disk:
            self._on_disk = number
            self._journal.confirmed(number)
        while self._waiters and self._waiters[0][0] <= number:
            _go_on(self._waiters.popleft()[1])

    def answered(self, number: int, value: Any) -> None:
        """Pass on an answer to who asked, unless that one has gone."""
        if question := self._questions.get(number):
            _go_on(question[1], value)

    def _wait_no_longer(self) -> None:
        """Let turns go on if the other process is gone, or hangs, for too long."""
        if self._untold and time.monotonic() - self._untold[0].put_at > HANGS_SECONDS:
            self._trust_journal()
        if self._alone or self._to_wait_for <= self._kept:
            return
        oldest = next((one.put_at for one in self._untold if not one.in_journal), math.inf)
        if time.monotonic() - oldest < GONE_SECONDS:
            return
        logger.error("The process that keeps the record confirms nothing: reports wait in memory alone.")
        self._go_on_alone()

    def _trust_journal(self) -> None:
        """Let turns go on whose reports are in the journal, until the other process confirms something again."""
        if self._trusts_journal:
            return
        self._trusts_journal = True
        unsafe = [one.number for one in self._untold if not one.in_journal]
        while self._waiters and not (unsafe and unsafe[0] <= self._waiters[0][0]):
            _go_on(self._waiters.popleft()[1])
        self._to_wait_for = max([*unsafe[-1:], *(number for number, _ in self._waiters)], default=0)

    def _go_on_alone(self) -> None:
        self._alone = True
        while self._waiters:
            _go_on(self._waiters.popleft()[1])


class _Line(Lines):
    def __init__(self, client: OutboxClient) -> None:
        super().__init__()
        self._client = client
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost.set_result(None)

    def lines_received(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            match from_json(line):
                case {"kept": number, "on_disk": on_disk}:
                    self._client.kept(number, on_disk=on_disk)
                case {"answer": number, "value": value}:
                    self._client.answered(number, value)
                case {"ready": _}:
                    self._client.connected(self)


def _go_on(waiter: "asyncio.Future[Any]", value: Any = None) -> None:
    if not waiter.done():
        waiter.set_result(value)
