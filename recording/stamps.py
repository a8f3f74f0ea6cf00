"""Stamps: what is put in a thread is numbered, so that the server can tell what of it has not arrived.

The numbers of a writer count all that it puts in one thread: 1, 2, 3 and so on, what is refused in the end, too. A
writer is this process for as long as it remembers the thread: so no number is ever given twice, whatever becomes of
the file. What an earlier process left waiting keeps its stamp.
"""

import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

THREADS_REMEMBERED = 10_000

Told = tuple[int, list[list[int]]]  # the highest number put, and the ranges of numbers covered, both ends included


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which numbers a report covers, by writer; `place` (writer, number) orders its step among those of the writer."""

    told: dict[str, Told]
    place: tuple[str, int] | None = None

    @classmethod
    def read(cls, text: str | None) -> "Stamp | None":
        """Return the stamp that the file holds; what an older version of the app left there has none."""
        if not text:
            return None
        kept = json.loads(text)
        told = {writer: (put, covers) for writer, (put, covers) in kept["told"].items()}
        return cls(told, tuple(kept["place"]) if kept["place"] else None)

    def as_text(self) -> str:
        """Return it as the file holds it."""
        return json.dumps({"told": self.told, "place": self.place}, separators=(",", ":"))

    def without_numbers(self) -> "Stamp":
        """Return what tells that these numbers were put, and covers none of them."""
        return Stamp({writer: (put, []) for writer, (put, _) in self.told.items()})


def merged(earlier: Stamp | None, later: Stamp | None) -> Stamp | None:
    """Return the stamp of one report that says what two said."""
    if earlier is None or later is None:
        return earlier or later
    told = dict(earlier.told)
    for writer, (put, covers) in later.told.items():
        known, ranges = told.get(writer, (0, []))
        told[writer] = (max(known, put), union([*ranges, *covers]))
    return Stamp(told, _first(earlier.place, later.place))


def _first(one: tuple[str, int] | None, other: tuple[str, int] | None) -> tuple[str, int] | None:
    if one is None or other is None or one[0] != other[0]:
        return one or other
    return min(one, other)


def union(ranges: Iterable[Sequence[int]]) -> list[list[int]]:
    """Return the same numbers in as few ranges as there can be, in order."""
    united: list[list[int]] = []
    for first, last in sorted((one[0], one[1]) for one in ranges):
        if united and first <= united[-1][1] + 1:
            united[-1][1] = max(united[-1][1], last)
        else:
            united.append([first, last])
    return united


@dataclass(slots=True)
class _Writer:
    name: str
    last: int = 0
    kept: int = 0


class Numbers:
    """Counts what is put, thread by thread; a thread that was put nothing in for long is counted as a new writer."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(6)
        self._writers: OrderedDict[str, _Writer] = OrderedDict()
        self._named = 0

    def next(self, thread_id: str, *, in_order: bool = False) -> Stamp:
        """Return the stamp of what is put now; `in_order` says that its step stands behind all that were put before."""
        writer = self._writers.get(thread_id)
        if writer is None:
            self._named += 1
            writer = self._writers[thread_id] = _Writer(f"{self._process}-{self._named}")
            if len(self._writers) > THREADS_REMEMBERED:
                self._writers.popitem(last=False)
        else:
            self._writers.move_to_end(thread_id)
        writer.last += 1
        number = writer.last
        return Stamp({writer.name: (number, [[number, number]])}, (writer.name, number) if in_order else None)

    def last(self, thread_id: str) -> int:
        """Return the highest number put in a thread, 0 for none."""
        writer = self._writers.get(thread_id)
        return writer.last if writer else 0

    def keep(self, thread_id: str, number: int) -> None:
        """Note that all up to this number is on disk: a kill from now on does not make it unhappened."""
        if writer := self._writers.get(thread_id):
            writer.kept = max(writer.kept, number)

    def on_wire(self, thread_id: str, stamp: Stamp | None) -> dict[str, Any] | None:
        """Return a stamp as it is sent: with the highest number that there is by now, and with the moment.

        Our clock says nothing of that of an earlier process, whose numbers bear no moment.
        """
        if stamp is None:
            return None
        told = {writer: [put, covers] for writer, (put, covers) in stamp.told.items()}
        writer = self._writers.get(thread_id)
        if writer and writer.name in told:
            told[writer.name][0] = max(stamp.told[writer.name][0], writer.kept)
        at = time.time_ns() // 1_000 if writer and list(told) == [writer.name] else None
        return {"thread": thread_id, "at": at, "told": told, "place": stamp.place}
