"""The list of threads: its columns, its orders and their pages, the views and how many each has."""

import html
import re
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from literal_server import sqlite_connection, thread_list
from literal_server.auth import Visitor
from literal_server.dashboard import listing, pages
from literal_server.dashboard.listing import COLUMNS
from literal_server.db import Database
from literal_server.errors import TookTooLong
from literal_server.reviews import Judgement, Target, mark, score
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

ROW = re.compile(r'<th scope="row">.*?</tr>', re.DOTALL)
LINK = re.compile(r'/logs/threads/(\w+)[?"]')


@pytest.fixture
def address(server: Starlette) -> str:
    return f"/projects/{server.state.api.project}/logs/threads"


@pytest.fixture
async def threads(wire: Wire) -> list[str]:
    """Seven threads in which many values are equal and some are missing, by their last activity, newest first."""
    for number in range(7):
        thread = f"t{number}"
        user = {"participantId": f"user{number % 2}"} if number % 3 else {}
        name = None if number == 3 else f"Name {number % 4}"
        await wire.send(gql.UPSERT_THREAD, {"id": thread, "name": name, **user})
        at = f"2026-01-01T00:0{number}:0"
        await wire.report(
            {"id": f"{thread}-m", "threadId": thread, "type": "user_message", "startTime": f"{at}0Z"},
            {"id": f"{thread}-l", "threadId": thread, "type": "llm", "startTime": f"{at}0Z",
             "endTime": f"{at}{number % 3}Z", "generation": {"tokenCount": 100 * (number % 3)},
             "error": "x" if number % 2 else None},
        )  # fmt: skip
    return [f"t{number}" for number in range(6, -1, -1)]


