"""What reviewers add: stored with who and when, changed and withdrawn by its giver, gone and back with its thread."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.applications import Starlette

from literal_server import deletions, purge, reviews, threads
from literal_server.errors import NotFound, Refused
from literal_server.review_tables import Comment
from literal_server.reviews import Judgement, Target
from literal_server.tables import Score, Thread
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

AT = "2025-01-01T00:00:00Z"


@pytest.fixture
async def target(server: Starlette, wire: Wire) -> Target:
    """A thread of one step."""
    await wire.report({"id": "s", "threadId": "t", "type": "tool", "name": "search", "startTime": AT, "endTime": AT})
    return Target(server.state.api.project, "t")


@pytest.fixture
async def session(server: Starlette, target: Target) -> AsyncIterator[AsyncSession]:
    async with server.state.api.database.writing() as opened:
        yield opened


async def test_a_mark_says_who_and_when(session: AsyncSession, target: Target) -> None:
    """A reviewed thread names its reviewer, covers all that has happened by then, and can be unmarked."""
    await reviews.mark(session, target.project, "t", "ada")
    thread = await threads.find(session, target.project, "t")
    assert thread is not None
    assert thread.reviewed_by == "ada"
    assert thread.reviewed_at is not None
    assert thread.reviewed_at >= thread.last_activity
    await reviews.unmark(session, target.project, "t")
    await session.flush()
    marked = select(Thread.id).where(Thread.reviewed_at.is_not(None) | Thread.reviewed_by.is_not(None))
    assert (await session.scalars(marked)).all() == []
    with pytest.raises(NotFound):
        await reviews.mark(session, target.project, "nothing", "ada")


@pytest.mark.parametrize("others", [{}, {"scores": [{"name": "right", "value": 1}]}])
async def test_a_step_that_comes_late_lifts_the_mark(
    server: Starlette, wire: Wire, target: Target, others: dict[str, object]
) -> None:
    """A step that was not there to be reviewed lifts the mark, whatever its times; one that was there does not."""
    database = server.state.api.database
    async with database.writing() as session:
        await reviews.mark(session, target.project, "t", "ada")
    known = {"id": "s", "threadId": "t", "type": "tool", "startTime": AT, "endTime": AT, "output": {"content": "1"}}
    await wire.report(known | others)
    async with database.reading() as session:
        thread = await threads.find(session, target.project, "t")
    assert thread is not None
    assert thread.reviewed_at is not None

    await wire.report({**known, "id": "late"} | others)

    async with database.reading() as session:
        thread = await threads.find(session, target.project, "t")
    assert thread is not None
    assert (thread.reviewed_at, thread.reviewed_by) == (None, "ada")


async def test_one_person_has_one_score_of_a_name(session: AsyncSession, target: Target) -> None:
    """Scored again, a step or a thread has the new value; another person's score stays beside it."""
    step = Target(target.project, "t", "s")
    for where in (target, step):
        first = await reviews.score(session, where, Judgement("quality", 1, "good"), "ada")
        again = await reviews.score(session, where, Judgement(" quality ", 0.5), "ada")
        await reviews.score(session, where, Judgement("quality", 2), "bob")
        assert again is first
        assert (again.value, again.comment, again.scorer, again.type) == (0.5, None, "ada", "HUMAN")
    assert [one.value for one in await reviews.scores_of(session, target.project, "t")] == [0.5, 2]
    assert await reviews.score_names(session, target.project) == ["quality"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Judgement(" ", 1), "1 to 100 characters"),
        (Judgement("x" * 101, 1), "1 to 100 characters"),
        (Judgement("x", float("nan")), "finite number"),
        (Judgement("x", float("inf")), "finite number"),
        (Judgement("x", 1, "y" * 10_001), "1 to 10,000 characters"),
        (Judgement("user-feedback", 1), "people in the chat"),
    ],
)
async def test_a_score_that_cannot_be_is_refused(
    session: AsyncSession, target: Target, given: Judgement, words: str
) -> None:
    """Names, values and comments have their bounds, and the chat's own thumb is not a reviewer's to give."""
    with pytest.raises(Refused, match=words):
        await reviews.score(session, target, given, "ada")


