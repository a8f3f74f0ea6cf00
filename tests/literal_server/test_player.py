"""What the player plays: seconds since the beginning, messages and work apart, pauses that can be skipped."""

from literal_server.dashboard.player import record
from tests.literal_server.test_timeline import tree


def test_cues_are_in_seconds_since_the_beginning() -> None:
    """Messages and work are told apart, in the order in which they began; the run itself is neither."""
    recording = record(
        tree(
            ("q", None, "user_message", 100, 100),
            ("r", "q", "run", 100, 110),
            ("answer", "r", "assistant_message", 105.5, 110),
            ("call", "r", "llm", 101, 110),
            ("tool", "r", "tool", 100.25, 101),
        ),
        None,
    )

    assert [(cue.node.step.id, cue.start, cue.end) for cue in recording.messages] == [("q", 0, 0), ("answer", 5.5, 10)]
    assert [(cue.node.step.id, cue.start, cue.end) for cue in recording.work] == [("tool", 0.25, 1), ("call", 1, 10)]
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

    assert (recording.messages, recording.work, recording.seconds) == ([], [], 0)
