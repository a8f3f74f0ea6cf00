"""One turn from both sides: what the user saw, and what each model call was given, compared with the call before it."""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Literal

from literal_server.dashboard.views import StepNode, flatten

MOST_COMPARED = 400
"""Messages between what two calls have in common at both ends; more are not matched, only listed."""

MOST_CALLS, CALLS_BEFORE = 60, 10
"""Model calls that are shown of a turn, and how many of them lie before the selected step, if there are more."""

Kind = Literal["added", "dropped", "changed", "truncated"]


@dataclass(frozen=True, slots=True)
class Change:
    """A message that is not as it was in the call before; `before` is what it was, where it was there."""

    kind: Kind
    message: Any
    before: Any = None


@dataclass(frozen=True, slots=True)
class Call:
    """What one model call was given: how many messages as before, and what is different.

    `is_first` tells that there is no call before it to compare with. The names are those of tools and of settings.
    """

    node: StepNode
    is_first: bool
    same: int
    changes: Sequence[Change]
    tools: Mapping[str, Sequence[str]]
    settings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Walk:
    """How keys walk through a turn: the ids of its messages and calls, and of the last one in the turn before.

    `place` says how many of them come before the selected step.
    """

    order: Sequence[str]
    place: int
    last_before: str | None


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: its place among all, its messages as the user saw them, and (some of all) its model calls in order."""

    number: int
    count: int
    seen: Sequence[StepNode]
    calls: Sequence[Call]
    all_calls: int
    before: StepNode | None
    after: StepNode | None
    walk: Walk


@dataclass(frozen=True, slots=True)
class Outline:
    """One turn before its steps are loaded: `calls` are those that are shown, `last` is the model call before them."""

    number: int
    count: int
    seen: Sequence[StepNode]
    calls: Sequence[StepNode]
    last: StepNode | None
    all_calls: int
    before: StepNode | None
    after: StepNode | None
    walk: Walk

    @property
    def needed(self) -> Sequence[StepNode]:
        """The steps that have to be loaded before they are compared."""
        return [*self.seen, *self.calls, *([self.last] if self.last else [])]


def outline(roots: Sequence[StepNode], current: StepNode | None, generations: Container[str]) -> Outline | None:
    """Return the turn that holds the current step, the last one where there is none; None in a thread without turns.

    `generations` holds the ids of the steps that carry one. Of many calls those around the current step are shown.
    """

    def is_call(node: StepNode) -> bool:
        return node.step.type == "llm" or node.step.id in generations

    def ids(nodes: Iterable[StepNode]) -> list[str]:
        return [node.step.id for node in nodes if node.speaker or is_call(node)]

    turns = [root for root in roots if any(node.speaker or is_call(node) for node in flatten([root]))]
    if not turns:
        return None
    holding = (n for n, root in enumerate(turns) if any(node is current for node in flatten([root])))
    index = next(holding, len(turns) - 1)
    inside = list(flatten([turns[index]]))
    calls = [node for node in inside if is_call(node)]
    place = next((n for n, node in enumerate(inside) if node is current), 0)
    first = max(0, min(sum(map(is_call, inside[:place])) - CALLS_BEFORE, len(calls) - MOST_CALLS))
    last_before = ids(flatten(turns[index - 1 : index]))
    earlier = [node for node in flatten(turns[:index]) if is_call(node)] + calls[:first]
    return Outline(
        index + 1,
        len(turns),
        [node for node in inside if node.speaker],
        calls[first : first + MOST_CALLS],
        earlier[-1] if earlier else None,
        len(calls),
        turns[index - 1] if index else None,
        turns[index + 1] if index + 1 < len(turns) else None,
        Walk(ids(inside), len(ids(inside[:place])), last_before[-1] if last_before else None),
    )


def compare(turn: Outline) -> Turn:
    """Compare each model call of a turn with the one before it."""
    befores = [turn.last, *turn.calls]
    calls = [_compare(node, before) for node, before in zip(turn.calls, befores, strict=False)]
    place = (turn.before, turn.after, turn.walk)
    return Turn(turn.number, turn.count, turn.seen, calls, turn.all_calls, *place)


def _compare(node: StepNode, last: StepNode | None) -> Call:
    given, before = node.generation or {}, (last.generation if last else None) or {}
    same, changes = compare_messages(_as_list(before.get("messages")), _as_list(given.get("messages")))
    return Call(
        node,
        last is None,
        same,
        changes,
        _compare_tools(_as_list(before.get("tools")), _as_list(given.get("tools"))) if last else {},
        _compare_settings(before, given) if last else [],
    )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def compare_messages(before: Sequence[Any], now: Sequence[Any]) -> tuple[int, list[Change]]:
    """Return how many messages are as they were, and what happened to the others, in their order."""
    old, new = [_canonical(one) for one in before], [_canonical(one) for one in now]
    head = _in_common(old, new)
    tail = _in_common(old[head:][::-1], new[head:][::-1])
    old_middle, new_middle = old[head : len(old) - tail], new[head : len(new) - tail]
    same, changes = head + tail, []
    if len(old_middle) + len(new_middle) > MOST_COMPARED:
        steps = [("replace", 0, len(old_middle), 0, len(new_middle))]
    else:
        steps = list(SequenceMatcher(None, old_middle, new_middle, autojunk=False).get_opcodes())
    for what, old_start, old_end, new_start, new_end in steps:
        if what == "equal":
            same += old_end - old_start
        else:
            changes += _changes(before[head + old_start : head + old_end], now[head + new_start : head + new_end])
    return same, changes


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _in_common(one: Sequence[str], two: Sequence[str]) -> int:
    """Return how many items two lists begin with alike."""
    return next((n for n, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


_NOTHING = object()


def _changes(old: Sequence[Any], new: Sequence[Any]) -> list[Change]:
    """Pair what was in a place with what is there now: one role's message became another, or they are strangers."""
    changes = []
    for before, message in zip_longest(old, new, fillvalue=_NOTHING):
        if before is not _NOTHING and message is not _NOTHING and _role(before) == _role(message):
            changes.append(Change("truncated" if _is_cut(before, message) else "changed", message, before))
            continue
        if before is not _NOTHING:
            changes.append(Change("dropped", before))
        if message is not _NOTHING:
            changes.append(Change("added", message))
    return changes


