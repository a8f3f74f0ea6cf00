"""What the player plays: when each message and each piece of work of a thread began and ended, and when nothing did."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from literal_server.dashboard.timeline import merged, spans_of
from literal_server.dashboard.views import StepNode, flatten

LEAST_IDLE = 1.0
"""Seconds without anything going on that a reviewer may want to skip."""
WORK = ("llm", "tool", "retrieval", "embedding", "rerank")


@dataclass(frozen=True, slots=True)
class Cue:
    """One step on the stage; `start` and `end` are seconds since the thread began."""

    node: StepNode
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Recording:
    """A thread as it happened: `messages` as the user saw them, `work` beside them, pauses as (start, end) seconds."""

    messages: Sequence[Cue]
    work: Sequence[Cue]
    pauses: Sequence[tuple[float, float]]
    seconds: float


def record(roots: Sequence[StepNode], now: int | None) -> Recording:
    """Return what to play. `now` (microseconds) is where running steps reach, None where nothing runs any more."""
    nodes = list(flatten(roots))
    spans = spans_of(nodes, now)
    busy = merged(list(spans.values()))
    begin = busy[0][0] if busy else 0

    def seconds(moment: int) -> float:
        return round((moment - begin) / 1_000_000, 3)

    cues = [Cue(node, *map(seconds, spans[node.step.id])) for node in nodes if node.step.id in spans]
    cues.sort(key=lambda cue: cue.start)
    pauses = [(seconds(one[1]), seconds(two[0])) for one, two in pairwise(busy)]
    return Recording(
        [cue for cue in cues if cue.node.speaker],
        [cue for cue in cues if cue.node.step.type in WORK],
        [(start, end) for start, end in pauses if end - start > LEAST_IDLE],
        seconds(busy[-1][1]) if busy else 0.0,
    )
