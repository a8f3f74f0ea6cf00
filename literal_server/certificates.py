"""Certificates: whether all that the writers of a thread have put is stored, and if not, what is missing where.

Stamps (literal_server/stamps.py) say which numbers were put and which of them a report covers. A certificate claims no
more than follows from them: that every number up to the highest known one has arrived, and that no run is open, so
that its writer has said of each that this was all.

`Thread.writers` holds by writer the highest number put, the ranges of those that are stored (both ends included), how
far its clock is behind the server's, and when it was last heard by that (microseconds). It is in the row of the thread,
because a report of a step reads and writes that in any case.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, rows, threads
from literal_server.plain_rows import PlainRows, PlainStep, PlainThread
from literal_server.stamps import MOST_RANGES, Range, Stamp, read, union
from literal_server.tables import Step, Thread

THREADS_AT_ONCE = 1_000
NOTABLE_SKEW = 2_000_000
"""Microseconds from which on two clocks differ; less cannot be told from a slow connection."""


@dataclass(slots=True)
class _Heard:
    """What one batch says of one writer in one thread."""

    put: int = 0
    covered: list[Range] = field(default_factory=list)
    skew: int | None = None


async def take(
    session: AsyncSession, project: str, stamped: Iterable[tuple[Any, str | None]], *, received: int
) -> None:
    """Note the stamps of what was stored in this session.

    Each comes with the id of its step, None where it is not a step's. Those of threads that are not there (any more)
    are passed over: nothing may be left of what was purged. `received` is the moment (microseconds) at which the
    request came, before it waited for the writer's turn.
    """
    news = _News(stamped, received)
    for step_id, stamp in news.steps:
        _place(await rows.find(session, Step, project, step_id), stamp)
    for thread_id, heard in news.threads.items():
        _tell(await rows.find(session, Thread, project, thread_id), heard, received)


def take_plainly(plain: PlainRows, project: str, stamped: Iterable[tuple[Any, str | None]], *, received: int) -> None:
    """Do as `take` does, with the rows of a batch."""
    news = _News(stamped, received)
    for step_id, stamp in news.steps:
        _place(plain.steps.get(project, step_id), stamp)
    for thread_id, heard in news.threads.items():
        _tell(plain.threads.get(project, thread_id), heard, received)


class _News:
    """What stamps say: of steps, and by thread of its writers."""

    def __init__(self, stamped: Iterable[tuple[Any, str | None]], received: int) -> None:
        self.steps: list[tuple[str, Stamp]] = []
        self.threads: dict[str, dict[str, _Heard]] = {}
        for given, step_id in stamped:
            stamp = read(given)
            if stamp is None:
                continue
            in_thread = self.threads.setdefault(stamp.thread_id, {})
            for writer, (put, covered) in stamp.told.items():
                one = in_thread.setdefault(writer, _Heard())
                one.put = max(one.put, put)
                one.covered += covered
                if stamp.at is not None:
                    one.skew = _least(one.skew, received - stamp.at)
            if step_id is not None:
                self.steps.append((step_id, stamp))


def _tell(thread: Thread | PlainThread | None, news: Mapping[str, _Heard], received: int) -> None:
    if thread is not None:
        thread.writers = _merged(thread.writers or {}, news, received)


def _merged(known: Mapping[str, Any], news: Mapping[str, _Heard], received: int) -> dict[str, Any]:
    merged = dict(known)
    room = MOST_RANGES - sum(_room(writer["covered"]) for writer in known.values())
    for name, heard in news.items():
        before = known.get(name, {"put": 0, "covered": [], "skew": None, "heard_at": received})
        covered = union([*before["covered"], *heard.covered])
        more = _room(covered) - (_room(before["covered"]) if name in known else 0)
        if more > room:  # a thread with so many gaps has other troubles than this
            if name not in known:
                continue
            covered, more = before["covered"], 0
        room -= more
        merged[name] = {
            "put": max(before["put"], heard.put),
            "covered": covered,
            "skew": _least(before["skew"], heard.skew),
            "heard_at": max(before["heard_at"], received),
        }
    return merged


def _room(covered: Sequence[Any]) -> int:
    return max(1, len(covered))


def _place(step: Step | PlainStep | None, stamp: Stamp) -> None:
    """Give a step its place among those of its writer: the first writer heard of it, and the lowest of its numbers."""
    if step is None or step.thread_id != stamp.thread_id:
        return
    writer, number = stamp.place or (next(iter(stamp.told)), None)
    if step.writer is None or (step.sequence is None and number is not None):
        step.writer, step.sequence = writer, number
    elif step.writer == writer:
        step.sequence = _least(step.sequence, number)


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)


class StampedStep(Protocol):
    """What a certificate must know of a step."""

    id: Any
    type: Any
    name: Any
    writer: Any
    sequence: Any


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers that have not arrived, both ends included; `after` is the last step that its writer put before them."""

    first: int
    last: int
    after: StampedStep | None

    @property
    def count(self) -> int:
        """How many they are."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Writer:
    """What one writer has put in the thread, and what of it is stored. Moments and skew are microseconds.

    `has_stopped` tells that its last numbers are missing: then nothing was heard of it after `heard_at`. `skew` is how
    far its clock is behind the server's, None while that is not notable.
    """

    name: str
    put: int
    gaps: Sequence[Gap]
    heard_at: int
    skew: int | None

    @property
    def missing(self) -> int:
        """How many of its numbers have not arrived."""
        return sum(gap.count for gap in self.gaps)

    @property
    def has_stopped(self) -> bool:
        """Whether its last numbers are among the missing ones."""
        return bool(self.gaps) and self.gaps[-1].last == self.put


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is known of the completeness of a thread; `unstamped` counts the steps that came without a stamp."""

    writers: Sequence[Writer]
    unstamped: int
    open_runs: int
    is_live: bool

    @property
    def put(self) -> int:
        """How many events were put in the thread, as far as is known."""
        return sum(writer.put for writer in self.writers)

    @property
    def missing(self) -> int:
        """How many of them have not arrived."""
        return sum(writer.missing for writer in self.writers)

    @property
    def stored(self) -> int:
        """How many of them are stored."""
        return self.put - self.missing

    @property
    def gaps(self) -> Sequence[Gap]:
        """Where something is missing."""
        return [gap for writer in self.writers for gap in writer.gaps]

    @property
    def has_stopped(self) -> bool:
        """Whether nothing says that what is missing in the end is still to come: a writer fell silent before it."""
        return not self.is_live and any(writer.has_stopped for writer in self.writers)

    @property
    def heard_at(self) -> int:
        """When a writer was last heard: one of those that stopped, if any did."""
        stopped = [writer for writer in self.writers if writer.has_stopped]
        return max(writer.heard_at for writer in stopped or self.writers)

    @property
    def state(self) -> str:
        """The certificate in a word or two."""
        if not self.writers:
            return "not stamped"
        if self.open_runs and self.is_live:
            return "running"  # what has not arrived may be on its way
        if self.missing:
            return "incomplete"
        if self.open_runs:
            return "unfinished"
        return "partly stamped" if self.unstamped else "complete"


