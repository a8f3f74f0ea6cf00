"""What reviewers add to a thread: that they have read it, scores, tags and comments; each says who and when."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, ingest, json_text, steps, threads
from literal_server.errors import NotFound, Refused
from literal_server.review_tables import Comment
from literal_server.tables import Score, Thread

LONGEST_NAME, LONGEST_TEXT, MOST_TAGS = 100, 10_000, 100
USER_FEEDBACK = "user-feedback"
"""The score that the people in the chat give; reviewers give others."""
RECENT_SCORES = 500


@dataclass(frozen=True, slots=True)
class Target:
    """What a review is about: a thread, or one step of it."""

    project: str
    thread_id: str
    step_id: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A value under a name, and why."""

    name: str
    value: float
    comment: str | None = None


async def mark(session: AsyncSession, project: str, thread_id: str, by: str) -> None:
    """Note that somebody has reviewed a thread as it is now; what happens in it later is not covered.

    Raises NotFound.
    """
    thread = await _thread(session, Target(project, thread_id))
    # A client's clock may run ahead of ours, and still its last step has been reviewed.
    thread.reviewed_at, thread.reviewed_by = max(clock.now(), thread.last_activity), by


async def unmark(session: AsyncSession, project: str, thread_id: str) -> None:
    """Take the mark of a thread away. Raises NotFound."""
    thread = await _thread(session, Target(project, thread_id))
    thread.reviewed_at = thread.reviewed_by = None


async def score(session: AsyncSession, target: Target, given: Judgement, by: str) -> Score:
    """Score a step or a thread; what the same person gave it before under this name is changed.

    Raises NotFound, and Refused for a name or value that cannot be.
    """
    name = _text(given.name, "A score's name", LONGEST_NAME)
    if name == USER_FEEDBACK:
        raise Refused(f"{USER_FEEDBACK} is what the people in the chat say: give your score another name.")
    if json_text.as_number(given.value) is None:
        raise Refused("A score's value is a finite number.")
    comment = _text(given.comment, "A comment", LONGEST_TEXT) if given.comment and given.comment.strip() else None
    await _check(session, target)
    same = (Score.name == name, Score.type == "HUMAN", Score.scorer == by, Score.deleted_at.is_(None))
    known = await session.scalar(select(Score).where(*_on(target), *same).limit(1))
    if known is not None:
        known.value, known.comment, known.updated_at = given.value, comment, clock.now()
        return known
    fields = ingest.as_score({"name": name, "value": given.value, "comment": comment, "stepId": target.step_id})
    made = await ingest.new_score(session, target.project, fields | {"scorer": by})
    made.thread_id = None if target.step_id else target.thread_id
    return made


async def comment(session: AsyncSession, target: Target, text: str, by: str, seconds: float | None = None) -> Comment:
    """Comment on a thread, on a step of it, or on the moment so many seconds after it began. Raises as `score`."""
    text = _text(text, "A comment", LONGEST_TEXT)
    if seconds is not None and (json_text.as_number(seconds) is None or seconds < 0):
        raise Refused("A moment is a number of seconds since the thread began.")
    await _check(session, target)
    made = Comment(
        project_id=target.project,
        id=str(uuid.uuid4()),
        thread_id=target.thread_id,
        step_id=target.step_id,
        seconds=seconds,
        author=by,
        text=text,
        created_at=clock.now(),
    )
    session.add(made)
    return made


async def tag(session: AsyncSession, target: Target, name: str) -> None:
    """Add a tag to a thread. Raises as `score`."""
    name = _text(name, "A tag", LONGEST_NAME)
    thread = await _thread(session, target)
    if len(thread.tags) >= MOST_TAGS:
        raise Refused(f"A thread has at most {MOST_TAGS} tags.")
    if name not in thread.tags:
        thread.tags = [*thread.tags, name]


async def untag(session: AsyncSession, target: Target, name: str) -> None:
    """Take a tag away from a thread. Raises NotFound for a thread that is not there."""
    thread = await _thread(session, target)
    thread.tags = [one for one in thread.tags if one != name]


async def withdraw(session: AsyncSession, target: Target, identity: str, by: str) -> None:
    """Hide a score or a comment of this thread that the same person gave. Raises NotFound for all others."""
    key = (target.project, identity)
    found: Score | Comment | None = await session.get(Comment, key) or await session.get(Score, key)
    if found is None or found.deleted_at is not None or not await _is_own(session, found, target, by):
        raise NotFound("score or comment of yours", identity)
    found.deleted_at = clock.now()


async def comments_of(session: AsyncSession, project: str, thread_id: str) -> Sequence[Comment]:
    """Answer the comments of a thread, the oldest first."""
    here = (Comment.project_id == project, Comment.thread_id == thread_id, Comment.deleted_at.is_(None))
    return (await session.scalars(select(Comment).where(*here).order_by(Comment.created_at, Comment.id))).all()


async def scores_of(session: AsyncSession, project: str, thread_id: str) -> Sequence[Score]:
    """Answer the scores of a thread as a whole, the oldest first."""
    here = (*_on(Target(project, thread_id)), Score.deleted_at.is_(None))
    return (await session.scalars(select(Score).where(*here).order_by(Score.created_at, Score.id))).all()


async def score_names(session: AsyncSession, project: str) -> list[str]:
    """Answer the names that people have given their latest scores, for a person to choose from."""
    latest = (
        select(Score.name, Score.type)
        .where(Score.project_id == project)
        .order_by(Score.created_at.desc(), Score.id.desc())
        .limit(RECENT_SCORES)
        .subquery()
    )
    names = select(latest.c.name).where(latest.c.type == "HUMAN", latest.c.name != USER_FEEDBACK).distinct()
    return sorted(await session.scalars(names))


def _on(target: Target) -> tuple[ColumnElement[bool], ...]:
    where = Score.step_id == target.step_id if target.step_id else Score.thread_id == target.thread_id
    return (Score.project_id == target.project, where)


async def _thread(session: AsyncSession, target: Target) -> Thread:
    thread = await threads.find(session, target.project, target.thread_id)
    if thread is None:
        raise NotFound("thread", target.thread_id)
    return thread


async def _check(session: AsyncSession, target: Target) -> None:
    await _thread(session, target)
    if target.step_id is not None:
        step = await steps.find_row(session, target.project, target.step_id)
        if step is None or step.thread_id != target.thread_id:
            raise NotFound("step", target.step_id)


async def _is_own(session: AsyncSession, found: Comment | Score, target: Target, by: str) -> bool:
    giver = found.author if isinstance(found, Comment) else found.scorer
    if giver != by or (isinstance(found, Score) and found.type != "HUMAN"):
        return False
    if found.thread_id is not None:
        return found.thread_id == target.thread_id
    step = await steps.find_row(session, target.project, found.step_id or "")
    return step is not None and step.thread_id == target.thread_id


def _text(given: str, what: str, longest: int) -> str:
    text = json_text.encodable(given).strip()
    if not 0 < len(text) <= longest:
        raise Refused(f"{what} has 1 to {longest:,} characters.")
    return text
