"""The timeline of a thread: where each step's bar lies, where idle time is folded, what an answer waited for."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from literal_server.dashboard.views import StepNode, flatten
from literal_server.dashboard.windows import Later

WIDTH = 1_000.0
LEAST_BAR = 4.0
FOLD_WIDTH = 16.0
MOST_FOLDED = WIDTH / 3
"""What all folds together take of the width at the most."""
LEAST_IDLE = 2_000_000
"""Microseconds without anything going on that are worth folding, and a twentieth of all that is shown, too."""
MOST_ROWS = 200
"""Rows that a page, or a later part of one, holds: they take some 20 ms, of which 3,600 would take a second."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Row:
    """One step with its bar: `x` and `width` in thousandths of the whole, None where no time of it is known."""

    node: StepNode
    x: float | None
    width: float
    is_critical: bool


@dataclass(frozen=True, slots=True)
class Fold:
    """Idle time that is not drawn to scale."""

    x: float
    width: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """All steps in reading order; `seconds` is what is drawn to scale."""

    rows: Sequence[Row]
    folds: Sequence[Fold]
    seconds: float

    def around_wanted(self) -> list[Row | Later]:
        """Choose what to show: so many rows around the selected one, and signs for those before and after them."""
        selected = next((n for n, row in enumerate(self.rows) if row.node.is_current), 0)
        start = max(0, min(selected - MOST_ROWS // 2, len(self.rows) - MOST_ROWS))
        end = start + MOST_ROWS
        return [*self._later(0, start), *self.rows[start:end], *self._later(end, len(self.rows))]

    def part(self, first: str, count: int) -> Sequence[Row] | None:
        """Choose so many rows from a step on, no more than a part may hold; None where that step is not there."""
        start = next((n for n, row in enumerate(self.rows) if row.node.step.id == first), None)
        return None if start is None else self.rows[start : start + min(count, MOST_ROWS)]

    def _later(self, start: int, end: int) -> Iterator[Later]:
        for first in range(start, end, MOST_ROWS):
            rows = self.rows[first : min(first + MOST_ROWS, end)]
            newest = max(int(row.node.step.updated_at) for row in rows)
            failed = sum(bool(row.node.step.is_error) for row in rows)
            # With the scale all bars change.
            revision = f"{newest}.{len(rows)}.{self.seconds}.{len(self.folds)}"
            yield Later(rows[0].node, len(rows), len(rows), failed, revision)


def lay_out(roots: Sequence[StepNode], now: int | None) -> Timeline:
    """Draw a thread. `now` (microseconds) is where its running steps reach, None where nothing runs any more."""
    nodes = list(flatten(roots))
    spans = spans_of(nodes, now)
    scale = _Scale.of(list(spans.values()))
    critical = {node.step.id for root in nodes if root.step.type == "run" for node in _critical_path(root, spans)}
    rows = []
    for node in nodes:
        span = spans.get(node.step.id)
        if span is None:
            rows.append(Row(node, None, 0.0, False))
            continue
        x, end = scale.place(span[0]), scale.place(span[1])
        width = max(LEAST_BAR, end - x)
        rows.append(Row(node, min(x, WIDTH - width), width, node.step.id in critical))
    return Timeline(rows, scale.folds, scale.seconds)


def spans_of(nodes: Sequence[StepNode], now: int | None) -> dict[str, Span]:
    """Return begin and end of each step; one that never ended reaches to now, or as far as what is inside it."""
    spans: dict[str, Span] = {}
    for node in reversed(nodes):  # children come before their parents this way
        inside = [spans[child.step.id] for child in node.children if child.step.id in spans]
        start, end = node.step.start_time, node.step.end_time
        if start is None:
            start = min((span[0] for span in inside), default=end)
        if start is None:
            continue
        if end is None:
            end = now if now is not None and node.is_running else max((span[1] for span in inside), default=start)
        spans[node.step.id] = (start, max(start, end))  # clocks of two machines may disagree
    return spans


@dataclass(frozen=True, slots=True)
class _Scale:
    """Places of moments: the time in which something went on to scale, long idle times in folds of one width."""

    moments: Sequence[int]
    places: Sequence[float]
    folds: Sequence[Fold]
    seconds: float

    @classmethod
    def of(cls, spans: Sequence[Span]) -> "_Scale":
        busy = merged(spans)
        total = sum(end - start for start, end in busy)
        pauses = [(one[1], two[0]) for one, two in pairwise(busy)]
        folded = {pause for pause in pauses if pause[1] - pause[0] > max(LEAST_IDLE, total / 20)}
        drawn = total + sum(end - start for start, end in pauses if (start, end) not in folded)
        fold = min(FOLD_WIDTH, MOST_FOLDED / len(folded)) if drawn and folded else WIDTH / max(1, len(folded))
        unit = (WIDTH - fold * len(folded)) / drawn if drawn else 0.0
        moments, places, folds, at = [], [], [], 0.0
        for start, end in sorted([*busy, *pauses]):
            moments.append(start)
            places.append(at)
            is_fold = (start, end) in folded
            if is_fold:
                folds.append(Fold(at, fold, (end - start) / 1_000_000))
            at += fold if is_fold else (end - start) * unit
        if busy:
            moments.append(busy[-1][1])
            places.append(at)
        return cls(moments, places, folds, drawn / 1_000_000)

    def place(self, moment: int) -> float:
        """Return where a moment lies, in thousandths of the width."""
        index = bisect_right(self.moments, moment) - 1
        if index >= len(self.moments) - 1:
            return self.places[-1]
        begin, end = self.moments[index], self.moments[index + 1]
        share = (moment - begin) / (end - begin) if end > begin else 0.0
        return self.places[index] + share * (self.places[index + 1] - self.places[index])


def merged(spans: Sequence[Span]) -> list[Span]:
    """Return the times in which something went on, in order and apart from each other."""
    busy: list[Span] = []
    for start, end in sorted(spans):
        if busy and start <= busy[-1][1]:
            busy[-1] = (busy[-1][0], max(busy[-1][1], end))
        else:
            busy.append((start, end))
    return busy


def _critical_path(root: StepNode, spans: dict[str, Span]) -> Iterator[StepNode]:
    """Yield what a run waited for: backwards from its end, always the step that ended last before the one after it."""
    if root.step.id not in spans:
        return
    waiting = [(root, spans[root.step.id][1])]
    while waiting:
        node, until = waiting.pop()
        yield node
        timed = [child for child in node.children if child.step.id in spans and child.speaker is None]
        for child in sorted(timed, key=lambda one: spans[one.step.id][1], reverse=True):
            start, end = spans[child.step.id]
            if end <= until:
                waiting.append((child, end))
                until = start
