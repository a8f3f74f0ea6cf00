"""What the fields of the query language mean: a query about threads becomes one SQL condition with bound values."""

import operator as operators
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from sqlalchemy import (
    ColumnElement,
    SQLColumnExpression,
    Text,
    and_,
    cast,
    exists,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
)

from literal_server import clock, db, json_text
from literal_server.fields import THREAD_COST, THREAD_DURATION
from literal_server.filters import DEFAULT_ENVIRONMENT
from literal_server.query_language import (
    Both,
    Condition,
    Either,
    Field,
    Negation,
    Number,
    Query,
    QueryError,
    Span,
    Words,
    bare_words,
    parse,
)
from literal_server.tables import Participant, Score, Step, Thread

SQL = ColumnElement[bool]
LARGEST = 2**63 - 1
# Seconds from now that a moment may lie away: longer spans reach as far as this one.
FARTHEST = 10**12

# Said in so many words: with a bound value there is no way to the index of such threads.
_HAS_ERRORS = Thread.error_count > literal_column("0")

_COMPARISONS: dict[str, Callable[[Any, Any], SQL]] = {
    "=": operators.eq,
    ">": operators.gt,
    ">=": operators.ge,
    "<": operators.lt,
    "<=": operators.le,
}
_NEGATIVES = {"!=": "=", "!~": "~"}


@dataclass(frozen=True, slots=True)
class _Text:
    """Compared exactly or, with ~, by what it contains, whatever the case. Alone: whether there is any."""

    column: SQLColumnExpression[Any]

    def holds(self, condition: Condition) -> SQL:
        match condition.operator:
            case None:
                return func.coalesce(self.column, "") != ""
            case "=":
                return self.column == _text(condition, condition.value)
            case "in":
                return self.column.in_([_text(condition, one) for one in condition.value])
            case "~":
                return db.contains(self.column, _text(condition, condition.value))
        raise _no_such_comparison(condition, "= != ~ !~ and in")


@dataclass(frozen=True, slots=True)
class _Number:
    """A count, an amount, or, where `seconds` holds, a length of time. Alone: whether it is more than nothing."""

    column: SQLColumnExpression[Any]
    seconds: bool = False

    def holds(self, condition: Condition) -> SQL:
        if condition.operator is None:
            return self.column > 0
        if condition.operator == "in":
            return self.column.in_([self._value(condition, one) for one in condition.value])
        if condition.operator not in _COMPARISONS:
            raise _no_such_comparison(condition, "= != > >= < <= and in")
        return _COMPARISONS[condition.operator](self.column, self._value(condition, condition.value))

    def _value(self, condition: Condition, given: Any) -> float:
        if isinstance(given, Span) and self.seconds:
            return given.seconds
        if not isinstance(given, Number) or abs(float(given)) > LARGEST:
            kind = "a number or a length of time such as 1.5s" if self.seconds else "a number"
            raise QueryError(f"{name_of(condition.field)} is compared with {kind}.", condition.field.place)
        return float(given)


class _Errors(_Number):
    """How many errors."""

    __slots__ = ()

    def holds(self, condition: Condition) -> SQL:
        holds = super().holds(condition)
        least = {None: 1, ">": 0, ">=": 1, "=": 1}.get(condition.operator)
        if least is None or (condition.operator and self._value(condition, condition.value) < least):
            return holds
        return and_(_HAS_ERRORS, holds)


@dataclass(frozen=True, slots=True)
class _Moment:
    """A moment: a date, a date with a time (UTC unless it says otherwise), or a span back from now such as -7d."""

    column: SQLColumnExpression[Any]
    now: int

    def holds(self, condition: Condition) -> SQL:
        if condition.operator not in (">", ">=", "<", "<="):
            raise _no_such_comparison(condition, "> >= < <=")
        return _COMPARISONS[condition.operator](self.column, self._value(condition))

    def _value(self, condition: Condition) -> int:
        given = condition.value
        try:
            if isinstance(given, Span):
                return self.now + int(max(-FARTHEST, min(FARTHEST, given.seconds)) * 1_000_000)
            return clock.parse_time(str(given))
        except ValueError as error:
            raise QueryError(
                f"{name_of(condition.field)} is compared with a date such as 2026-01-31, or a span such as -7d.",
                condition.field.place,
            ) from error


@dataclass(frozen=True, slots=True)
class _Truth:
    """Something that is so or is not."""

    expression: SQL

    def holds(self, condition: Condition) -> SQL:
        if condition.operator is None:
            return self.expression
        if condition.operator != "=" or str(condition.value).lower() not in ("true", "false"):
            raise QueryError(f"{name_of(condition.field)} stands alone, or is compared = true.", condition.field.place)
        return self.expression if str(condition.value).lower() == "true" else not_(self.expression)


