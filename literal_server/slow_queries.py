"""What is said of a query that takes too long: which part of it is slow, and what helps."""

from collections.abc import Iterator

from literal_server import thread_query
from literal_server.query_language import Both, Condition, Either, Negation, Query, QueryError

_HELP = (
    "A date (active > -7d), a status (errors > 0) or a user beside it narrows it down; "
    "words that stand for themselves are found at once."
)


class TooSlow(QueryError):  # noqa: N818 - reads as what happened
    """A query that was stopped; `place` is where its slow part begins."""


def too_slow(text: str, seconds: float) -> TooSlow:
    """Say what made a query slow that was stopped after so many seconds."""
    slow = min(_conditions(thread_query.read(text)), key=_speed, default=None) if text else None
    stopped = f"which was not done within {seconds:g} s and was stopped."
    if slow is None:
        return TooSlow(f"The server was asked for a list, {stopped} It has much to do: try again in a moment.", 0)
    where = ("the text of every step", "every step", "every thread")[_speed(slow)]
    return TooSlow(f"{_written(slow)} has to be looked for in {where}, {stopped} {_HELP}", slow.field.place)


def _conditions(query: Query) -> Iterator[Condition]:
    match query:
        case Condition():
            yield query
        case Negation(part):
            yield from _conditions(part)
        case Either(parts) | Both(parts):
            for part in parts:
                yield from _conditions(part)


def _speed(condition: Condition) -> int:
    """Tell how dear a condition is: 0 where it reads what was said, 1 where it looks at steps, 2 at threads alone."""
    if condition.field.name not in thread_query.STEPS:
        return 2
    return 0 if condition.field.attribute in ("input", "output") else 1


def _written(condition: Condition) -> str:
    name = thread_query.name_of(condition.field)
    if condition.operator is None:
        return name
    if isinstance(condition.value, str):
        return f'{name} {condition.operator} "{condition.value}"'
    return f"{name} {condition.operator} …"
