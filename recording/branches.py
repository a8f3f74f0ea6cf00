"""Superseded steps: those of turns whose place an edit or a new answer took. They are marked, never deleted."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from literalai.observability.step import Step

from agent.conversation import Exchange
from recording.steps import Step as Report
from recording.steps import iso

SUPERSEDED = "superseded"


def superseded(exchange: Exchange, thread_id: str, by: str, at: datetime, author: str) -> list[Report]:
    """Return reports that mark every step of a cut exchange; metadata is replaced whole, so each report has all of it.

    Args:
        exchange: what was cut; its `steps` are what was recorded of it.
        thread_id: the thread of both.
        by: the id of the question that took its place.
        at: when.
        author: the person who did it.
    """
    mark = {SUPERSEDED: {"by": by, "at": iso(at), "author": author}}
    return [
        {"id": step_id, "threadId": thread_id, "metadata": {**metadata, **mark}}
        for step_id, metadata in exchange.steps.items()
    ]


def living(steps: Iterable[Step]) -> list[Step]:
    """Return the steps of the open branch, in the order given: without marked ones and all that is below those."""
    steps = list(steps)
    gone = {step.id for step in steps if is_marked(step.metadata)}
    before = -1
    while gone and before != len(gone):  # parents come first in what a server gives out: one round, one to see so
        before = len(gone)
        gone |= {step.id for step in steps if step.parent_id in gone}
    return [step for step in steps if step.id not in gone]


def is_marked(metadata: Mapping[str, Any] | None) -> bool:
    """Tell whether a step with this metadata belongs to a turn that was cut off."""
    return bool(metadata and metadata.get(SUPERSEDED))


def last_turns(steps: Sequence[Step], most: int) -> tuple[list[Step], int]:
    """Return the last whole turns that come to at most `most` steps, and how many turns are before them.

    A turn is a step at the root with all that is below it; parents come first in `steps`. The last one is always there.
    """
    root_of: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for step in steps:
        root = root_of.get(step.parent_id or "") or step.id or ""
        root_of[step.id or ""] = root
        sizes[root] = sizes.get(root, 0) + 1
    shown: set[str] = set()
    for root in reversed(sizes):
        if shown and most < sizes[root]:
            break
        shown.add(root)
        most -= sizes[root]
    earlier = [step for step in steps if step.id in sizes and step.id not in shown]
    kept = [step for step in steps if root_of[step.id or ""] in shown]
    return kept, sum(step.type == "user_message" for step in earlier)