@dataclass(frozen=True, slots=True)
class _Tags:
    """A list of which one member is compared. Alone: whether there is any."""

    column: SQLColumnExpression[Any]

    def holds(self, condition: Condition) -> SQL:
        match condition.operator:
            case None:
                return db.any_member(self.column)
            case "=":
                return db.any_of(self.column, [_text(condition, condition.value)])
            case "in":
                return db.any_of(self.column, [_text(condition, one) for one in condition.value])
            case "~":
                return db.contains(cast(self.column, Text), _text(condition, condition.value))
        raise _no_such_comparison(condition, "= != ~ !~ and in")


_Kind = Union["_Text", "_Number", "_Moment", "_Truth", "_Tags", "_User"]


def _text(condition: Condition, given: Any) -> str:
    if not isinstance(given, str):
        raise QueryError(f"{name_of(condition.field)} is compared with a text.", condition.field.place)
    return json_text.encodable(given)


def name_of(field: Field) -> str:
    """Write a field as it stands in a query."""
    key = f'["{field.key}"]' if field.key is not None else ""
    return field.name + key + (f".{field.attribute}" if field.attribute else "")


def _no_such_comparison(condition: Condition, allowed: str) -> QueryError:
    return QueryError(f"{name_of(condition.field)} takes {allowed}, not {condition.operator or 'nothing'}.",
                      condition.field.place)  # fmt: skip


_STEP_SECONDS = (Step.end_time - Step.start_time) / 1_000_000.0
STEP_ATTRIBUTES: dict[str, _Kind] = {
    "error": _Text(Step.error),
    "duration": _Number(_STEP_SECONDS, seconds=True),
    "tokens": _Number(Step.token_count),
    "cost": _Number(Step.cost),
    "input": _Text(cast(Step.input, Text)),
    "output": _Text(cast(Step.output, Text)),
    "type": _Text(Step.type),
    "tag": _Tags(Step.tags),
}
STEPS: Mapping[str, tuple[SQL | None, _Kind]] = {
    "tool": (Step.type == "tool", _Text(Step.name)),
    "model": (Step.type == "llm", _Text(func.coalesce(Step.model, Step.name))),
    "run": (Step.type == "run", _Text(Step.name)),
    "step": (None, _Text(Step.name)),
}
SCORE_ATTRIBUTES: dict[str, _Kind] = {"comment": _Text(Score.comment), "type": _Text(Score.type)}


@dataclass(frozen=True, slots=True)
class _User:
    """The name of the thread's participant. The participants are asked first: each has an index of own threads."""

    project: str

    def holds(self, condition: Condition) -> SQL:
        named = _Text(Participant.identifier).holds(condition)
        living = (Participant.project_id == self.project, Participant.deleted_at.is_(None), named)
        return Thread.participant_id.in_(select(Participant.id).where(*living))


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a query is asked: in which project, and at which moment.

    `now` (microseconds) is what spans such as -7d reach back from. A thread that is going on has been active since
    `live_since`. `found` has the ids of the threads in which the words of the query stand.
    """

    project: str
    now: int
    live_since: int
    found: Mapping[Words, Iterable[str]]


# Made once: to put an expression together takes a part of a millisecond.
_FIELDS: Mapping[str, _Kind] = {
    "name": _Text(Thread.name),
    "id": _Text(Thread.id),
    "env": _Text(func.coalesce(Thread.environment, DEFAULT_ENVIRONMENT)),
    "tag": _Tags(Thread.tags),
    "turns": _Number(Thread.turn_count),
    "tokens": _Number(Thread.token_count),
    "cost": _Number(THREAD_COST),
    "errors": _Errors(Thread.error_count),
    "duration": _Number(THREAD_DURATION, seconds=True),
    # A thread that went on after its review has something new to be reviewed.
    "reviewed": _Truth(func.coalesce(Thread.reviewed_at >= Thread.last_activity, false())),
    "reviewer": _Text(Thread.reviewed_by),
}
_OF_SCOPE: Mapping[str, Callable[[Scope], _Kind]] = {
    "user": lambda scope: _User(scope.project),
    "created": lambda scope: _Moment(Thread.created_at, scope.now),
    "active": lambda scope: _Moment(Thread.last_activity, scope.now),
    "live": lambda scope: _Truth(and_(Thread.open_count > 0, Thread.last_activity > scope.live_since)),
}
THREAD_FIELDS = (*_FIELDS, *_OF_SCOPE)
"""What can be asked of a thread itself."""


_NAMES = {*THREAD_FIELDS, *STEPS, "score", "metadata"}


def read(text: str) -> Query:
    """Read a query; a word that stands alone and is no field is one to look for. Raises QueryError."""
    return _with_words(parse(text))


def _with_words(query: Query) -> Query:
    match query:
        case Negation(part):
            return Negation(_with_words(part))
        case Either(parts):
            return Either(tuple(map(_with_words, parts)))
        case Both(parts):
            return Both(tuple(map(_with_words, parts)))
        case Condition(field) if field.name not in _NAMES:
            return bare_words(query) or query
    return query


def words_of(query: Query) -> Iterator[Words]:
    """Yield what a query looks for in all that was said."""
    match query:
        case Words():
            yield query
        case Negation(part):
            yield from words_of(part)
        case Either(parts) | Both(parts):
            for part in parts:
                yield from words_of(part)


def condition(query: Query, scope: Scope) -> SQL:
    """Turn a query into a condition on the threads of a project. Raises QueryError, which names the mistake's place."""
    return _Compiler(scope).compile(query)


