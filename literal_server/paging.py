"""Pages by key: a cursor holds the order value and the id of its row, so equal moments never lose or repeat a row."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, SQLColumnExpression, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import json_text
from literal_server.errors import Refused
from literal_server.settings import ServerSettings

Row = TypeVar("Row")


@dataclass(frozen=True)
class PageRequest:
    """Which part of a list is wanted: Relay's four arguments, and `skip` rows to leave out first."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None
    skip: int | None = None


@dataclass(frozen=True)
class Order:
    """By which expression a list is sorted; the id decides between equals, in the same direction."""

    expression: SQLColumnExpression[Any]
    identity: SQLColumnExpression[Any]
    descending: bool = True


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows in order with a cursor for each, and what lies around them; `total` counts the whole list, if asked to."""

    rows: Sequence[Row]
    cursors: Sequence[str]
    has_next: bool
    has_previous: bool
    total: int


async def read_page(
    session: AsyncSession,
    statement: Select[Row],
    order: Order,
    request: PageRequest,
    settings: ServerSettings,
    *,
    counted: bool = True,
) -> Page[Row]:
    """Read one page of a statement that selects one entity. Raises Refused for a cursor that is none of ours.

    To count, all of the list is looked at: where it is not `counted`, the total is 0.
    """
    rows = select(func.count()).select_from(statement.with_only_columns(order.identity).subquery())
    total = await session.scalar(rows) if counted else 0
    backward = request.first is None and (request.last is not None or (request.before and not request.after))
    size = _size(request.last if backward else request.first, settings)
    keys = tuple_(order.expression, order.identity)
    part = statement.add_columns(order.expression)
    for cursor, wants_larger in ((request.after, not order.descending), (request.before, order.descending)):
        if cursor:
            value = tuple_(*read_cursor(cursor))
            part = part.where(keys > value if wants_larger else keys < value)
    falling = order.descending is not bool(backward)
    columns = (order.expression, order.identity)
    part = part.order_by(*(column.desc() if falling else column.asc() for column in columns))
    found = (await session.execute(part.offset(max(0, request.skip or 0)).limit(size + 1))).all()
    kept = found[:size][::-1] if backward else found[:size]
    more = len(found) > size
    return Page(
        rows=[row[0] for row in kept],
        cursors=[write_cursor(row[1], row[0].id) for row in kept],
        has_next=bool(request.before) if backward else more,
        has_previous=more if backward else bool(request.after or request.skip),
        total=total or 0,
    )


def _size(wanted: int | None, settings: ServerSettings) -> int:
    return min(wanted, settings.max_page_size) if wanted and wanted > 0 else settings.default_page_size


def write_cursor(value: Any, identity: str) -> str:
    """Put an order value and an id into an opaque text."""
    return base64.urlsafe_b64encode(json.dumps([value, identity]).encode()).decode()


def read_cursor(cursor: str) -> tuple[Any, str]:
    """Take order value and id out of a cursor. Raises Refused."""
    try:
        value, identity = json_text.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, TypeError) as error:
        raise Refused(f"{cursor[:80]!r} is no cursor of this server.") from error
    is_large = isinstance(value, int) and not -(2**63) <= value < 2**63
    if not isinstance(identity, str) or not isinstance(value, str | int | float) or is_large:
        raise Refused(f"{cursor[:80]!r} is no cursor of this server.")
    return json_text.comparable(value), json_text.encodable(identity)
