"""Filters of the contract as SQL conditions: which fields a list has, what each operator means for a kind of value."""

import operator as operators
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, Text, and_, cast, exists, false, func, not_, or_, select

from literal_server import clock, db, json_text
from literal_server.errors import Refused
from literal_server.paging import Order
from literal_server.tables import Participant, Score, Step, Thread

Condition = ColumnElement[bool]
Field = Callable[[str, Any, tuple[str, ...]], Condition]

DEFAULT_ENVIRONMENT = "prod"
MAX_FILTERS = 50
MAX_VALUES = 1_000
MAX_NEEDLE = 2_000

# The negative of an operator takes all the rows that the positive does not, those without any value too.
_NEGATIVES = {"neq": "eq", "nilike": "ilike", "nin": "in", "nis": "is"}
_COMPARISONS: dict[str, Callable[[Any, Any], Condition]] = {
    "eq": operators.eq,
    "is": operators.eq,
    "gt": operators.gt,
    "gte": operators.ge,
    "lt": operators.lt,
    "lte": operators.le,
}
_POSITIVES = ("eq", "ilike", "gt", "gte", "lt", "lte", "in", "is")


@dataclass(frozen=True)
class Filter:
    """One condition as it came: `path` leads into a JSON value, or names a score."""

    field: str
    operator: str
    value: Any
    path: tuple[str, ...] = ()

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "Filter":
        """Take a filter from its input object. Raises Refused."""
        path = given.get("path")
        parts = path if isinstance(path, list) else [] if path in (None, "") else [path]
        keys = tuple(json_text.encodable(str(part)) for part in parts)
        if any('"' in key for key in keys):
            raise Refused("A filter's path must not hold a quotation mark.")
        value = given.get("value")
        plain = [json_text.comparable(one) for one in value] if isinstance(value, list) else json_text.comparable(value)
        return cls(given["field"], given["operator"], plain, keys)


def conditions(fields: Mapping[str, Field], given: Sequence[Mapping[str, Any]] | None) -> list[Condition]:
    """Turn the filters of a request into conditions that must all hold. Raises Refused for one that makes no sense."""
    if given and len(given) > MAX_FILTERS:
        raise Refused(f"At most {MAX_FILTERS} filters can be combined.")
    return [_condition(fields, Filter.read(one)) for one in given or ()]


def _condition(fields: Mapping[str, Field], one: Filter) -> Condition:
    field = fields.get(one.field)
    if field is None:
        raise Refused(f"There is no filter field {one.field!r}; the fields are {', '.join(fields)}.")
    operator = _NEGATIVES.get(one.operator, one.operator)
    if operator not in _POSITIVES:
        raise Refused(f"There is no operator {one.operator!r}; there are {', '.join([*_POSITIVES, *_NEGATIVES])}.")
    positive = field(operator, one.value, one.path)
    return not_(func.coalesce(positive, false())) if one.operator in _NEGATIVES else positive


def _compare(expression: ColumnElement[Any], operator: str, value: Any) -> Condition:
    if operator == "in":
        return expression.in_(_values(value))
    if operator == "ilike":
        return db.contains(expression, _needle(value))
    if value is None:
        return expression.is_(None)
    if isinstance(value, dict | list):
        raise Refused(f"The operator {operator!r} takes one value, not a list or an object.")
    return _COMPARISONS[operator](expression, value)


