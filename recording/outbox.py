"""What is on its way to the recording server: on disk before anything goes on, sent in order, dropped by nobody."""

import asyncio
import contextlib
import logging
import math
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from literalai.api.helpers.score_helpers import delete_score_helper
from literalai.api.helpers.step_helpers import delete_step_helper
from literalai.api.helpers.thread_helpers import upsert_thread_helper

from recording import outbox_store as store
from recording.client import FailedError, LiteralAPI, RecordingError, UnreachableError
from recording.interrupted import closing_steps
from recording.lanes import BATCH, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Lanes
from recording.outbox_health import OutboxHealth
from recording.outbox_store import OutboxStore, Statement
from recording.stamps import Numbers, Stamp
from recording.updates import Kind, Update, as_json

logger = logging.getLogger(__name__)

# Reports of one step that come within this time are sent as one: the more threads are busy, the longer is waited, and
# the less the server has to do. What waits is on disk.
GATHERING_SECONDS_A_THREAD = 0.3
LONGEST_GATHERING_SECONDS = 1.0
# A request that only breaks the server, while others go through, is set aside after so many tries alone.
TRIES_ALONE = 8
SECONDS_BETWEEN_LOOKS = 2.0
SECONDS_TO_LOOK = 0.5  # for a step that a question waits for
OPEN_ENDED = ("run", "llm", "tool", "assistant_message")
KEPT_OF_BEGUN = ("id", "threadId", "parentId", "rootRunId", "type", "name", "startTime", "metadata")


