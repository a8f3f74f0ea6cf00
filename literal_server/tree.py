"""The order of a thread's steps: parents first, then by start; lost children find a living ancestor, cycles are cut.

Steps of one writer stand in the order in which it says that they began (Step.sequence), whatever its clock said; among
those of others they stand by that clock, brought to the server's where it is known to be wrong.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TypeVar

from literal_server.plain_rows import PlainStep
from literal_server.tables import Step

Row = TypeVar("Row", Step, PlainStep)


def arrange(
    steps: Iterable[Row], deleted_parents: Mapping[str, str | None], skews: Mapping[tuple[str, str], int] | None = None
) -> list[tuple[Row, str | None]]:
    """Answer the steps in reading order, each with the id of the parent to show it under (None: at the root).

    `deleted_parents` says for every deleted step of the thread which parent it had: a child of a deleted step
    moves up to the nearest ancestor that lives. A parent that is not here at all makes its child a root.
    Where parents run in a circle, the step of it that started first becomes a root. `skews` says by thread and writer
    how many microseconds a clock is behind.
    """
    in_order = _in_order(list(steps), skews or {})
    living = {step.id: step for step in in_order}
    parents = {step.id: living_parent(step.parent_id, living, deleted_parents) for step in in_order}
    _cut_circles(in_order, parents)
    done: set[str] = set()
    arranged: list[tuple[Row, str | None]] = []
    for step in in_order:
        for one in reversed(_not_yet(step.id, parents, done)):
            done.add(one)
            arranged.append((living[one], parents[one]))
    return arranged


def _in_order(steps: Sequence[Row], skews: Mapping[tuple[str, str], int]) -> list[Row]:
    starts = {step.id: _start(step, skews) for step in steps}
    latest: dict[str, int] = {}
    # A step is not before those that its writer put before it: its clock may have been set back in between.
    for step in sorted((one for one in steps if one.sequence is not None), key=lambda one: one.sequence or 0):
        writer = step.writer or ""
        starts[step.id] = latest[writer] = max(starts[step.id], latest.get(writer, starts[step.id]))
    return sorted(steps, key=lambda step: (starts[step.id], *_rank(step)))


def _start(step: Step | PlainStep, skews: Mapping[tuple[str, str], int]) -> int:
    if step.start_time is None:
        return step.created_at
    return step.start_time + skews.get((step.thread_id or "", step.writer or ""), 0)


def _rank(step: Step | PlainStep) -> tuple[str, int, bool, int, str]:
    # Of two that began at once the one that ended first; when they were reported says nothing.
    placed = (step.writer or "", step.sequence) if step.sequence is not None else ("", 0)
    return *placed, step.end_time is None, step.end_time or 0, step.id


def living_parent(parent: str | None, living: Container[str], deleted_parents: Mapping[str, str | None]) -> str | None:
    """Answer the nearest ancestor that lives, the parent itself if it does; None where there is none."""
    seen: set[str] = set()
    while parent is not None and parent not in living:
        if parent in seen or parent not in deleted_parents:
            return None
        seen.add(parent)
        parent = deleted_parents[parent]
    return parent


def _cut_circles(in_order: Sequence[Row], parents: dict[str, str | None]) -> None:
    rank = {step.id: number for number, step in enumerate(in_order)}
    safe: set[str] = set()
    for step in in_order:
        way: list[str] = []
        on_way: set[str] = set()
        at: str | None = step.id
        while at is not None and at not in safe and at not in on_way:
            way.append(at)
            on_way.add(at)
            at = parents[at]
        if at is not None and at in on_way:
            parents[min(way[way.index(at) :], key=rank.__getitem__)] = None
        safe.update(way)


def _not_yet(identity: str, parents: Mapping[str, str | None], done: set[str]) -> list[str]:
    way: list[str] = []
    at: str | None = identity
    while at is not None and at not in done:
        way.append(at)
        at = parents[at]
    return way
