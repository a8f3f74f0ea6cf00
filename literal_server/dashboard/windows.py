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
    revision: str


@dataclass(slots=True)
class Window:
    """What is shown of a tree: `roots`, and in each step its children."""

    roots: list["StepNode | Later"] = field(default_factory=list)
    inside: dict[str, list["StepNode | Later"]] = field(default_factory=dict)
    shown: list[StepNode] = field(default_factory=list)

    def children(self, node: StepNode) -> Sequence["StepNode | Later"]:
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


def _chosen(window: Window, siblings: Sequence[StepNode]) -> list[StepNode | Later]:
    wanted = next((n for n, node in enumerate(siblings) if node.is_open), None)
    # What fits from the beginning on is shown from there, so that a short thread is whole whatever is wanted of it.
    fits = sum(1 for _ in flatten(siblings)) <= MOST_STEPS - len(window.shown)
    start = 0 if fits or wanted is None else max(0, wanted - BEFORE)
    chosen: list[StepNode | Later] = list(_later(siblings[:start]))
    for index in range(start, len(siblings)):
        if len(window.shown) >= MOST_STEPS and (wanted is None or index > wanted):
            chosen += _later(siblings[index:])
            break
        node = siblings[index]
        window.shown.append(node)
        window.inside[node.step.id] = _chosen(window, node.children)
        chosen.append(node)
    return chosen


def _later(siblings: Sequence[StepNode]) -> Iterator[Later]:
    """Yield signs for neighbours, each for about as many steps as one part holds."""
    start, held = 0, list[StepNode]()
    for index, node in enumerate(siblings):
        held += flatten([node])
        if len(held) >= MOST_STEPS or index == len(siblings) - 1:
            newest = max(int(one.step.updated_at) for one in held)
            yield Later(siblings[start], index + 1 - start, len(held), f"{newest}.{len(held)}")
            start, held = index + 1, []
