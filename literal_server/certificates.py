"""Certificates: whether all that the writers of a thread have put is stored, and if not, what is missing where.

A writer numbers what it puts in a thread, 1, 2, 3 and so on. Each of its reports bears a stamp: which numbers it
covers, and what the highest is that was put by then. So the server knows of what it was not told.

    {"thread": "…", "at": 1767225600000000, "told": {"writer": [9, [[1, 3], [5, 5]]]}, "place": ["writer", 1]}

`at` is the writer's clock at sending (microseconds), `told` has by writer the highest number and the ranges covered:
what waited when a process ended may be told together with what the next one says. `place` is the number that orders
the step among the others of its writer. Any client may send anything as a stamp: what makes no sense is passed over,
and the step is stored all the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, json_text, rows
from literal_server.tables import Step, Thread, ThreadWriter

LARGEST = 2**53
LONGEST_WRITER = 64
MOST_WRITERS = 32
MOST_RANGES = 1_000
NAMES_AT_ONCE = 1_000

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stamp:
    """A stamp that makes sense. `told` has by writer the highest number it has put, and the ranges that are covered."""

    thread_id: str
    at: int | None
    told: Mapping[str, tuple[int, Sequence[Range]]]
    place: tuple[str, int] | None


@dataclass(slots=True)
class _Heard:
    """What one batch says of one writer in one thread."""

    put: int = 0
    covered: list[Range] = field(default_factory=list)
    skew: int | None = None


async def take(session: AsyncSession, project: str, stamped: Iterable[tuple[Any, str | None]]) -> None:
    """Note the stamps of what was stored in this session: one read and one write for all of them.

    Each comes with the id of its step, None where it is not a step's. Those of threads that are not there (any more)
    are passed over: nothing may be left of what was purged.
    """
    now = clock.now()
    heard: dict[tuple[str, str], _Heard] = {}
    for given, step_id in stamped:
        stamp = read(given)
        if stamp is None or await rows.find(session, Thread, project, stamp.thread_id) is None:
            continue
        for writer, (put, covered) in stamp.told.items():
            one = heard.setdefault((stamp.thread_id, writer), _Heard())
            one.put = max(one.put, put)
            one.covered += covered
            if stamp.at is not None:
                one.skew = _least(one.skew, now - stamp.at)
        if step_id is not None and (step := await rows.find(session, Step, project, step_id)) is not None:
            _place(step, stamp)
    if heard:
        await _store(session, project, heard, now)


async def _store(session: AsyncSession, project: str, heard: Mapping[tuple[str, str], _Heard], now: int) -> None:
    known: dict[tuple[str, str], ThreadWriter] = {}
    names = list(heard)
    for start in range(0, len(names), NAMES_AT_ONCE):
        these = tuple_(ThreadWriter.thread_id, ThreadWriter.writer).in_(names[start : start + NAMES_AT_ONCE])
        with session.no_autoflush:
            found = await session.scalars(select(ThreadWriter).where(ThreadWriter.project_id == project, these))
        known |= {(row.thread_id, row.writer): row for row in found}
    for (thread_id, writer), news in heard.items():
        row = known.get((thread_id, writer))
        if row is None:
            row = ThreadWriter(
                project_id=project, thread_id=thread_id, writer=writer, put=0, covered=[], skew=None, heard_at=now
            )
            session.add(row)
        row.put = max(row.put, news.put)
        row.skew = _least(row.skew, news.skew)
        row.heard_at = now
        covered = union([*row.covered, *news.covered])
        if len(covered) <= MOST_RANGES:  # a writer with so many holes has other troubles than this
            row.covered = covered


def _place(step: Step, stamp: Stamp) -> None:
    """Give a step its place among those of its writer: the first writer heard of it, and the lowest of its numbers."""
    writer, number = stamp.place or (next(iter(stamp.told)), None)
    if step.writer is None or (step.sequence is None and number is not None):
        step.writer, step.sequence = writer, number
    elif step.writer == writer:
        step.sequence = _least(step.sequence, number)


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)


def union(ranges: Iterable[Sequence[int]]) -> list[list[int]]:
    """Answer the same numbers in as few ranges as there can be, in order."""
    united: list[list[int]] = []
    for first, last in sorted((one[0], one[1]) for one in ranges):
        if united and first <= united[-1][1] + 1:
            united[-1][1] = max(united[-1][1], last)
        else:
            united.append([first, last])
    return united


def read(given: Any) -> Stamp | None:
    """Answer what a client sent as a stamp, None where it makes no sense."""
    if not isinstance(given, dict):
        return None
    thread_id, at, told = given.get("thread"), given.get("at"), given.get("told")
    if not isinstance(thread_id, str) or not isinstance(told, dict) or not 0 < len(told) <= MOST_WRITERS:
        return None
    understood = {json_text.encodable(writer): _told(writer, one) for writer, one in told.items()}
    sound = {writer: one for writer, one in understood.items() if one is not None}
    if len(sound) < len(told):
        return None
    moment = at if _is_number(at) else None
    return Stamp(json_text.encodable(thread_id), moment, sound, _read_place(given.get("place"), sound))


def _told(writer: str, one: Any) -> tuple[int, list[Range]] | None:
    if not 0 < len(writer) <= LONGEST_WRITER or not isinstance(one, list) or len(one) != 2:
        return None
    put, covered = one
    if not _is_number(put) or not isinstance(covered, list) or len(covered) > MOST_RANGES:
        return None
    if not all(_is_range(pair) and pair[1] <= put for pair in covered):
        return None
    return put, [(pair[0], pair[1]) for pair in covered]


def _is_range(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair)) and pair[0] <= pair[1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST


def _read_place(given: Any, told: Mapping[str, Any]) -> tuple[str, int] | None:
    if not isinstance(given, list) or len(given) != 2 or not isinstance(given[0], str) or not _is_number(given[1]):
        return None
    writer = json_text.encodable(given[0])
    return (writer, given[1]) if writer in told else None
