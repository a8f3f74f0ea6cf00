"""The timeline: bars to scale, idle time folded, the critical path found, and odd times drawn all the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from literal_server.dashboard.timeline import LEAST_BAR, WIDTH, lay_out
from literal_server.dashboard.views import StepNode, nest
from literal_server.steps import FullStep
from literal_server.tables import Step

SECOND = 1_000_000


def tree(*steps: tuple[str, str | None, str, float | None, float | None]) -> list[StepNode]:
    """Make nodes of (id, parent, type, start, end), times in seconds."""
    full = [
        FullStep(Step(id=name, type=kind, start_time=_micro(start), end_time=_micro(end), is_error=False), parent)
        for name, parent, kind, start, end in steps
    ]
    return nest(full, None)


def _micro(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * SECOND)


TURN = (
    ("r", None, "run", 0, 10),
    ("call", "r", "llm", 0, 2),
    ("fast", "r", "tool", 2, 3),
    ("slow", "r", "tool", 2, 6),
    ("answer", "r", "llm", 6, 10),
)


def test_bars_are_to_scale() -> None:
    """Where nothing is idle, each bar begins and ends at its share of the whole."""
    rows = {row.node.step.id: row for row in lay_out(tree(*TURN), None).rows}

    assert [(rows[name].x, rows[name].width) for name in ("r", "slow", "answer")] == [(0, 1000), (200, 400), (600, 400)]


def test_the_critical_path_is_what_the_answer_waited_for() -> None:
    """Of two tools side by side the slower one is on it, of what came before and after everything."""
    rows = lay_out(tree(*TURN), None).rows

    assert [row.node.step.id for row in rows if row.is_critical] == ["r", "call", "slow", "answer"]


def test_idle_time_is_folded() -> None:
    """An hour between two turns takes a narrow strip, which tells how long it was."""
    later = tree(*TURN, ("s", None, "run", 3_610, 3_620))
    timeline = lay_out(later, None)
    rows = {row.node.step.id: row for row in timeline.rows}

    (fold,) = timeline.folds
    assert fold.seconds == 3_600
    assert fold.width < WIDTH / 20
    assert rows["r"].width == pytest.approx(rows["s"].width)
    assert timeline.seconds == 20


def test_many_folds_leave_room_for_what_happened() -> None:
    """A thread of three hundred turns on different days is still mostly turns."""
    timeline = lay_out(tree(*((f"{n}", None, "run", n * 86_400, n * 86_400 + 5) for n in range(300))), None)

    assert sum(fold.width for fold in timeline.folds) <= WIDTH / 3 + 1
    assert len(timeline.folds) == 299


def test_messages_alone_are_spread() -> None:
    """A thread of nothing but moments shows them one after the other."""
    rows = lay_out(tree(*((f"{n}", None, "user_message", n * 60, n * 60) for n in range(5))), None).rows

    places = [row.x for row in rows]
    assert places == sorted(set(places))  # type: ignore[type-var]


def test_a_running_step_reaches_to_now() -> None:
    """What has not ended goes on to the present while the thread lives, and else as far as what is inside it."""
    steps = (("r", None, "run", 0, None), ("call", "r", "llm", 0, 2))
    live = lay_out(tree(*steps), 4 * SECOND).rows
    dead = lay_out(tree(*steps), None).rows

    assert [round(row.width) for row in live] == [1000, 500]
    assert [round(row.width) for row in dead] == [1000, 1000]


def test_a_step_without_times_has_no_bar() -> None:
    """Nothing is drawn where nothing is known, and a parent without times takes those of its children."""
    rows = lay_out(
        tree(("p", None, "undefined", None, None), ("c", "p", "tool", 1, 2), ("n", None, "tool", None, None)), 0
    )

    assert [row.x is None for row in rows.rows] == [False, False, True]


MOMENTS = st.none() | st.integers(-(10**6), 10**6) | st.sampled_from([0, 1, 10**12])


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["run", "tool", "user_message"]), MOMENTS, MOMENTS)), MOMENTS
)
def test_any_times_are_drawn_within_the_width(
    steps: list[tuple[int, str, int | None, int | None]], now: int | None
) -> None:
    """Whatever the clocks said, every bar lies within the picture and has a width one can see."""
    made = [(f"{n}", f"{parent}" if parent < n else None, kind, start, end)
            for n, (parent, kind, start, end) in enumerate(steps)]  # fmt: skip
    for row in lay_out(tree(*made), now).rows:
        if row.x is not None:
            assert -1e-6 <= row.x <= WIDTH
            assert row.width >= LEAST_BAR
            assert row.x + row.width <= WIDTH + 1e-6
