"""What the user saw and what the model saw: which call of which turn, and what changed since the call before."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from literal_server.dashboard.sides import Turn, compare, compare_messages, outline
from literal_server.dashboard.views import StepNode, flatten, nest
from literal_server.steps import FullStep
from literal_server.tables import Step


def turn_of(roots: Sequence[StepNode], current: StepNode | None) -> Turn | None:
    """Choose a turn and compare it, as the page does."""
    generations = {node.step.id for node in flatten(roots) if node.step.generation}
    chosen = outline(roots, current, generations)
    return compare(chosen) if chosen else None


SYSTEM = {"role": "system", "content": "Be kind."}
HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello!"}
LONG = {"role": "tool", "tool_call_id": "c", "content": "x" * 100}
CUT = {"role": "tool", "tool_call_id": "c", "content": "x" * 60 + " [cut]"}


@pytest.mark.parametrize(
    ("before", "now", "same", "kinds"),
    [
        ([], [SYSTEM, HI], 0, ["added", "added"]),
        ([SYSTEM, HI], [SYSTEM, HI], 2, []),
        ([SYSTEM, HI], [SYSTEM, HI, HELLO, LONG], 2, ["added", "added"]),
        ([SYSTEM, HI, HELLO, LONG], [SYSTEM, LONG], 2, ["dropped", "dropped"]),
        ([SYSTEM, LONG, HI], [SYSTEM, CUT, HI, HELLO], 2, ["truncated", "added"]),
        ([SYSTEM], [{"role": "system", "content": "Be brief."}], 0, ["changed"]),
        ([HI], [HELLO], 0, ["dropped", "added"]),
        (["odd", 7, None], ["odd", 8, None], 2, ["changed"]),
    ],
)
def test_what_became_of_each_message(before: list[Any], now: list[Any], same: int, kinds: list[str]) -> None:
    """Kept messages are counted; of the others it is told whether they are new, gone, other or cut short."""
    counted, changes = compare_messages(before, now)

    assert (counted, [change.kind for change in changes]) == (same, kinds)


MESSAGE = st.builds(
    lambda role, text: {"role": role, "content": text}, st.sampled_from("abc"), st.text("xy", max_size=3)
)


@given(st.lists(MESSAGE, max_size=12), st.lists(MESSAGE, max_size=12))
def test_every_message_is_accounted_for(before: list[Any], now: list[Any]) -> None:
    """What stayed and what changed make up both lists, whatever they are."""
    same, changes = compare_messages(before, now)

    assert same + sum(change.kind != "dropped" for change in changes) == len(now)
    assert same + sum(change.kind != "added" for change in changes) == len(before)


def test_a_thousand_strangers_are_only_listed() -> None:
    """Two contexts with nothing in common are compared in no time."""
    same, changes = compare_messages(
        [{"role": "a", "n": n} for n in range(999)], [{"role": "b", "n": n} for n in range(999)]
    )

    assert (same, len(changes)) == (0, 1998)


def thread() -> list[StepNode]:
    """Two turns, of which the second has two model calls, with another model and one tool less."""
    tools = [{"type": "function", "function": {"name": name}} for name in ("clock", "weather")]
    first = {"messages": [SYSTEM, HI], "model": "small", "tools": tools, "settings": {"temperature": 0}}
    steps = [
        ("m1", None, "user_message", None),
        ("r1", "m1", "run", None),
        ("l1", "r1", "llm", first),
        ("a1", "r1", "assistant_message", None),
        ("m2", None, "user_message", None),
        ("r2", "m2", "run", None),
        ("l2", "r2", "llm", first | {"messages": [SYSTEM, HI, HELLO], "model": "large", "tools": tools[:1]}),
        ("l3", "r2", "llm", first | {"messages": [SYSTEM, HI, HELLO], "model": "large", "tools": tools[:1]}),
    ]
    full = [FullStep(Step(id=name, type=kind, generation=made), parent) for name, parent, kind, made in steps]
    return nest(full, None)


def test_a_turn_is_compared_with_the_call_before_it() -> None:
    """The first call of a turn is compared with the last one of the turn before, and tools and settings are too."""
    turn = turn_of(thread(), None)

    assert turn is not None
    assert (turn.number, turn.count, turn.after) == (2, 2, None)
    second, third = turn.calls
    assert (second.same, [change.kind for change in second.changes]) == (2, ["added"])
    assert second.tools == {"dropped": ["weather"]}
    assert second.settings == ["model small → large"]
    assert (third.same, third.changes, third.tools, third.settings) == (3, [], {}, [])


def test_the_selection_chooses_the_turn() -> None:
    """The turn is the one that holds the current step; in the first there is nothing to compare the first call with."""
    roots = thread()
    current = next(node for node in flatten(roots) if node.step.id == "a1")
    turn = turn_of(roots, current)

    assert turn is not None
    assert (turn.number, [node.step.id for node in turn.seen]) == (1, ["m1", "a1"])
    assert turn.calls[0].is_first
    assert turn_of([], None) is None


def test_keys_walk_messages_and_calls_as_they_happened() -> None:
    """The order is that of the thread; a step that is not shown has its place in it, and before it is another turn."""
    roots = thread()
    run = next(node for node in flatten(roots) if node.step.id == "r2")
    first, second = turn_of(roots[:1], None), turn_of(roots, run)

    assert first is not None
    assert second is not None
    assert (first.walk.order, first.walk.place, first.walk.last_before) == (["m1", "l1", "a1"], 0, None)
    assert (second.walk.order, second.walk.place, second.walk.last_before) == (["m2", "l2", "l3"], 1, "a1")