async def test_clients_see_the_scores(server: Starlette, wire: Wire, target: Target) -> None:
    """A client of the wire reads a reviewer's score at its step, and that of a whole thread in the list of scores."""
    async with server.state.api.database.writing() as session:
        await reviews.score(session, Target(target.project, "t", "s"), Judgement("quality", 1, "good"), "ada")
        await reviews.score(session, target, Judgement("verdict", 0), "ada")
    (score,) = (await wire.step("s"))["scores"]
    assert (score["name"], score["value"], score["comment"]) == ("quality", 1, "good")
    listed = await wire.send(gql.GET_SCORES)
    steps = {edge["node"]["name"]: edge["node"]["stepId"] for edge in listed["edges"]}
    assert steps == {"quality": "s", "verdict": None}


async def test_comments_and_tags(session: AsyncSession, target: Target) -> None:
    """A comment is about the thread, a step or a moment; a tag is there once, and goes again."""
    await reviews.comment(session, target, " all fine ", "ada")
    await reviews.comment(session, Target(target.project, "t", "s"), "here", "bob", 2.5)
    found = await reviews.comments_of(session, target.project, "t")
    assert [(one.text, one.author, one.step_id, one.seconds) for one in found] == [
        ("all fine", "ada", None, None),
        ("here", "bob", "s", 2.5),
    ]
    for name in ("a", "b", " a"):
        await reviews.tag(session, target, name)
    await reviews.untag(session, target, "b")
    thread = await threads.find(session, target.project, "t")
    assert thread is not None
    assert thread.tags == ["a"]
    for text, seconds in (("", None), ("x" * 10_001, None), ("x", -1), ("x", float("nan"))):
        with pytest.raises(Refused):
            await reviews.comment(session, target, text, "ada", seconds)


async def test_what_is_not_in_the_thread_takes_nothing(session: AsyncSession, target: Target) -> None:
    """A step of another thread is not scored or commented on through this one."""
    other = Target(target.project, "another", "s")
    for attempt in (other, Target(target.project, "t", "nothing")):
        with pytest.raises(NotFound):
            await reviews.comment(session, attempt, "x", "ada")
        with pytest.raises(NotFound):
            await reviews.score(session, attempt, Judgement("x", 1), "ada")


async def test_only_the_giver_withdraws(session: AsyncSession, target: Target) -> None:
    """Scores and comments are withdrawn by who gave them, and by nobody else; not through another thread either."""
    given: list[Score | Comment] = [
        await reviews.score(session, target, Judgement("a", 1), "ada"),
        await reviews.score(session, Target(target.project, "t", "s"), Judgement("b", 1), "ada"),
        await reviews.comment(session, target, "x", "ada"),
    ]
    for one in given:
        for where, who in ((target, "bob"), (Target(target.project, "another"), "ada")):
            with pytest.raises(NotFound):
                await reviews.withdraw(session, where, one.id, who)
        await reviews.withdraw(session, target, one.id, "ada")
        assert one.deleted_at is not None
        with pytest.raises(NotFound):
            await reviews.withdraw(session, target, one.id, "ada")
    assert await reviews.comments_of(session, target.project, "t") == []


async def test_a_review_goes_and_comes_with_its_thread(server: Starlette, wire: Wire, target: Target) -> None:
    """Deleted, a thread takes its scores along, restored they are back, and the purge leaves nothing of a review."""
    database = server.state.api.database
    async with database.writing() as session:
        await reviews.score(session, target, Judgement("verdict", 0), "ada")
        await reviews.comment(session, target, "x", "ada")
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t"})
    assert (await wire.send(gql.GET_SCORES))["totalCount"] == 0
    async with database.writing() as session:
        await deletions.restore(session, target.project, "thread", "t")
    assert (await wire.send(gql.GET_SCORES))["totalCount"] == 1
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t"})
    await purge.purge(database)
    async with database.reading() as session:
        assert (await session.scalars(select(Score))).all() == []
        assert (await session.scalars(select(Comment))).all() == []
