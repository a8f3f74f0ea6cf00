"""What a filter can be made of: its fields, and names that were seen lately, for a page to offer while one types."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import thread_query
from literal_server.tables import Participant, Score, Step, Thread

# The latest rows that are looked at, and the names of a kind that are told.
_RECENT = 5_000
_MOST = 200
_LONGEST = 100


async def read(session: AsyncSession, project: str, owner: str | None) -> dict[str, Any]:
    """Answer the fields of a filter and values by field. An owner of some threads is told no names of others'."""
    steps = [f"{name}.{attribute}" for name in thread_query.STEPS for attribute in thread_query.STEP_ATTRIBUTES]
    fields = [*thread_query.THREAD_FIELDS, *thread_query.STEPS, *steps, "score", "score.comment", "score.type"]
    return {"fields": fields, "values": {} if owner is not None else await _values(session, project)}


async def _values(session: AsyncSession, project: str) -> dict[str, list[str]]:
    values: dict[str, set[str]] = {name: set() for name in ("tool", "model", "run", "tag", "env", "user", "score")}
    steps = _latest(select(Step.type, Step.name, Step.model).where(Step.deleted_at.is_(None)), Step, project)
    for kind, name, model in (await session.execute(steps)).all():
        own = "model" if kind == "llm" else kind
        if own in ("tool", "model", "run"):
            values[own].add((model if kind == "llm" else None) or name or "")
    threads = _latest(select(Thread.tags, Thread.environment).where(Thread.deleted_at.is_(None)), Thread, project)
    for tags, environment in (await session.execute(threads)).all():
        values["tag"].update(tags)
        values["env"].add(environment or "")
    users = _latest(select(Participant.identifier).where(Participant.deleted_at.is_(None)), Participant, project)
    values["user"].update(await session.scalars(users.limit(_MOST)))
    scores = _latest(select(Score.name).where(Score.deleted_at.is_(None)), Score, project)
    values["score"].update(await session.scalars(scores))
    return {name: sorted(one for one in found if 0 < len(one) <= _LONGEST)[:_MOST] for name, found in values.items()}


def _latest(query: Any, table: Any, project: str) -> Any:
    return query.where(table.project_id == project).order_by(table.created_at.desc(), table.id.desc()).limit(_RECENT)
