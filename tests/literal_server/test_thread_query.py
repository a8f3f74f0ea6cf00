"""The language of filters: what is read, what is refused and where, and which threads each question finds."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.applications import Starlette

from literal_server import clock, reviews, thread_query
from literal_server.query_language import QueryError, Words, parse
from literal_server.reviews import Judgement, Target
from literal_server.tables import Project, Thread
from tests.literal_server.wire import Wire

pytestmark = pytest.mark.anyio

NOW = clock.parse_time("2026-03-10T12:00:00Z")
LIVE_SINCE = clock.parse_time("2026-03-10T11:50:00Z")
UPSERT = """mutation($id: String!, $name: String, $user: String, $tags: [String!], $metadata: Json) {
  upsertThread(id: $id, name: $name, participantId: $user, tags: $tags, metadata: $metadata) { id } }"""


@pytest.fixture
async def session(server: Starlette, wire: Wire) -> AsyncIterator[AsyncSession]:
    """Three threads: one that went well, one in which a tool failed, one that is running and nobody's."""
    good = {"id": "good", "name": 'Say "hi" to Ünal', "user": "ada@x.org", "tags": ["paid", "a b"]}
    await wire.send(UPSERT, good | {"metadata": {"release": "1.10", "tries": 3, "a b": "c"}})
    await wire.send(UPSERT, {"id": "bad", "name": "100% broken", "user": "bob"})
    at, later = "2026-03-01T10:00:00Z", "2026-03-09T10:00:00Z"
    await wire.report(
        {"id": "g1", "threadId": "good", "type": "user_message", "startTime": at},
        {
            "id": "g2", "threadId": "good", "type": "llm", "startTime": at, "endTime": "2026-03-01T10:00:04Z",
            "generation": {"model": "gpt-4o", "tokenCount": 30_000},
            "scores": [{"id": "s1", "name": "user-feedback", "type": "HUMAN", "value": 1, "comment": "Well done"}],
        },
        {
            "id": "g3", "threadId": "good", "type": "tool", "name": "search", "startTime": at,
            "endTime": "2026-03-01T10:01:00Z", "output": {"content": "grüße"},
        },
        {
            "id": "b1", "threadId": "bad", "type": "tool", "name": "search", "startTime": later,
            "endTime": "2026-03-09T10:00:01Z", "error": "no such index",
        },
        {
            "id": "b2", "threadId": "bad", "type": "tool", "name": "weather", "startTime": later,
            "endTime": "2026-03-09T10:00:02Z", "input": {"city": "Oslo"},
        },
        {
            "id": "b3", "threadId": "bad", "type": "llm", "name": "llama", "startTime": later,
            "scores": [
                {"id": "s2", "name": "user-feedback", "type": "HUMAN", "value": 0},
                {"id": "s3", "name": "length", "type": "CODE", "value": 5},
            ],
        },
    )  # fmt: skip
    run = {"id": "l1", "threadId": "live", "type": "run", "name": "on_message", "startTime": "2026-03-10T11:59:00Z"}
    await wire.report(run, **{"x-env": "staging"})
    project = server.state.api.project
    async with server.state.api.database.writing() as writing:
        for thread_id, by in (("good", "ada"), ("bad", "bob")):
            await reviews.mark(writing, project, thread_id, by)
        await reviews.score(writing, Target(project, "good"), Judgement("verdict", 5), "ada")
        went_on = await writing.get(Thread, (project, "bad"))
        assert went_on is not None
        went_on.reviewed_at = went_on.last_activity - 1
    async with server.state.api.database.reading() as opened:
        yield opened


def compiled(query: str, project: str = "p") -> ColumnElement[bool]:
    """Return the condition of a query whose words stand nowhere."""
    read = thread_query.read(query)
    found: dict[Words, list[str]] = {words: [] for words in thread_query.words_of(read)}
    return thread_query.condition(read, thread_query.Scope(project, NOW, LIVE_SINCE, found))


