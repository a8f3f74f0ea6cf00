"""What the player plays: when each message and each piece of work of a thread began and ended, and when nothing did.

A long thread is played scene by scene: the page holds the one that the wanted moment lies in, and signs for the others.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from literal_server.dashboard.timeline import merged, spans_of
from literal_server.dashboard.views import StepNode, flatten
from literal_server.dashboard.windows import MOST_STEPS

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
class Scene:
    """What begins between two moments (`start`, and `end`, which is not part of it): messages, and work beside them."""

    cues: Sequence[Cue]
    start: float
    end: float

    @property
    def first(self) -> StepNode:
        """The step that it begins with."""
        return self.cues[0].node

    @property
    def messages(self) -> Sequence[Cue]:
        """The chat as the user saw it."""
        return [cue for cue in self.cues if cue.node.speaker]

    @property
    def work(self) -> Sequence[Cue]:
        """What models and tools did meanwhile."""
        return [cue for cue in self.cues if not cue.node.speaker]

    @property
    def needed(self) -> Sequence[StepNode]:
        """The steps that have to be loaded before it is shown: of model calls nothing is."""
        return [cue.node for cue in self.cues if cue.node.speaker or cue.node.step.type == "tool"]


@dataclass(frozen=True, slots=True)
class Recording:
    """A thread as it happened: its scenes, pauses as (start, end) seconds, and when each of its steps began."""

    scenes: Sequence[Scene]
    pauses: Sequence[tuple[float, float]]
    seconds: float
    starts: Mapping[str, float]

    def moment(self, given: str | None, current: StepNode | None) -> float:
        """Return the second to open at: the one that is given, else the beginning of the selected step."""
        try:
            asked = float(given or "")
        except ValueError:
            asked = math.nan
        if math.isfinite(asked):
            return max(0.0, min(asked, self.seconds))
        return self.starts.get(current.step.id, 0.0) if current else 0.0

    def scene_at(self, moment: float) -> Scene | None:
        """Return the scene in which a moment lies, None where nothing has a time."""
        return next((scene for scene in reversed(self.scenes) if scene.start <= moment), None)

    def scene_with(self, step: str) -> Scene | None:
        """Return the scene that a step belongs to, None where there is no such step."""
        return next((scene for scene in self.scenes if any(cue.node.step.id == step for cue in scene.cues)), None)


def record(roots: Sequence[StepNode], now: int | None) -> Recording:
    """Return what to play. `now` (microseconds) is where running steps reach, None where nothing runs any more."""
    nodes = list(flatten(roots))
    spans = spans_of(nodes, now)
    busy = merged(list(spans.values()))
    begin = busy[0][0] if busy else 0

    def seconds(moment: int) -> float:
        return round((moment - begin) / 1_000_000, 3)

    def cue(node: StepNode) -> Cue:
        start, end = spans[node.step.id]
        # A question was sent whole, whatever began within it.
        return Cue(node, seconds(start), seconds(start if node.step.type == "user_message" else end))

    played = [node for node in nodes if node.step.id in spans and (node.speaker or node.step.type in WORK)]
    cues = sorted(map(cue, played), key=lambda cue: cue.start)
    pauses = [(seconds(one[1]), seconds(two[0])) for one, two in pairwise(busy)]
    return Recording(
        list(_scenes(cues)),
        [(start, end) for start, end in pauses if end - start > LEAST_IDLE],
        seconds(busy[-1][1]) if busy else 0.0,
        {identity: seconds(span[0]) for identity, span in spans.items()},
    )


def _scenes(cues: Sequence[Cue]) -> Iterator[Scene]:
    """Cut a thread into scenes, before a question where one comes in time; steps that come later move no cut."""
    held, start = list[Cue](), 0.0
    for cue in cues:
        if len(held) >= MOST_STEPS or (len(held) >= MOST_STEPS // 2 and cue.node.step.type == "user_message"):
            yield Scene(held, start, cue.start)
            held, start = [], cue.start
        held.append(cue)
    if held:
        yield Scene(held, start, math.inf)
