"""The list that people read: the threads that a query asks for, in the order they want, and where its words stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import fields, filters, paging, search, thread_query, threads
from literal_server.filters import OrderColumn, nullable_number, nullable_text
from literal_server.paging import Page, PageRequest
from literal_server.settings import ServerSettings
from literal_server.tables import Score, Thread

# Larger counts are not worth the time they take.
MOST_COUNTED = 1_000
SORTED_CHARACTERS = 200

# By the names of the columns; what is not said otherwise begins with the most.
ORDERS: Mapping[str, OrderColumn] = {
    "activity": fields.THREAD_ORDERS["lastActivity"],
    # The link to the next page bears what it is sorted by.
    "name": nullable_text(func.substr(Thread.name, 1, SORTED_CHARACTERS)),
    "user": fields.THREAD_ORDERS["participant"],
    "turns": OrderColumn(Thread.turn_count),
    "tokens": OrderColumn(Thread.token_count),
    "cost": nullable_number(fields.THREAD_COST),
    "duration": nullable_number(fields.THREAD_DURATION),
    "errors": OrderColumn(Thread.error_count),
}


@dataclass(frozen=True)
class Wanted:
    """Which threads are asked for: by a query, of one owner or of all; `now` is microseconds."""

    project: str
    query: str
    owner: str | None
    now: int


@dataclass(frozen=True)
class MeanScore:
    """What the scores of one name come to in a thread."""

    name: str
    count: int
    mean: float


@dataclass(frozen=True)
class Listing:
    """A page of threads, where the words of the query stand in them; `is_cut` if there were too many to see all."""

    page: Page[Thread]
    places: Mapping[str, search.Place]
    is_cut: bool


async def read(
    session: AsyncSession, wanted: Wanted, settings: ServerSettings, request: PageRequest, sort: str
) -> Listing:
    """Read a page of the list; `sort` is a key of `ORDERS`, with a minus in front of it the greatest come first.

    Raises QueryError for a query that makes no sense, Refused for a cursor or an order that is none.
    """
    statement, found = await _selected(session, wanted)
    page = await paging.read_page(session, statement, _order(sort), request, settings, counted=False)
    places = await search.places(session, found, [row.id for row in page.rows])
    return Listing(page, places, found.is_cut)


async def neighbour(
    session: AsyncSession, wanted: Wanted, sort: str, identity: str, settings: ServerSettings, *, following: bool
) -> str | None:
    """Answer the thread that comes after one in the list, or before it, None at the end. Raises as `read`."""
    statement, _ = await _selected(session, wanted)
    order = _order(sort)
    # One that is deleted has its place, too: there one goes on.
    here = select(order.expression).where(*_visible(wanted), Thread.id == identity)
    value = (await session.execute(here)).one_or_none()
    if value is None:
        return None
    cursor = paging.write_cursor(value[0], identity)
    request = PageRequest(first=1, after=cursor) if following else PageRequest(last=1, before=cursor)
    page = await paging.read_page(session, statement, order, request, settings, counted=False)
    return page.rows[0].id if page.rows else None


async def own(session: AsyncSession, wanted: Wanted, identities: Sequence[str]) -> list[str]:
    """Answer those of the ids that are of living threads which the asker may see."""
    statement, _ = await _selected(session, wanted)
    rows = await session.scalars(statement.with_only_columns(Thread.id).where(Thread.id.in_(identities)))
    return list(rows)


async def scores_of(session: AsyncSession, project: str, found: Sequence[Thread]) -> dict[str, list[MeanScore]]:
    """Answer the scores of threads and of what is in them by thread: of each name how many, and their mean."""
    values: dict[tuple[str, str], list[float]] = {}
    counted = (Score.project_id == project, Score.counted_thread_id.in_([thread.id for thread in found]))
    query = select(Score.counted_thread_id, Score.name, Score.value).where(*counted, Score.deleted_at.is_(None))
    for identity, name, value in await session.execute(query.order_by(Score.name)):
        values.setdefault((identity or "", name), []).append(value)
    told: dict[str, list[MeanScore]] = {}
    for (identity, name), given in values.items():
        told.setdefault(identity, []).append(MeanScore(name, len(given), sum(given) / len(given)))
    return told


async def count(session: AsyncSession, wanted: Wanted) -> int:
    """Count the threads that are asked for, but no further than one above `MOST_COUNTED`. Raises QueryError."""
    statement, _ = await _selected(session, wanted)
    some = statement.with_only_columns(Thread.id).limit(MOST_COUNTED + 1)
    return await session.scalar(select(func.count()).select_from(some.subquery())) or 0


def _order(sort: str) -> paging.Order:
    direction = "DESC" if sort.startswith("-") else "ASC"
    return filters.order_by(ORDERS, Thread.id, {"column": sort.removeprefix("-"), "direction": direction})


def _visible(wanted: Wanted) -> list[filters.Condition]:
    theirs = {"field": "participantIdentifiers", "operator": "in", "value": [wanted.owner]}
    own = filters.conditions(fields.THREADS, [] if wanted.owner is None else [theirs])
    return [Thread.project_id == wanted.project, *own]


async def _selected(session: AsyncSession, wanted: Wanted) -> tuple[Select[Thread], search.Found]:
    statement = select(Thread).where(*_visible(wanted), Thread.deleted_at.is_(None))
    if not wanted.query:
        return statement, search.Found({}, is_cut=False)
    query = thread_query.read(wanted.query)
    found = await search.find(session, wanted.project, thread_query.words_of(query))
    live_since = wanted.now - threads.LIVE_MICROSECONDS
    scope = thread_query.Scope(wanted.project, wanted.now, live_since, found.threads)
    return statement.where(thread_query.condition(query, scope)), found