async def found(session: AsyncSession, query: str) -> set[str]:
    """Return the ids of the threads that a query finds."""
    project = await session.scalar(select(Project.id))
    condition = compiled(query, project or "")
    return set(await session.scalars(select(Thread.id).where(condition)))


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("errors > 0", "bad"),
        ("errors", "bad"),
        ("errors >= 1", "bad"),
        ("errors > -1 and errors >= 0", "good bad live"),
        ("errors in (0, 7)", "good live"),
        ("not errors > 0", "good live"),
        ("errors = 0 and tokens > 20000", "good"),
        ("tokens >= 3e4", "good"),
        ('tool = "search" and tool.error', "bad"),
        ('tool = "weather" and tool.error', ""),
        ('(tool = "weather") and (tool.error)', "bad"),
        ("tool != search", "live"),
        ("tool", "good bad"),
        ("not tool", "live"),
        ("tool.duration > 30s", "good"),
        ("tool.duration > 0.5m", "good"),
        ("duration < 1m", "bad"),
        ('tool.input ~ "oslo"', "bad"),
        ('tool.output ~ "GRÜSSE"', "good"),
        ('tool.error ~ "INDEX"', "bad"),
        ("tool in (weather, clock)", "bad"),
        ('score["user-feedback"] < 1', "bad"),
        ('score["user-feedback"]', "good bad"),
        ("score[length] > 4", "bad"),
        ('score["user-feedback"] < 1 and score["length"] = 5', "bad"),
        ('score["user-feedback"].comment ~ "well"', "good"),
        ("score.type = CODE", "bad"),
        ('model ~ "GPT"', "good"),
        ("model = llama or model.tokens > 100", "good bad"),
        ("created > 2020-01-01", "good bad live"),
        ("active > -7d", "bad live"),
        ("active > -1h", "live"),
        (f"active > -{'9' * 400}d", "good bad live"),
        (f"created > {'9' * 400}w", ""),
        ("active < 2026-03-05", "good"),
        ("active >= 2026-03-09T10:00:00Z and active < 2026-03-10", "bad"),
        ("live", "live"),
        ("live = false", "good bad"),
        ("user = ada@x.org", "good"),
        ("user ~ O", "good bad"),
        ("user != bob", "good live"),
        ("not user", "live"),
        ("env = staging", "live"),
        ("reviewed", "good"),
        ("not reviewed", "bad live"),
        ("reviewed = false", "bad live"),
        ("reviewer = ada", "good"),
        ("reviewer ~ B", "bad"),
        ("not reviewer", "live"),
        ("score[verdict] > 4", "good"),
        ("tag = paid", "good"),
        ('tag in (x, "a b")', "good"),
        ("tag !~ pai", "bad live"),
        ("tag", "good"),
        ('name = "Say \\"hi\\" to Ünal"', "good"),
        ("name ~ 'ÜNAL'", "good"),
        ('name ~ "%"', "bad"),
        ('metadata.release = "1.10"', "good"),
        ("metadata.tries >= 3", "good"),
        ('metadata."a b" = c', "good"),
        ("turns = 1 OR (errors > 0 AND NOT live)", "good bad"),
        ("id in (good, bad) and not (errors or live)", "good"),
    ],
)
async def test_a_question_finds_its_threads(session: AsyncSession, query: str, ids: str) -> None:
    """Each condition means what it says, and those on one kind of step mean one and the same step."""
    assert await found(session, query) == set(ids.split())


@pytest.mark.parametrize(
    ("query", "place", "words"),
    [
        ("errors >", 8, "ends too early"),
        ("errors > > 3", 9, "'>' was not expected"),
        ("(errors > 0", 11, ") is missing"),
        ('name = "abc', 7, "quotation mark is not closed"),
        ("", 0, "ends too early"),
        ("errors > 0 )", 11, "')' was not expected"),
        ("tokens > 1 and wrongs > 0", 15, "no field wrongs"),
        ("tokens > 1 and tool.wrong > 0", 15, "no tool.wrong"),
        ("score[x].wrong = 1", 0, "comment and type"),
        ("errors > many", 0, "compared with a number"),
        ("errors ~ 3", 0, "not ~"),
        ("name > 3", 0, "not >"),
        ("created > soon", 0, "a date such as"),
        ("created = 2026-01-01", 0, "takes > >= < <="),
        ("created", 0, "takes > >= < <="),
        ("live = perhaps", 0, "stands alone"),
        ("name = 3d", 0, "compared with a text"),
        ('metadata."a\\"b" = 1', 0, "no quotation mark"),
        ("tokens[x] > 1", 0, "no field tokens"),
        ("x" * 2_001, 2_000, "at most 2,000 characters"),
        (" or ".join(["live"] * 51), 404, "at most 50 conditions"),
        ("not " * 490 + "live", 0, "nested too deeply"),
        ("not " * 80 + "live", 0, "nested too deeply"),
        ("not (" * 80 + "live" + ")" * 80, 0, "nested too deeply"),
    ],
)
def test_a_mistake_is_named_with_its_place(query: str, place: int, words: str) -> None:
    """What makes no sense is refused in words, with the character at which it shows."""
    with pytest.raises(QueryError) as refused:
        compiled(query)

    assert words in str(refused.value)
    assert refused.value.place == place


PIECES = st.sampled_from(
    ["errors", "tool", "score", '["x"]', ".error", "created", "metadata.a", "=", "!=", "~", ">", "<=", "in", "(", ")",
     ",", "and", "or", "not", "3", "-7d", "9" * 400 + "s", "1e309", "2026-02-30",
     '"x"', "'", '"', "\\", "word", "ü", "\0", "\ud800",
     "[", "live", "true", "user", "name", "tag", " "]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12).map(" ".join) | st.text(max_size=40))
def test_any_text_is_a_query_or_a_named_mistake(text: str) -> None:
    """Whatever is typed, it is understood or refused in words at a place within it; nothing else is raised."""
    place, sentence = 0, "understood"
    try:
        str(compiled(text))
    except QueryError as refused:
        place, sentence = refused.place, str(refused)
    assert 0 <= place <= len(text)
    assert sentence


@pytest.mark.parametrize(("query", "levels"), [("not {}", 29), ("not (live or {})", 9), ("(live and {})", 14)])
async def test_what_is_not_refused_can_be_asked(session: AsyncSession, query: str, levels: int) -> None:
    """A question that is nested as deeply as may be is answered by the database."""
    deep = "live"
    for _ in range(levels):
        deep = query.format(deep)
    assert await found(session, deep) == ({"good", "bad"} if query.startswith("not") else {"live"})
    with pytest.raises(QueryError, match="nested too deeply"):
        parse(query.format(deep))


async def test_values_are_bound(session: AsyncSession) -> None:
    """A text that is SQL is a text: it finds nothing and changes nothing."""
    assert await found(session, 'name = "\' OR 1=1 --"') == set()
    condition = compiled('name = "\' OR 1=1 --"')
    assert "1=1" not in str(condition)


def test_words_may_look_like_numbers() -> None:
    """An id that begins with digits needs no quotes."""
    assert "3f2a-44" in str(parse("id = 3f2a-44"))
