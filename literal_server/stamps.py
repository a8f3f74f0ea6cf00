"""Stamps, as clients send them: which numbers of a writer a report covers, and the highest that it has put.

A writer numbers what it puts in a thread, 1, 2, 3 and so on, and each of its reports bears a stamp:

    {"thread": "…", "at": 1767225600000000, "told": {"writer": [9, [[1, 3], [5, 5]]]}, "place": ["writer", 1]}

`at` is the writer's clock at sending (microseconds), `told` has by writer the highest number and the ranges covered:
what waited when a process ended may be told together with what the next one says. `place` is the number that orders
the step among the others of its writer. Any client may send anything as a stamp: what makes no sense is passed over,
and the step is stored all the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from literal_server import json_text

LARGEST = 2**53
LONGEST_WRITER = 64
MOST_WRITERS = 32
MOST_RANGES = 1_000

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stamp:
    """A stamp that makes sense. `told` has by writer the highest number it has put, and the ranges that are covered."""

    thread_id: str
    at: int | None
    told: Mapping[str, tuple[int, Sequence[Range]]]
    place: tuple[str, int] | None


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


def union(ranges: Iterable[Sequence[int]]) -> list[list[int]]:
    """Answer the same numbers in as few ranges as there can be, in order."""
    united: list[list[int]] = []
    for first, last in sorted((one[0], one[1]) for one in ranges):
        if united and first <= united[-1][1] + 1:
            united[-1][1] = max(united[-1][1], last)
        else:
            united.append([first, last])
    return united
