"""Costs worked out anew when prices have changed: in the background, some model calls at a time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server.db import Database
from literal_server.prices import DIGITS, PRICES, Prices
from literal_server.tables import AppliedPrices, Step, Thread

logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0
RECENT_CALLS = 20_000
"""The latest model calls among which the models that are in use are looked for."""
MOST_MODELS = 200
# Model calls in one turn of the writer: a few milliseconds.
_AT_ONCE = 100
_AS_IT_IS = {"synchronize_session": False}  # no rows are held in these sessions


@asynccontextmanager
async def following(database: Database) -> AsyncIterator[None]:
    """Look for changed prices, as long as the block runs, and bring the stored costs up to them."""
    task = asyncio.create_task(_follow(database))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _follow(database: Database) -> None:
    while True:
        try:
            await apply(database)
        except Exception:  # whatever went wrong, the next round tries again
            logger.exception("The costs could not be worked out anew; it is tried again.")
        await asyncio.sleep(POLL_SECONDS)


async def apply(database: Database) -> None:
    """Work out all costs anew, if the prices are others than those by which they were worked out."""
    async with database.reading() as session:
        prices: Prices | None = session.info.get(PRICES)
        applied = await session.scalar(select(AppliedPrices.fingerprint))
    if prices is None:
        return
    await asyncio.to_thread(prices.refresh)
    # Asked for once: what is recorded from here on bears these prices, or newer ones, which come in the next round.
    fingerprint = prices.fingerprint
    if fingerprint == applied:
        return
    after: tuple[str, int, str] | None = ("", 0, "")
    while after is not None:
        async with database.writing() as session:
            after = await _price_some(session, prices, after)
    async with database.writing() as session:
        await session.execute(delete(AppliedPrices))
        await session.execute(insert(AppliedPrices).values(fingerprint=fingerprint))


async def _price_some(
    session: AsyncSession, prices: Prices, after: tuple[str, int, str]
) -> tuple[str, int, str] | None:
    """Price the model calls that follow; answers the last one of them, None at the end."""
    order = (Step.project_id, Step.created_at, Step.id)
    counted = (Step.model, Step.provider, Step.input_tokens, Step.output_tokens)
    calls = select(*order, Step.thread_id, Step.cost, *counted).where(Step.generation.is_not(None))
    found = (await session.execute(calls.where(tuple_(*order) > tuple_(*after)).order_by(*order).limit(_AT_ONCE))).all()
    await _lay(session, prices, found)
    return tuple(found[-1][:3]) if len(found) == _AT_ONCE else None  # type: ignore[return-value] # of three columns


@dataclass(frozen=True, slots=True)
class Called:
    """A model that was called lately, and how often."""

    model: str
    provider: str
    calls: int


async def models_called(session: AsyncSession, project: str) -> list[Called]:
    """Answer the models of the latest calls, those without a price first, then by how often they were called."""
    here = (Step.project_id == project, Step.generation.is_not(None), Step.deleted_at.is_(None))
    latest = (
        select(Step.model, Step.provider, Step.cost)
        .where(*here, Step.model.is_not(None), Step.model != "")
        .order_by(Step.created_at.desc(), Step.id.desc())
        .limit(RECENT_CALLS)
        .subquery()
    )
    provider, calls = func.coalesce(latest.c.provider, "").label("provider"), func.count().label("calls")
    order = ((func.count(latest.c.cost) == 0).desc(), calls.desc(), latest.c.model, provider)
    found = select(latest.c.model, provider, calls).group_by(latest.c.model, provider).order_by(*order)
    return [Called(*row) for row in await session.execute(found.limit(MOST_MODELS))]


async def _lay(session: AsyncSession, prices: Prices, found: Sequence[Any]) -> None:
    threads: dict[str, set[str]] = {}
    for call in found:
        cost = prices.cost(call.model, call.provider, call.input_tokens, call.output_tokens)
        if cost != call.cost:
            this = (Step.project_id == call.project_id, Step.id == call.id)
            await session.execute(update(Step).where(*this).values(cost=cost), execution_options=_AS_IT_IS)
        if call.thread_id is not None and (cost is None or cost != call.cost):
            threads.setdefault(call.project_id, set()).add(call.thread_id)
    here = (Step.project_id == Thread.project_id, Step.thread_id == Thread.id, Step.deleted_at.is_(None))
    cost_of = select(func.round(func.coalesce(func.sum(Step.cost), 0.0), DIGITS)).where(*here)
    unpriced = select(func.count()).where(*here, Step.generation.is_not(None), Step.cost.is_(None))
    sums = {"cost": cost_of.scalar_subquery(), "unpriced_count": unpriced.scalar_subquery()}
    for project, identities in threads.items():
        those = (Thread.project_id == project, Thread.id.in_(sorted(identities)))
        await session.execute(update(Thread).where(*those).values(sums), execution_options=_AS_IT_IS)
