"""Filters and orders of the contract as SQL: what each operator means for a kind of value, and where nulls go."""

import operator as operators
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, Text, and_, cast, exists, false, func, not_, or_, select

from literal_server import clock, db, json_text
from literal_server.errors import Refused
from literal_server.paging import Order

Condition = ColumnElement[bool]
Path = tuple[str | int, ...]
Field = Callable[[str, Any, Path], Condition]

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
    path: Path = ()

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "Filter":
        """Take a filter from its input object. Raises Refused."""
        path = given.get("path")
        parts = path if isinstance(path, list) else [] if path in (None, "") else [path]
        value = given.get("value")
        plain = [json_text.comparable(one) for one in value] if isinstance(value, list) else json_text.comparable(value)
        return cls(given["field"], given["operator"], plain, tuple(_key(part) for part in parts))


def _key(part: Any) -> str | int:
    place = json_text.as_number(part)
    if place is not None and 0 <= place < MAX_VALUES:
        return int(place)
    key = json_text.encodable(str(part))
    if '"' in key:
        raise Refused("A filter's path must not hold a quotation mark.")
    return key


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


def text(column: Any) -> Field:
    """Filter by a text."""

    def field(operator: str, value: Any, _path: Path) -> Condition:
        if operator == "in":
            return _compare(column, operator, [json_text.as_text(one) for one in _values(value)])
        if operator == "is" and isinstance(value, bool):
            raise Refused("A text is compared with null by the operators is and nis.")
        return _compare(column, operator, json_text.as_text(value))

    return field


def number(column: Any) -> Field:
    """Filter by a number."""

    def field(operator: str, value: Any, _path: Path) -> Condition:
        for one in _values(value):
            if one is not None and json_text.as_number(one) is None:
                raise Refused(f"{str(one)[:80]!r} is not a number.")
        return _compare(column, operator, value)

    return field


def time(column: Any) -> Field:
    """Filter by a moment."""

    def field(operator: str, value: Any, _path: Path) -> Condition:
        try:
            moments = [None if one is None else clock.parse_time(one) for one in _values(value)]
        except ValueError as error:
            raise Refused(str(error)) from error
        return _compare(column, operator, moments if operator == "in" else moments[0] if moments else None)

    return field


def tags(column: Any) -> Field:
    """Filter by a JSON list of texts, of which one has to fit."""

    def field(operator: str, value: Any, _path: Path) -> Condition:
        if operator == "ilike":
            return db.contains(cast(column, Text), _needle(value))
        if value is None:
            return func.coalesce(cast(column, Text), "null").in_(("null", "[]"))
        return db.any_of(column, [json_text.as_text(one) for one in _values(value)])

    return field


def json(column: Any) -> Field:
    """Filter by the value at a path in JSON, without a path by the whole as text."""

    def field(operator: str, value: Any, path: Path) -> Condition:
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


def some(inner: Field, link: Condition, outer: type[Any]) -> Field:
    """Filter by something that hangs on the row: one has to fit; compared with null, there must be none."""

    def field(operator: str, value: Any, path: Path) -> Condition:
        if value is None:
            return not_(exists(select(1).where(link)).correlate(outer))
        return exists(select(1).where(link, inner(operator, value, path))).correlate(outer)

    return field


def named_score(score: type[Any], link: Condition, outer: type[Any]) -> Field:
    """Filter by the value of a score that hangs on the row; the path is the score's name."""

    def field(operator: str, value: Any, path: Path) -> Condition:
        named = and_(link, score.name == str(path[0])) if path else link
        return some(number(score.value), named, outer)(operator, value, ())

    return field


def either(one: Field, other: Field) -> Field:
    """Filter by a value that may lie in two places."""

    def field(operator: str, value: Any, path: Path) -> Condition:
        combine = and_ if value is None else or_
        return combine(one(operator, value, path), other(operator, value, path))

    return field


@dataclass(frozen=True)
class OrderColumn:
    """What a list can be sorted by; where it can be null, the values that put those rows last either way."""

    expression: SQLColumnExpression[Any]
    lowest: Any = None
    highest: Any = None

    def sorted_by(self, *, descending: bool) -> SQLColumnExpression[Any]:
        """Answer the expression with nulls filled in: a cursor compares, and nothing compares with null."""
        if self.lowest is None:
            return self.expression
        return func.coalesce(self.expression, self.lowest if descending else self.highest)


def nullable_number(expression: SQLColumnExpression[Any]) -> OrderColumn:
    """Sort by a number that may be missing."""
    return OrderColumn(expression, -1e308, 1e308)


def nullable_text(expression: SQLColumnExpression[Any]) -> OrderColumn:
    """Sort by a text that may be missing; an empty one counts as missing."""
    return OrderColumn(func.nullif(expression, ""), "", "\U0010ffff")


def order_by(
    columns: Mapping[str, OrderColumn], identity: SQLColumnExpression[Any], given: Mapping[str, Any] | None
) -> Order:
    """Turn a request's order into ours; unless said otherwise the first column, newest first. Raises Refused."""
    wanted = given or {}
    name = wanted.get("column") or next(iter(columns))
    if name not in columns:
        raise Refused(f"There is no order column {name!r}; the columns are {', '.join(columns)}.")
    descending = str(wanted.get("direction") or "DESC").upper() != "ASC"
    return Order(columns[name].sorted_by(descending=descending), identity, descending)
