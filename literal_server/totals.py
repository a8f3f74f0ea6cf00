"""The totals of a thread, kept beside it: what each of its living steps adds, and the moments from first to last."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Integer, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, prices
from literal_server.plain_rows import PlainStep, PlainThread
from literal_server.rows import add, find, hide_belongings
from literal_server.tables import Step, Thread


@dataclass(frozen=True)
class Share:
    """What one step adds to the totals of its thread; a model call whose cost is not known is `unpriced`."""

    token_count: int = 0
    cost: float = 0.0
    unpriced_count: int = 0
    error_count: int = 0
    turn_count: int = 0
    open_count: int = 0


@dataclass(frozen=True)
class Standing:
    """Where a step stood before a report: its thread, its start, and what it added to the thread's totals."""

    thread_id: str | None
    start_time: int | None
    share: Share


def chosen(choose: Callable[[int, int], int], stored: int | None, reported: int | None) -> int | None:
    """Answer the lesser or greater of two moments, of which either may be missing."""
    if stored is None or reported is None:
        return reported if stored is None else stored
    return choose(stored, reported)


def share(step: Step | PlainStep) -> Share:
    """Answer what the step adds to its thread's totals; a deleted one adds nothing."""
    if step.deleted_at is not None:
        return Share()
    return Share(
        token_count=step.token_count or 0,
        cost=step.cost or 0.0,
        unpriced_count=int(step.generation is not None and step.cost is None),
        error_count=int(step.is_error),
        turn_count=int(step.type == "user_message"),
        open_count=int(step.type == "run" and step.start_time is not None and step.end_time is None),
    )


async def account(session: AsyncSession, step: Step, before: Standing, environment: str | None, *, anew: bool) -> None:
    """Bring the totals of the step's thread up to a report; `anew` counts them from all its steps."""
    if step.thread_id is None:
        return
    thread = await ensure_thread(session, step.project_id, step.thread_id, environment)
    if thread.deleted_at is not None and step.deleted_at is None:
        step.deleted_at = thread.deleted_at  # a late report does not bring a deleted thread back
        await hide_belongings(session, step.project_id, [step.id], thread.deleted_at)
    if before.thread_id is not None and before.thread_id != step.thread_id:
        await recount(session, await ensure_thread(session, step.project_id, before.thread_id, environment))
        anew = True
    lift_mark(thread, step, before)
    if anew or begins_earlier(step, before):
        await recount(session, thread)
    else:
        add_up(thread, step, before)


def lift_mark(thread: Thread | PlainThread, step: Step | PlainStep, before: Standing) -> None:
    """Let a review lapse for a step that is new in its thread: whatever its times are, the reviewer did not see it.

    Who it was that had reviewed the thread is kept.
    """
    if thread.reviewed_at is not None and before.thread_id != step.thread_id and step.deleted_at is None:
        thread.reviewed_at = None


def begins_earlier(step: Step | PlainStep, before: Standing) -> bool:
    """Say whether a step's known start was changed: what was its thread's last moment may have been that start."""
    return before.start_time not in (None, step.start_time)


def add_up(thread: Thread | PlainThread, step: Step | PlainStep, before: Standing) -> None:
    """Bring the totals of a thread up to a report of one of its steps, which stays in it and begins no earlier."""
    after = share(step)
    old = before.share if before.thread_id is not None else Share()
    # A mapped attribute is dear to set, and most of what a step adds is nothing.
    for name in Share.__dataclass_fields__:
        if added := getattr(after, name) - getattr(old, name):
            setattr(thread, name, round(getattr(thread, name) + added, prices.DIGITS))
    times = [moment for moment in (step.start_time, step.end_time) if moment is not None]
    if step.deleted_at is None and times:
        # A thread without times bears the moment it was made; the first time of a step replaces that.
        has_times = thread.first_start is not None or thread.last_end is not None
        _advance(thread, "last_activity", max(*times, thread.last_activity) if has_times else max(times))
        _advance(thread, "first_start", chosen(min, thread.first_start, step.start_time))
        _advance(thread, "last_end", chosen(max, thread.last_end, step.end_time))


def _advance(thread: Thread | PlainThread, name: str, moment: int | None) -> None:
    if getattr(thread, name) != moment:
        setattr(thread, name, moment)


async def recount(session: AsyncSession, thread: Thread) -> None:
    """Count a thread's totals anew from its living steps, for when steps went away or came back."""
    await session.flush()
    later = case((Step.end_time > Step.start_time, Step.end_time), else_=Step.start_time)
    latest = func.max(func.coalesce(later, Step.end_time))
    is_open = (Step.type == "run") & Step.start_time.is_not(None) & Step.end_time.is_(None)
    totals = (
        await session.execute(
            select(
                func.coalesce(func.sum(Step.token_count), 0),
                func.coalesce(func.sum(Step.cost), 0.0),
                func.coalesce(func.sum(cast(Step.generation.is_not(None) & Step.cost.is_(None), Integer)), 0),
                func.coalesce(func.sum(cast(Step.is_error, Integer)), 0),
                func.coalesce(func.sum(cast(Step.type == "user_message", Integer)), 0),
                func.coalesce(func.sum(cast(is_open, Integer)), 0),
                func.min(Step.start_time),
                func.max(Step.end_time),
                func.coalesce(latest, thread.created_at),
            ).where(Step.project_id == thread.project_id, Step.thread_id == thread.id, Step.deleted_at.is_(None))
        )
    ).one()
    names = (
        "token_count",
        "cost",
        "unpriced_count",
        "error_count",
        "turn_count",
        "open_count",
        "first_start",
        "last_end",
    )
    for name, value in zip((*names, "last_activity"), totals, strict=True):
        setattr(thread, name, value)
    thread.cost = round(thread.cost, prices.DIGITS)


async def ensure_thread(session: AsyncSession, project: str, identity: str, environment: str | None = None) -> Thread:
    """Answer the thread with this id, deleted or not, making an empty one when there is none."""
    thread = await find(session, Thread, project, identity)
    if thread is None:
        thread = empty_thread(project, identity)
        add(session, thread)
    thread.environment = thread.environment or environment
    return thread


def empty_thread(project: str, identity: str) -> Thread:
    """Make the row of a thread of which nothing is known yet; it is not stored by this."""
    now = clock.now()
    thread = Thread(project_id=project, id=identity, created_at=now, last_activity=now, tags=[], metadata_={})
    for name in Share.__dataclass_fields__:
        setattr(thread, name, 0)
    return thread