async def rows(http: httpx.AsyncClient, address: str) -> list[str]:
    """Return the rows of all pages from one on, by following the links."""
    found: list[str] = []
    while True:
        page = (await http.get(address)).text
        found += ROW.findall(page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        if not following:
            return found
        address = address.split("?")[0] + html.unescape(following[1])


@pytest.mark.parametrize("column", COLUMNS)
async def test_pages_follow_every_order(
    http: httpx.AsyncClient, address: str, threads: list[str], column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sorted by any column, either way, all threads come once; one way is the other one's reverse but for gaps."""
    assert COLUMNS.keys() == thread_list.ORDERS.keys()
    monkeypatch.setattr("literal_server.dashboard.listing.PAGE_SIZE", 2)
    orders = []
    for sort in (column, f"-{column}"):
        listed = [LINK.findall(row)[0] for row in await rows(http, f"{address}?sort={sort}")]
        assert sorted(listed) == sorted(threads)
        orders.append(listed)
    if column in ("activity", "turns", "tokens", "errors", "duration"):
        assert orders[0] == orders[1][::-1]
    if column == "activity":
        assert orders[1] == threads == [LINK.findall(row)[0] for row in await rows(http, address)]
    if column == "tokens":
        assert [int(thread[1]) % 3 for thread in orders[1]] == [2, 2, 1, 1, 0, 0, 0]
    if column == "name":
        assert orders[0][-1] == orders[1][-1] == "t3"  # without one, last either way


async def test_the_heads_sort(http: httpx.AsyncClient, address: str, threads: list[str]) -> None:
    """The head of a column says how it is sorted, its link turns that round, and the filter stays."""
    page = html.unescape((await http.get(address, params={"q": "errors", "sort": "-tokens"})).text)

    assert 'aria-sort="descending"><a href="?q=errors&sort=tokens">Tokens' in page
    assert '<a href="?q=errors&sort=name">Thread' in page
    assert '<a href="?q=errors">Last activity' in page
    assert page.count("aria-sort") == 1
    assert (await http.get(address, params={"sort": "-wishes"})).status_code == 400
    assert len(threads) == 7


async def test_scores_are_told(http: httpx.AsyncClient, address: str, threads: list[str], server: Starlette) -> None:
    """Each thread shows its scores and those of its steps by name, several under one name by their mean."""
    api = server.state.api
    async with api.database.writing() as session:
        for by, value in (("ada", 1.0), ("bob", 0.5)):
            await score(session, Target(api.project, "t1"), Judgement("<b>tone", value), by)
        await score(session, Target(api.project, "t1", "t1-l"), Judgement("exact", 1), "ada")

    row = next(row for row in await rows(http, address) if LINK.findall(row)[0] == "t1")

    assert "&lt;b&gt;tone 0.75" in row
    assert "mean of 2" in row
    assert "exact 1" in row
    assert threads


async def test_views_know_how_many_they_have(
    http: httpx.AsyncClient, address: str, threads: list[str], server: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts come by an address of their own, stop where they are large, and know whose threads one may see."""
    counts = address.replace("/threads", "/thread-counts")
    api = server.state.api
    async with api.database.writing() as session:
        await mark(session, api.project, "t1", "local")
    assert len(threads) == 7

    told = (await http.get(counts, params={"q": "tokens > 0"})).json()
    assert told | {"": "7", "errors": "3", "not reviewed": "6", 'reviewer = "local"': "1", "tokens > 0": "4"} == told
    del told["tokens > 0"]
    assert (await http.get(counts, params={"q": "tokens >"})).json() == told
    monkeypatch.setattr(thread_list, "MOST_COUNTED", 2)
    assert (await http.get(counts)).json()[""] == "2+"

    async def member(_request: object) -> Visitor:
        return Visitor("user1", sees_all=False)

    server.state.authenticate = member
    monkeypatch.undo()
    assert (await http.get(counts)).json()[""] == "2"


async def test_the_page_waits_for_no_count(http: httpx.AsyncClient, address: str, threads: list[str]) -> None:
    """The page names where the counts are and may fetch them, and holds none itself."""
    response = await http.get(address, params={"q": "errors"})

    assert 'logs/thread-counts?q=errors"' in response.text
    assert "connect-src 'self'" in response.headers["content-security-policy"]
    assert response.text.count('data-count="errors"') == 2
    assert len(threads) < pages.PAGE_SIZE


async def test_neighbours_in_a_list(http: httpx.AsyncClient, address: str, threads: list[str]) -> None:
    """From a thread one goes on in the order and the filter of its list, and from the ends back to the list."""
    neighbour = address.replace("/threads", "/neighbour")

    async def beside(thread: str, to: str, **given: str) -> str:
        answer = await http.get(neighbour, params={"thread": thread, "to": to, **given})
        assert answer.status_code == 303
        return answer.headers["location"].removeprefix(address)

    assert await beside("t6", "next", view="timeline") == "/t5?view=timeline"
    assert await beside("t5", "previous", view="<i>") == "/t6"
    assert await beside("t6", "previous") == ""
    assert await beside("t5", "next", q="errors") == "/t3?q=errors"
    assert await beside("t0", "next", sort="activity") == "/t1?sort=activity"
    assert await beside("t4", "next", q="errors") == "/t3?q=errors"
    assert await beside("t1", "next", q="errors", view="raw") == "?q=errors"
    assert await beside("nobody", "next") == ""
    assert (await http.get(neighbour, params={"thread": "t1", "q": "errors >"})).status_code == 400
    assert threads


async def test_neighbours_of_a_thread_of_somebody_else(
    http: httpx.AsyncClient, address: str, wire: Wire, server: Starlette
) -> None:
    """Who sees own threads alone is not told where among them another one would stand: that would tell of its name."""
    for name, user in (("a", "bob"), ("b", "ada"), ("c", "bob")):
        await wire.send(gql.UPSERT_THREAD, {"id": name, "name": name, "participantId": user})

    async def member(_request: object) -> Visitor:
        return Visitor("bob", sees_all=False)

    server.state.authenticate = member
    places = {}
    for thread in "ab":
        asked = {"thread": thread, "to": "next", "sort": "name"}
        answer = await http.get(address.replace("/threads", "/neighbour"), params=asked)
        places[thread] = answer.headers["location"].removeprefix(address)
    assert places == {"a": "/c?sort=name", "b": "?sort=name"}


@pytest.mark.parametrize("sort", ["name", "-name", "user", "-user"])
async def test_a_long_name_makes_no_long_address(
    http: httpx.AsyncClient, address: str, wire: Wire, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    """Whoever records may give names that no address can hold; the pages sorted by them are reached all the same."""
    for number in range(5):
        user = f"{'ü' * 900}{number % 2}"
        await wire.send(gql.UPSERT_THREAD, {"id": f"t{number}", "name": "ü" * 50_000, "participantId": user})
    monkeypatch.setattr("literal_server.dashboard.listing.PAGE_SIZE", 2)
    page = (await http.get(f"{address}?sort={sort}")).text
    (following,) = re.findall('rel="next" href="([^"]+)"', page)
    assert len(following) < 10_000
    listed = [LINK.findall(row)[0] for row in await rows(http, f"{address}?sort={sort}")]
    assert sorted(listed) == [f"t{number}" for number in range(5)]


async def test_what_a_filter_can_be_made_of(
    http: httpx.AsyncClient, address: str, wire: Wire, server: Starlette
) -> None:
    """The page is told all fields and the names that are there; who sees own threads alone is told no names."""
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "participantId": "ada", "tags": ["a b"]})
    scores = [{"name": "tone", "value": 1}]
    await wire.report(
        {"id": "a", "threadId": "t", "type": "tool", "name": "search", "scores": scores},
        {"id": "b", "threadId": "t", "type": "llm", "name": "call", "generation": {"model": "gpt"}},
        {"id": "c", "threadId": "t", "type": "tool", "name": "x" * 500},
    )
    completions = address.replace("/threads", "/completions")
    told = (await http.get(completions)).json()

    assert {"errors", "cost", "tool", "tool.error", "model.cost", "score", "reviewed"} <= set(told["fields"])
    assert told["values"] == {
        "tool": ["search"], "model": ["gpt"], "run": [], "tag": ["a b"], "env": [], "user": ["ada"], "score": ["tone"],
    }  # fmt: skip

    async def member(_request: object) -> Visitor:
        return Visitor("bob", sees_all=False)

    server.state.authenticate = member
    assert (await http.get(completions)).json()["values"] == {}


@pytest.mark.parametrize(
    ("query", "slow", "where"),
    [
        ('errors > 0 and step.output ~ "x"', 'step.output ~ "x"', "the text of every step"),
        ('name ~ "a" or tool = "never" and tokens > 1', 'tool = "never"', "every step"),
        ('not name ~ "<b>"', 'name ~ "&lt;b&gt;"', "every thread"),
        ("tokens in (1, 2)", "tokens in …", "every thread"),
    ],
)
async def test_a_query_that_takes_too_long_is_stopped(
    http: httpx.AsyncClient, address: str, threads: list[str], monkeypatch: pytest.MonkeyPatch,
    query: str, slow: str, where: str,
) -> None:  # fmt: skip
    """The page says which part of it was slow and what helps, marks the place, and the next list is there."""
    monkeypatch.setattr(sqlite_connection, "INSTRUCTIONS", 1)
    monkeypatch.setattr(listing, "PATIENCE_SECONDS", 0.0)

    page = await http.get(address, params={"q": query})
    assert page.status_code == 503
    written = slow.replace('"', "&#34;")
    assert f"{written} has to be looked for in {where}, which was not done within 0 s" in page.text
    assert "A date (active &gt; -7d)" in page.text
    assert f"<mark>{slow.split()[0]}" in page.text
    assert (await http.get(address.replace("/threads", "/thread-counts"), params={"q": query})).json() == {}
    neighbour = await http.get(address.replace("/threads", "/neighbour"), params={"thread": "t1", "q": query})
    assert neighbour.status_code == 400
    assert where in neighbour.text
    monkeypatch.undo()
    assert len(await rows(http, address)) == len(threads)


async def test_reading_is_stopped_at_the_end_of_its_time(tmp_path: Path) -> None:
    """A statement that would run for minutes is interrupted, and the connection serves whoever comes next."""
    database = Database(tmp_path / "literal.db")
    endless = text("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n")
    try:
        with pytest.raises(TookTooLong, match=r"longer than 0\.05 s"):
            async with database.reading(0.05) as session:
                await session.execute(endless)
        async with database.reading() as session:
            assert await session.scalar(text("SELECT 1")) == 1
        async with database.writing() as session:
            await session.execute(text("CREATE TABLE t (x)"))
    finally:
        await database.close()