def _role(message: Any) -> Any:
    return (message.get("role"), message.get("tool_call_id")) if isinstance(message, dict) else None


def _is_cut(before: Any, now: Any) -> bool:
    """Tell whether a text has lost its end: what is left begins as the old one did, up to a word about the cut."""
    old, new = (message.get("content") if isinstance(message, dict) else message for message in (before, now))
    if not isinstance(old, str) or not isinstance(new, str) or len(new) >= len(old):
        return False
    kept = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(new))
    return kept >= len(new) / 2


def _compare_tools(before: Sequence[Any], now: Sequence[Any]) -> dict[str, list[str]]:
    old, new = ({_tool_name(tool): _canonical(tool) for tool in tools} for tools in (before, now))
    found = {
        "added": [name for name in new if name not in old],
        "dropped": [name for name in old if name not in new],
        "changed": [name for name in new if name in old and new[name] != old[name]],
    }
    return {what: names for what, names in found.items() if names}


def _tool_name(tool: Any) -> str:
    function = tool.get("function", tool) if isinstance(tool, dict) else tool
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else _canonical(tool)[:80]


def _compare_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what of model and settings is different, as `temperature 0.2 → 0.7`."""
    sides = [{"model": side.get("model"), **_as_dict(side.get("settings"))} for side in (before, now)]
    names = [*sides[1], *(name for name in sides[0] if name not in sides[1])]
    return [
        f"{name} {_short(sides[0].get(name))} → {_short(sides[1].get(name))}"
        for name in names
        if sides[0].get(name) != sides[1].get(name)
    ]


def _as_dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"