def of_thread(thread: Thread, steps: Iterable[StampedStep], now: int) -> Certificate:
    """Answer the certificate of a thread, of which all living steps are given."""
    told = thread.writers or {}
    placed: dict[str, list[StampedStep]] = {name: [] for name in told}
    unstamped = 0
    for step in steps:
        unstamped += step.writer not in placed
        if step.writer in placed and step.sequence is not None:
            placed[step.writer].append(step)
    writers = [_writer(name, told[name], placed[name]) for name in sorted(told, key=lambda one: told[one]["heard_at"])]
    return Certificate(writers, unstamped, thread.open_count, threads.is_live(thread, now))


def _writer(name: str, told: Mapping[str, Any], steps: Sequence[StampedStep]) -> Writer:
    placed = sorted(steps, key=lambda step: int(step.sequence))
    put, skew = told["put"], told["skew"]
    bounds = pairwise([[0, 0], *told["covered"], [put + 1, put + 1]])
    gaps = []
    for first, last in ((one[1] + 1, other[0] - 1) for one, other in bounds if one[1] + 1 < other[0]):
        before = bisect_left(placed, first, key=lambda step: int(step.sequence))
        gaps.append(Gap(first, last, placed[before - 1] if before else None))
    return Writer(name, put, gaps, told["heard_at"], skew if _is_notable(skew) else None)


def _is_notable(skew: int | None) -> bool:
    return skew is not None and abs(skew) >= NOTABLE_SKEW


def as_json(thread_id: str, certificate: Certificate) -> dict[str, Any]:
    """Answer a certificate as `/api/verbatim/` gives it out."""
    return {
        "threadId": thread_id,
        "state": certificate.state,
        "events": {"put": certificate.put, "stored": certificate.stored, "missing": certificate.missing},
        "unstampedSteps": certificate.unstamped,
        "openRuns": certificate.open_runs,
        "writers": [
            {
                "writer": writer.name,
                "put": writer.put,
                "stored": writer.put - writer.missing,
                "missing": [_gap_as_json(gap) for gap in writer.gaps],
                "lastHeardAt": clock.format_time(writer.heard_at),
                "hasStopped": writer.has_stopped,
                "clockBehindSeconds": None if writer.skew is None else writer.skew / 1_000_000,
            }
            for writer in certificate.writers
        ],
    }


def _gap_as_json(gap: Gap) -> dict[str, Any]:
    after = gap.after
    known = None if after is None else {"id": after.id, "type": after.type, "name": after.name}
    return {"from": gap.first, "to": gap.last, "afterStep": known}


async def steps_of(session: AsyncSession, project: str, thread_id: str) -> Sequence[StampedStep]:
    """Answer of the living steps of a thread what its certificate must know."""
    columns = (Step.id, Step.type, Step.name, Step.writer, Step.sequence)
    here = (Step.project_id == project, Step.thread_id == thread_id, Step.deleted_at.is_(None))
    found: Any = (await session.execute(select(*columns).where(*here))).all()
    return list(found)


async def skews(session: AsyncSession, project: str, steps: Iterable[Step | PlainStep]) -> dict[tuple[str, str], int]:
    """Answer by thread and writer how far clocks are behind the server's (microseconds), where that is notable."""
    names = sorted({step.thread_id for step in steps if step.writer is not None and step.thread_id is not None})
    found: dict[tuple[str, str], int] = {}
    for start in range(0, len(names), THREADS_AT_ONCE):
        some = (Thread.project_id == project, Thread.id.in_(names[start : start + THREADS_AT_ONCE]))
        for thread_id, writers in await session.execute(select(Thread.id, Thread.writers).where(*some)):
            found |= {
                (thread_id, name): told["skew"] for name, told in (writers or {}).items() if _is_notable(told["skew"])
            }
    return found
