"""What of a long thread a page holds at once: a window of steps around the one that is wanted, and signs for the rest.

A sign stands for some neighbours in the tree; the page reads them when they come into view.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from literal_server.dashboard.views import StepNode, flatten

MOST_STEPS = 60
"""Steps that a page, or a later part of one, holds whole: they take some 50 ms."""
BEFORE = 2
"""Neighbours before the wanted step that are shown with it."""


@dataclass(frozen=True, slots=True)
class Later:
    """Neighbours that are not in the page yet: the first of them, how many, and all the steps in them."""

    first: StepNode
    count: int
    steps: int
    failed: int
    revision: str


@dataclass(frozen=True, slots=True)
class Group:
    """Tool calls that ran at the same time, or partly so."""

    at_once: Sequence[StepNode]


@dataclass(slots=True)
class Window:
    """What is shown of a tree: `roots`, and in each step its children."""

    roots: list["StepNode | Later | Group"] = field(default_factory=list)
    inside: dict[str, list["StepNode | Later | Group"]] = field(default_factory=dict)
    shown: list[StepNode] = field(default_factory=list)

    def children(self, node: StepNode) -> Sequence["StepNode | Later | Group"]:
        """Return what is shown inside a step."""
        return self.inside.get(node.step.id, ())


def around_wanted(roots: Sequence[StepNode]) -> Window:
    """Choose what to show of a thread, of which the way to the wanted step is open."""
    window = Window()
    window.roots = _chosen(window, roots)
    return window


def part(siblings: Sequence[StepNode], first: str, count: int) -> Window | None:
    """Choose what to show of a part of a thread: so many neighbours from a step on; None when it is not there."""
    index = next((n for n, node in enumerate(siblings) if node.step.id == first), None)
    return None if index is None else around_wanted(siblings[index : index + count])


def siblings_of(roots: Sequence[StepNode], identity: str) -> Sequence[StepNode]:
    """Return the list in the tree that a step is in, an empty one when it is not there."""
    if any(node.step.id == identity for node in roots):
        return roots
    return next((node.children for node in flatten(roots) if any(one.step.id == identity for one in node.children)), [])


def _chosen(window: Window, siblings: Sequence[StepNode]) -> list[StepNode | Later | Group]:
    wanted = next((n for n, node in enumerate(siblings) if node.is_open), None)
    # What fits from the beginning on is shown from there, so that a short thread is whole whatever is wanted of it.
    fits = sum(1 for _ in flatten(siblings)) <= MOST_STEPS - len(window.shown)
    start = 0 if fits or wanted is None else max(0, wanted - BEFORE)
    chosen: list[StepNode | Later | Group] = list(_later(siblings[:start]))
    for index in range(start, len(siblings)):
        if len(window.shown) >= MOST_STEPS and (wanted is None or index > wanted):
            chosen += _later(siblings[index:])
            break
        node = siblings[index]
        window.shown.append(node)
        window.inside[node.step.id] = _chosen(window, node.children)
        chosen.append(node)
    return list(_grouped(chosen))


def _grouped(chosen: Sequence["StepNode | Later | Group"]) -> Iterator["StepNode | Later | Group"]:
    """Put tool calls that follow each other and ran side by side into groups."""
    group: list[StepNode] = []
    until = 0
    for one in chosen:
        is_timed_tool = isinstance(one, StepNode) and one.step.type == "tool" and one.step.start_time is not None
        if isinstance(one, StepNode) and is_timed_tool:
            if group and one.step.start_time >= until:
                yield from _as_group(group)
                group, until = [], 0
            group.append(one)
            until = max(until, one.step.end_time or one.step.start_time)
            continue
        yield from _as_group(group)
        group, until = [], 0
        yield one
    yield from _as_group(group)


def _as_group(nodes: Sequence[StepNode]) -> Iterator["StepNode | Later | Group"]:
    if len(nodes) > 1:
        yield Group(nodes)
    else:
        yield from nodes


def _later(siblings: Sequence[StepNode]) -> Iterator[Later]:
    """Yield signs for neighbours, each for about as many steps as one part holds."""
    start, held = 0, list[StepNode]()
    for index, node in enumerate(siblings):
        held += flatten([node])
        if len(held) >= MOST_STEPS or index == len(siblings) - 1:
            newest = max(int(one.step.updated_at) for one in held)
            failed = sum(bool(one.step.is_error) for one in held)
            yield Later(siblings[start], index + 1 - start, len(held), failed, f"{newest}.{len(held)}")
            start, held = index + 1, []