def _values(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    if len(values) > MAX_VALUES:
        raise Refused(f"At most {MAX_VALUES} values can be asked for at once.")
    if any(isinstance(one, dict | list) for one in values):
        raise Refused("A list of values must hold plain values.")
    return values


def _needle(value: Any) -> str:
    needle = json_text.as_text(value) or ""
    if len(needle) > MAX_NEEDLE:
        raise Refused(f"A text to look for has at most {MAX_NEEDLE} characters.")
    return needle


def _text(column: Any) -> Field:
    def field(operator: str, value: Any, _path: tuple[str, ...]) -> Condition:
        if operator == "in":
            return _compare(column, operator, [json_text.as_text(one) for one in _values(value)])
        if operator == "is" and isinstance(value, bool):
            raise Refused("A text is compared with null by the operators is and nis.")
        return _compare(column, operator, json_text.as_text(value))

    return field


def _number(column: Any) -> Field:
    def field(operator: str, value: Any, _path: tuple[str, ...]) -> Condition:
        for one in _values(value):
            if one is not None and json_text.as_number(one) is None:
                raise Refused(f"{str(one)[:80]!r} is not a number.")
        return _compare(column, operator, value)

    return field


def _time(column: Any) -> Field:
    def field(operator: str, value: Any, _path: tuple[str, ...]) -> Condition:
        try:
            moments = [None if one is None else clock.parse_time(one) for one in _values(value)]
        except ValueError as error:
            raise Refused(str(error)) from error
        return _compare(column, operator, moments if operator == "in" else moments[0] if moments else None)

    return field


def _tags(column: Any) -> Field:
    def field(operator: str, value: Any, _path: tuple[str, ...]) -> Condition:
        if operator == "ilike":
            return db.contains(cast(column, Text), _needle(value))
        if value is None:
            return or_(column.is_(None), cast(column, Text) == "[]")
        return db.any_of(column, [json_text.as_text(one) for one in _values(value)])

    return field


def _json(column: Any) -> Field:
    def field(operator: str, value: Any, path: tuple[str, ...]) -> Condition:
        if not path:
            whole = cast(column, Text)
            given = [json_text.dumps(value)] if operator == "eq" else value
            return _compare(whole, "in" if operator == "eq" else operator, given)
        place = column[path]
        sample = value[0] if isinstance(value, list) and value else value
        if isinstance(sample, bool):
            return _compare(place.as_boolean(), operator, value)
        if isinstance(sample, int | float) and operator != "ilike":
            return _compare(place.as_float(), operator, value)
        return _compare(
            place.as_string(),
            operator,
            json_text.dumps(value) if operator == "eq" and isinstance(value, dict | list) else value,
        )

    return field


def _some_step(field_of: Callable[[], Field]) -> Field:
    inner = field_of()

    def field(operator: str, value: Any, path: tuple[str, ...]) -> Condition:
        return exists(
            select(1).where(
                Step.project_id == Thread.project_id,
                Step.thread_id == Thread.id,
                Step.deleted_at.is_(None),
                inner(operator, value, path),
            )
        ).correlate(Thread)

    return field


def _participant_of(thread_link: Callable[[], Condition], outer: type[Any]) -> Field:
    inner = _text(Participant.identifier)

    def field(operator: str, value: Any, path: tuple[str, ...]) -> Condition:
        found = and_(Participant.deleted_at.is_(None), thread_link(), inner(operator, value, path))
        return exists(select(1).where(found)).correlate(outer)

    return field


def _of_thread() -> Condition:
    return and_(Participant.project_id == Thread.project_id, Participant.id == Thread.participant_id)


def _of_step() -> Condition:
    return and_(
        Thread.project_id == Step.project_id,
        Thread.id == Step.thread_id,
        Participant.project_id == Thread.project_id,
        Participant.id == Thread.participant_id,
    )


def _of_score() -> Condition:
    return and_(_of_step(), Step.project_id == Score.project_id, Step.id == Score.step_id)


def _score_of(link: Callable[[], Condition], outer: type[Any]) -> Field:
    inner = _number(Score.value)

    def field(operator: str, value: Any, path: tuple[str, ...]) -> Condition:
        named = [Score.name == path[0]] if path else []
        found = and_(Score.deleted_at.is_(None), link(), *named, inner(operator, value, ()))
        return exists(select(1).where(found)).correlate(outer)

    return field


def _score_of_thread() -> Condition:
    return and_(
        Step.project_id == Thread.project_id,
        Step.thread_id == Thread.id,
        Step.deleted_at.is_(None),
        Score.project_id == Step.project_id,
        Score.step_id == Step.id,
    )


def _score_of_step() -> Condition:
    return and_(Score.project_id == Step.project_id, Score.step_id == Step.id)


THREAD_DURATION: ColumnElement[Any] = (Thread.last_end - Thread.first_start) / 1_000_000.0

THREADS: dict[str, Field] = {
    "id": _text(Thread.id),
    "createdAt": _time(Thread.created_at),
    "name": _text(Thread.name),
    "stepType": _some_step(lambda: _text(Step.type)),
    "stepName": _some_step(lambda: _text(Step.name)),
    "stepOutput": _some_step(lambda: _json(Step.output)),
    "metadata": _json(Thread.metadata_),
    "tokenCount": _number(Thread.token_count),
    "tags": _tags(Thread.tags),
    "participantId": _text(Thread.participant_id),
    "participantIdentifiers": _participant_of(_of_thread, Thread),
    "scoreValue": _score_of(_score_of_thread, Thread),
    "duration": _number(THREAD_DURATION),
    "environment": _text(func.coalesce(Thread.environment, DEFAULT_ENVIRONMENT)),
}

STEPS: dict[str, Field] = {
    "id": _text(Step.id),
    "name": _text(Step.name),
    "type": _text(Step.type),
    "input": _json(Step.input),
    "output": _json(Step.output),
    "participantIdentifier": _participant_of(_of_step, Step),
    "participantIdentifiers": _participant_of(_of_step, Step),
    "createdAt": _time(Step.created_at),
    "startTime": _time(Step.start_time),
    "endTime": _time(Step.end_time),
    "metadata": _json(Step.metadata_),
    "parentId": _text(Step.parent_id),
    "threadId": _text(Step.thread_id),
    "rootRunId": _text(Step.root_run_id),
    "error": _text(Step.error),
    "tags": _tags(Step.tags),
    "tokenCount": _number(Step.token_count),
    "environment": _text(func.coalesce(Step.environment, DEFAULT_ENVIRONMENT)),
    "scoreValue": _score_of(_score_of_step, Step),
}

SCORES: dict[str, Field] = {
    "id": _text(Score.id),
    "createdAt": _time(Score.created_at),
    "participant": _participant_of(_of_score, Score),
    "name": _text(Score.name),
    "tags": _tags(Score.tags),
    "value": _number(Score.value),
    "type": _text(Score.type),
    "comment": _text(Score.comment),
    "stepId": _text(Score.step_id),
}

_THREADS_OF_PARTICIPANT = (
    select(Thread)
    .where(
        Thread.project_id == Participant.project_id,
        Thread.participant_id == Participant.id,
        Thread.deleted_at.is_(None),
    )
    .correlate(Participant)
)
LAST_ENGAGED = _THREADS_OF_PARTICIPANT.with_only_columns(func.max(Thread.last_activity)).scalar_subquery()
THREAD_COUNT = _THREADS_OF_PARTICIPANT.with_only_columns(func.count()).scalar_subquery()
TOKEN_COUNT = _THREADS_OF_PARTICIPANT.with_only_columns(
    func.coalesce(func.sum(Thread.token_count), 0)
).scalar_subquery()

PARTICIPANTS: dict[str, Field] = {
    "id": _text(Participant.id),
    "createdAt": _time(Participant.created_at),
    "identifier": _text(Participant.identifier),
    "lastEngaged": _time(LAST_ENGAGED),
    "threadCount": _number(THREAD_COUNT),
    "tokenCount": _number(TOKEN_COUNT),
    "metadata": _json(Participant.metadata_),
}


def order_by(
    columns: Mapping[str, SQLColumnExpression[Any]], identity: SQLColumnExpression[Any], given: Mapping[str, Any] | None
) -> Order:
    """Turn a request's order into ours; unless said otherwise the first column, newest first. Raises Refused."""
    wanted = given or {}
    name = wanted.get("column") or next(iter(columns))
    if name not in columns:
        raise Refused(f"There is no order column {name!r}; the columns are {', '.join(columns)}.")
    return Order(columns[name], identity, descending=str(wanted.get("direction") or "DESC").upper() != "ASC")