class Outbox:
    """Takes what is to be recorded, keeps it in a file until the server has stored it, and sends it.

    What it takes is told by method names and plain values, because after a save of the source the one who puts may be
    of newer code. To put never waits; `written` does, until all that was put is on disk.

    Within a thread the order is kept, and one thread's trouble does not hold the others up. While the server cannot be
    reached, it is asked again with growing pauses. What the server refuses is set aside in the same file, with the
    reason (`python -m recording dead-letters`). Beyond `limit` bytes of waiting reports the newest are refused, each
    with a line in the log. Should the disk be full, reports wait in memory alone, and that is said.
    """

    def __init__(self, api: LiteralAPI, path: Path, limit: int = 100_000_000) -> None:
        self._api = api
        self._limit = limit
        self._store = OutboxStore(path)
        self._lanes = Lanes()
        self._numbers = Numbers()
        for update in self._store.waiting():
            self._lanes.add(update)
        self._left_open = self._store.begun()
        self._journals = self._store.journals()
        self._read_to: list[Statement] = []
        self._said_at: float | None = None
        self._number = self._store.last_number()
        self._writes = self._settled = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._work, self._hurry, self._wake = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._progress = asyncio.Condition()
        self._flushing = 0
        self._pause = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.health = OutboxHealth()

    def start(self, alive_since: float = math.inf) -> None:
        """Take up what an earlier process left, end the turns it left open, and begin to send; needs an event loop.

        `alive_since` (seconds of the epoch) is when the process began that runs the turns: what was heard of since then
        goes on.
        """
        if self._tasks:
            return
        begun, self._left_open = [one for one in self._left_open if one.last_at < alive_since], []
        if self._lanes.count or begun:
            logger.info("Recording goes on: %d reports wait, %d steps were left open.", self._lanes.count, len(begun))
        for step in closing_steps(begun):
            self.put_step(step)
        self._tasks = [
            asyncio.create_task(self._send_for_ever(), name="recording outbox"),
            asyncio.create_task(self._look_after_the_file(), name="recording outbox file"),
        ]

    def read_to(self, journal: str) -> int:
        """Return up to which number all of a journal was put here, by this process or an earlier one."""
        return self._journals.get(journal, 0)

    def from_journal(self, journal: str, number: int, said_at: float | None = None) -> None:
        """Have what is put next written together with the note that the journal was read up to this number.

        `said_at` (seconds of the epoch) is when it was said, where that was before this process began.
        """
        self._journals[journal] = number
        self._read_to, self._said_at = [store.read_to(journal, number)], said_at

    async def took_up(self) -> bool:
        """Wait until what was left of journals is written; `start` ends the turns it left open.

        Returns whether all of it is on disk.
        """
        self._read_to, self._said_at = [], None
        await self.written()
        self._left_open = self._store.begun()
        return all(update.on_disk for update in self._lanes)

    def forget_journals(self, but: str) -> None:
        """Forget how far other journals than this one were read, whose files are gone."""
        self._store.write([store.forget_journals(but)], self._note_write)

    def put_step(self, step: Mapping[str, Any], *, in_order: bool = False) -> None:
        """Put a step as far as it is known now, in the keys of the Literal wire; absent keys keep what is stored.

        `in_order` tells that it stands behind the steps that were put before it, whatever the clock says.
        """
        body = {key: value for key, value in step.items() if value is not None}
        thread_id = body.get("threadId")
        stamp = self._numbers.next(str(thread_id), in_order=in_order) if thread_id else None
        lane = str(thread_id or self._lanes.lane_of(str(body["id"])))
        self._put("step", lane, str(body["id"]), body, stamp)

    def put_thread(
        self,
        thread_id: str,
        *,
        name: str | None = None,
        participant: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Put what is to be known of a thread; None keeps what is stored."""
        known = {"name": name, "participant": participant, "metadata": dict(metadata) if metadata is not None else None}
        body = {key: value for key, value in known.items() if value is not None}
        self._put("thread", thread_id, thread_id, body, self._numbers.next(thread_id))

    def put_deletion(self, step_id: str) -> None:
        """Put the deletion of a step; as its thread is not told, it is not counted there."""
        self._put("deletion", self._lanes.lane_of(step_id), step_id, {}, None)

    def put_score_deletion(self, score_id: str, thread_id: str) -> None:
        """Put the deletion of a score, to follow all else that was put of its thread."""
        self._put("score deletion", thread_id, score_id, {}, self._numbers.next(thread_id))

    def put_gap(self, thread_id: str) -> None:
        """Put that something of a thread was lost before it came here, for the server to know."""
        stamp = self._numbers.next(thread_id)
        self._tell_of_gap(Update(self._number, thread_id, "step", "", {}, time.time(), stamp))

    async def waiting_steps(self) -> Sequence[Mapping[str, Any]]:
        """Return the reports of steps that are not known to be stored yet."""
        return [update.body for update in self._lanes if update.kind == "step"]

    async def waiting_score_deletions(self) -> set[str]:
        """Return the ids of the scores that are to be deleted."""
        return {update.key for update in self._lanes if update.kind == "score deletion"}

    async def knows_step(self, step_id: str) -> bool:
        """Tell whether there is a step of this id, anybody's; none is known of while the server gives no answer."""
        if self._lanes.tells_of("step", step_id):
            return True
        try:
            async with asyncio.timeout(SECONDS_TO_LOOK):
                return await self._api.has_step(step_id)
        except (TimeoutError, RecordingError):
            return False

    def _put(self, kind: Kind, lane: str, key: str, body: dict[str, Any], stamp: Stamp | None) -> None:
        self._number += 1
        update = Update(self._number, lane, kind, key, body, self._said_at or time.time(), stamp)
        # What completes a report that was taken is taken too, so that no step is kept by half.
        if not self._lanes.tells_of(update.kind, update.key) and self._lanes.size + update.size > self._limit:
            self.health.refused += 1
            logger.error(
                "Not recorded: %s. %d bytes wait for the recording server already (OUTBOX_LIMIT_BYTES).",
                update,
                self._lanes.size,
            )
            self._tell_of_gap(update)
        else:
            self._add(update)

    def _add(self, update: Update) -> None:
        waiting = self._lanes.waiting_for(update)
        if waiting:
            self._lanes.merge(waiting, update)
        else:
            self._lanes.add(update)
        self._write(waiting or update, [*_open_steps(update), *self._read_to])
        self._work.set()

    def _tell_of_gap(self, lost: Update) -> None:
        """Let the server know that there was something in the thread which it will not get, or not soon."""
        if lost.stamp and not lost.is_word and self._lanes.size <= self._limit + self._limit // 10:
            self._number += 1
            stamp = lost.stamp.without_numbers()
            self._add(Update(self._number, lost.lane, "thread", lost.lane, {}, time.time(), stamp))

    def _write(self, update: Update, more: Sequence[Statement]) -> None:
        self._writes += 1
        last = self._numbers.last(update.lane)
        self._store.write([store.put(update), *more], partial(self._was_written, update, last))

    def _was_written(self, update: Update, last: int, error: Exception | None) -> None:
        self._settled += 1
        while self._waiters and self._waiters[0][0] <= self._settled:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
        self._note_write(error)
        self._numbers.keep(update.lane, last)
        update.on_disk = error is None

    async def written(self) -> None:
        """Wait until all that was put is on disk, or is known not to get there; a full disk must not end a turn."""
        if self._settled < self._writes:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append((self._writes, waiter))
            await waiter

    async def flush(self, seconds: float, thread_id: str | None = None) -> bool:
        """Wait until the server has all that was put of a thread (of all, for None) before this call.

        Returns whether it has, after at most `seconds`.
        """
        put = self._number
        self._hurry.set()
        self._flushing += 1
        try:
            async with asyncio.timeout(seconds), self._progress:
                await self._progress.wait_for(lambda: not self._lanes.holds(thread_id, put))
        except TimeoutError:
            return False
        finally:
            self._flushing -= 1
        return True

    async def stop(self, seconds: float) -> None:
        """Send what is left, at most for `seconds`, and end; the rest stays in the file for the next start."""
        self._wake.set()
        if not await self.flush(seconds):
            logger.warning("%d reports wait on disk for the next start of the app.", self._lanes.count)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store.close()

    @property
    def is_closed(self) -> bool:
        """Whether `stop` has closed the file, so that nothing more gets on disk."""
        return self._store.is_closed

    async def _send_for_ever(self) -> None:
        while True:
            if not self._lanes.count:
                self._work.clear()
                await self._work.wait()
            await self._gather()
            await self.written()  # first the disk, so that no step is open at the server that the file does not know
            batch = self._lanes.take(BATCH, time.monotonic())
            if batch:
                await self._attempt(batch)
                await asyncio.sleep(0)  # a server in this process may answer without a pause: others have their turn
            elif due := self._lanes.next_due():
                await _happens(self._wake, min(1.0, max(0.01, due - time.monotonic())))

    async def _gather(self) -> None:
        """Let the oldest report wait for others to be sent with it, unless somebody waits for what is on its way."""
        while not self._flushing and (oldest := self._lanes.oldest()):
            longest = min(GATHERING_SECONDS_A_THREAD * len(self._lanes), LONGEST_GATHERING_SECONDS)
            left = oldest + longest - time.time()
            if not 0 < left <= longest:  # due, or put before the clock was set back
                return
            await _happens(self._hurry, min(left, longest))

    async def _attempt(self, batch: list[Update]) -> bool:
        """Send a batch; after a failure by halves, until it is known whose it is. Returns whether to go on at once."""
        began = time.monotonic()
        try:
            refusals = await self._deliver(batch)
        except FailedError as error:
            if len(batch) > 1:
                return await self._attempt_halves(batch)
            return await self._failed_alone(batch[0], error, time.monotonic() - began)
        except UnreachableError as error:
            self._lanes.give_back(batch)
            await self._rest(error, error.retry_after)
            return False
        except Exception as error:  # noqa: BLE001 - a refusal, or a bug with one report: it must not end all recording
            if len(batch) > 1:
                return await self._attempt_halves(batch)
            refusals = [str(error) or type(error).__name__]
        await self._done(batch, refusals)
        return True

    async def _attempt_halves(self, batch: list[Update]) -> bool:
        middle = len(batch) // 2
        if await self._attempt(batch[:middle]):
            return await self._attempt(batch[middle:])
        self._lanes.give_back(batch[middle:])
        return False

    async def _deliver(self, batch: list[Update]) -> Sequence[str | None]:
        """Send a batch; return for each report None, or the reason why the server does not take it."""
        first, stamps = batch[0], [self._numbers.on_wire(update.lane, update.stamp) for update in batch]
        match first.kind:
            case "step":
                return await self._api.add_steps([update.body for update in batch], stamps)
            case "thread":
                body = first.body
                document = upsert_thread_helper(
                    id=first.key,
                    name=body.get("name"),
                    participant_id=body.get("participant"),
                    metadata=body.get("metadata"),
                )
            case "deletion":
                document = delete_step_helper(id=first.key)
            case "score deletion":
                document = delete_score_helper(id=first.key)
        await self._api.tell(document, stamps[0])
        return [None]

    async def _rest(self, error: Exception, at_least: float = 0.0) -> None:
        """Leave the server alone for a while that grows until it has stored something."""
        self.health.failed()
        self._pause = min(max(self._pause * 2, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        pause = max(at_least, self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
        logger.warning("Recording waits %.1f s (%d reports): %s", pause, self._lanes.count, error)
        await _happens(self._wake, pause)

    async def _failed_alone(self, update: Update, error: Exception, took: float) -> bool:
        """Let a report's thread wait by itself, and the others go on; it is set aside when it alone is at fault."""
        now = time.monotonic()
        update.tries += 1
        update.first_failure = update.first_failure or now
        if update.tries >= TRIES_ALONE and self.health.last_stored > update.first_failure:
            await self._done([update], [str(error)])
            return True
        self._lanes.give_back([update])
        self._lanes.pause(update.lane, now, at_least=3 * took)
        await self._rest(error)
        return False

    async def _done(self, batch: list[Update], refusals: Sequence[str | None]) -> None:
        refused = [(update, reason) for update, reason in zip(batch, refusals, strict=True) if reason is not None]
        statements = [store.remove([update.number for update in batch])]
        for update, reason in refused:
            if update.is_word:
                continue  # nothing was to be recorded by it
            self.health.set_aside += 1
            logger.error("Set aside, see `python -m recording dead-letters`: %s. Reason: %s", update, reason)
            statements += store.set_aside(update, reason)
        self._lanes.done(batch)
        for update, _ in refused:
            self._tell_of_gap(update)
        self._store.write(statements, self._note_write)
        if len(refused) < len(batch):
            self._pause = 0.0
            now = time.time()
            self.health.stored([max(0.0, now - update.put_at) for update in batch])
        async with self._progress:
            self._progress.notify_all()

    def _note_write(self, error: Exception | None) -> None:
        """Note whether the file can be written; a full disk is said once, and once that it is over."""
        if error and not self.health.disk_fails:
            logger.error("The outbox cannot be written, so a kill of the app now would lose what waits: %s", error)
        elif self.health.disk_fails and not error:
            logger.warning("The outbox can be written again.")
        self.health.disk_fails = error is not None

    async def _look_after_the_file(self) -> None:
        """Now and then take up the dead letters that a person wants tried again, and write what is not on disk yet."""
        while True:
            before = self.health.set_aside
            try:
                letters, others = await self._store.ask(store.take_up_dead_letters)
            except store.UNWRITABLE as error:
                logger.warning("The dead letters cannot be looked up: %s", error)
            else:
                for update in letters:
                    self._lanes.add(update)
                    self._work.set()
                if self.health.set_aside == before:  # else one was set aside since the file was asked
                    self.health.set_aside = others
            for update in [update for update in self._lanes if not update.on_disk]:
                self._write(update, [])
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    def status(self) -> dict[str, Any]:
        """Return how recording fares, for `GET /health`: counts and times only, nothing of what is recorded."""
        oldest = self._lanes.oldest()
        return {
            "waiting": self._lanes.count,
            "waiting_bytes": self._lanes.size,
            "oldest_waiting_seconds": None if oldest is None else round(max(0.0, time.time() - oldest), 1),
            "only_in_memory": sum(not update.on_disk for update in self._lanes),
            **self.health.figures(),
        }


def _open_steps(update: Update) -> list[Statement]:
    """Return the statements that note which steps are open, and when something of their run was last heard."""
    if update.kind != "step":
        return []
    body = update.body
    statements = [store.alive(body["rootRunId"], update.put_at)] if body.get("rootRunId") else []
    if body.get("endTime"):
        return [*statements, store.end(update.key)]
    if body.get("type") in OPEN_ENDED and body.get("startTime"):
        known = {key: body[key] for key in KEPT_OF_BEGUN if key in body}
        return [*statements, store.begin(update.key, as_json(known), update.put_at)]
    return statements


async def _happens(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event happens, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    event.clear()