@dataclass(frozen=True, slots=True)
class _Compiler:
    scope: Scope

    def compile(self, query: Query) -> SQL:
        match query:
            case Negation(part):
                return not_(func.coalesce(self.compile(part), false()))
            case Either(parts):
                return or_(*map(self.compile, parts))
            case Both(parts):
                return and_(*self._together(parts))
            case Words():
                return db.one_of(Thread.id, self.scope.found[query])
            case Condition():
                return and_(*self._together([query]))

    def _together(self, parts: Sequence[Query]) -> Iterable[SQL]:
        """Yield the conditions of an `and`: those on one kind of step, or on one score, speak of one and the same."""
        same: dict[tuple[str, str | None], list[Condition]] = {}
        for part in parts:
            if not isinstance(part, Condition):
                yield self.compile(part)
            elif part.operator in _NEGATIVES:
                positive = Condition(part.field, _NEGATIVES[part.operator], part.value)
                yield not_(func.coalesce(self.compile(positive), false()))
            elif part.field.name in STEPS or part.field.name == "score":
                same.setdefault((part.field.name, part.field.key), []).append(part)
            else:
                yield self._of_thread(part)
        for (name, key), conditions in same.items():
            yield _some_score(self.scope.project, key, conditions) if name == "score" else _some_step(name, conditions)

    def _of_thread(self, one: Condition) -> SQL:
        field = one.field
        if field.name == "metadata" and field.attribute is not None and field.key is None:
            return _metadata(field.attribute, one)
        if field.name not in THREAD_FIELDS or field.key is not None or field.attribute is not None:
            names = ", ".join([*THREAD_FIELDS, "metadata.…", *STEPS, 'score["…"]'])
            raise QueryError(f"There is no field {name_of(field)}; the fields are {names}.", field.place)
        kind = _FIELDS.get(field.name) or _OF_SCOPE[field.name](self.scope)
        return kind.holds(one)


def _metadata(key: str, one: Condition) -> SQL:
    if '"' in key:
        raise QueryError("A name in the metadata has no quotation mark.", one.field.place)
    place = Thread.metadata_[(json_text.encodable(key),)]
    is_number = isinstance(one.value, Number) and one.operator not in ("~", "in")
    return _Number(place.as_float()).holds(one) if is_number else _Text(place.as_string()).holds(one)


def _some_step(name: str, conditions: Sequence[Condition]) -> SQL:
    kind, own = STEPS[name]
    found = [] if kind is None else [kind]
    for one in conditions:
        attribute = STEP_ATTRIBUTES.get(one.field.attribute or "")
        if one.field.key is not None or (one.field.attribute and attribute is None):
            attributes = ", ".join(f"{name}.{each}" for each in STEP_ATTRIBUTES)
            raise QueryError(f"There is no {name_of(one.field)}; there are {name}, {attributes}.", one.field.place)
        found.append((attribute or own).holds(one))
    here = (Step.project_id == Thread.project_id, Step.thread_id == Thread.id, Step.deleted_at.is_(None))
    is_there = exists(select(1).where(*here, *found)).correlate(Thread)
    # A thread counts its failed steps: where there is none, its steps need not be looked at.
    has_failed = any(one.field.attribute == "error" and one.operator is None for one in conditions)
    return and_(_HAS_ERRORS, is_there) if has_failed else is_there


def _some_score(project: str, key: str | None, conditions: Sequence[Condition]) -> SQL:
    found = [] if key is None else [Score.name == json_text.encodable(key)]
    for one in conditions:
        attribute = SCORE_ATTRIBUTES.get(one.field.attribute or "")
        if one.field.attribute and attribute is None:
            raise QueryError(f"There is no {name_of(one.field)}; a score has comment and type.", one.field.place)
        if attribute or one.operator is not None:
            found.append((attribute or _Number(Score.value)).holds(one))
    # The scores are asked first: those of a name and a value lie together in an index, with their threads.
    here = (Score.project_id == project, Score.deleted_at.is_(None), Score.counted_thread_id.is_not(None))
    return Thread.id.in_(select(Score.counted_thread_id).where(*here, *found))
