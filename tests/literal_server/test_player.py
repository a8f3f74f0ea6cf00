"""What the player plays: seconds since the beginning, messages and work apart, pauses that can be skipped."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from literal_server.dashboard.player import record
from literal_server.dashboard.windows import MOST_STEPS
from tests.literal_server.test_timeline import tree


def test_cues_are_in_seconds_since_the_beginning() -> None:
    """Messages and work are told apart, in the order in which they began; the run itself is neither.

    A question that was never told to have ended stands there at once.
    """
    recording = record(
        tree(
            ("q", None, "user_message", 100, None),
            ("r", "q", "run", 100, 110),
            ("answer", "r", "assistant_message", 105.5, 110),
            ("call", "r", "llm", 101, 110),
            ("tool", "r", "tool", 100.25, 101),
        ),
        None,
    )

    (scene,) = recording.scenes
    assert [(cue.node.step.id, cue.start, cue.end) for cue in scene.messages] == [("q", 0, 0), ("answer", 5.5, 10)]
    assert [(cue.node.step.id, cue.start, cue.end) for cue in scene.work] == [("tool", 0.25, 1), ("call", 1, 10)]
    assert (recording.pauses, recording.seconds) == ([], 10)


def test_pauses_are_what_lies_between_turns() -> None:
    """A night between two turns is one pause; half a second is none."""
    recording = record(
        tree(("a", None, "run", 0, 1), ("b", None, "run", 1.5, 2), ("c", None, "run", 30_000, 30_001)), None
    )

    assert recording.pauses == [(2, 30_000)]


def test_nothing_recorded_is_nothing_to_play() -> None:
    """A thread without times has no length and no cue."""
    recording = record(tree(("a", None, "run", None, None)), None)

    assert (recording.scenes, recording.seconds) == ([], 0)
    assert recording.scene_at(recording.moment("5", None)) is None


KINDS = st.sampled_from(["user_message", "assistant_message", "llm", "tool"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(KINDS, st.integers(0, 500)), min_size=1, max_size=300), st.floats(0, 500))
def test_every_moment_has_its_scene(steps: list[tuple[str, int]], moment: float) -> None:
    """Scenes hold each step once and no more than a page may; they follow each other, and leave no moment out."""
    given = [(str(n), None, kind, start, None) for n, (kind, start) in enumerate(sorted(steps, key=lambda one: one[1]))]
    recording = record(tree(*given), None)
    scenes = recording.scenes
    assert [cue.node.step.id for scene in scenes for cue in scene.cues] == [one[0] for one in given]
    assert all(len(scene.cues) <= MOST_STEPS for scene in scenes)
    assert (scenes[0].start, scenes[-1].end) == (0, math.inf)
    assert [scene.end for scene in scenes[:-1]] == [scene.start for scene in scenes[1:]]
    found = recording.scene_at(moment)
    assert found is not None
    assert found.start <= moment < found.end
    assert all(scene.start <= cue.start <= scene.end for scene in scenes for cue in scene.cues)


def test_a_scene_begins_with_a_question() -> None:
    """Turns of four steps are not cut in two, and more turns move no cut that was made before."""
    kinds = ("user_message", "llm", "tool", "assistant_message")
    given = [(str(n), None, kinds[n % 4], n, n + 1) for n in range(200)]
    shorter, longer = record(tree(*given[:150]), None).scenes, record(tree(*given), None).scenes
    assert {scene.first.step.type for scene in longer} == {"user_message"}
    assert [scene.start for scene in shorter] == [scene.start for scene in longer][: len(shorter)]


def test_where_to_begin() -> None:
    """At the moment that is asked for, within the thread, else at the selected step, else at the beginning."""
    roots = tree(
        ("q", None, "user_message", 10, 10), ("r", None, "run", 15, 30), ("a", "r", "assistant_message", 20, 30)
    )
    recording = record(roots, None)
    assert [recording.moment(given, roots[1]) for given in ("7.5", "-1", "99", "x", "nan", "inf", None)] == [
        *(7.5, 0, 20),
        *(5, 5, 5, 5),
    ]
    assert recording.moment(None, None) == 0
