"""Full text: what is found and what is not, that the index follows the database, and that it can be lost."""

import asyncio
import functools
import itertools
import shutil
import sqlite3
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from literal_server import clock, deletions, purge, search, search_text, thread_list, threads
from literal_server.app import create_app
from literal_server.paging import PageRequest
from literal_server.query_language import QueryError, Term
from literal_server.search_index import Document, SearchIndex
from literal_server.settings import ServerSettings
from tests.app_process import wait_until
from tests.literal_server.wire import KEY, Wire, gql

pytestmark = pytest.mark.anyio

SAID = {
    "refund": "I want a refund for order 48213, please; it arrived in San Francisco, not in Paris.",
    "weather": "Wie wird das Wetter in Zürich? GRÜSSE!",
    "japanese": "東京の天気はどうですか。",
    "thai": "วันนี้อากาศเป็นอย่างไร",
    "code": 'C++ says "no" to get_current_weather(); visit www.example.com/a-b',
}


async def found(server: Starlette, query: str, owner: str | None = None) -> dict[str, str]:
    """Return the threads that a query finds, with the snippet of each, the hits in brackets."""
    api = server.state.api
    await search.catch_up(api.database)
    wanted = thread_list.Wanted(api.project, query, owner, 0)
    async with api.database.reading() as session:
        listing = await thread_list.read(session, wanted, api.settings, PageRequest(), "-activity")
    snippets = {thread: place.snippet.parts for thread, place in listing.places.items()}
    return {
        row.id: "".join(f"[{part}]" if number % 2 else part for number, part in enumerate(snippets.get(row.id, [])))
        for row in listing.page.rows
    }


@pytest.fixture
async def said(server: Starlette, wire: Wire) -> Starlette:
    """A server with a thread for each of the texts."""
    for thread, text in SAID.items():
        step = {"id": f"{thread}-1", "threadId": thread, "type": "user_message", "output": {"content": text}}
        await wire.report(
            step, {"id": f"{thread}-2", "threadId": thread, "type": "tool", "name": "bell", "error": "Boom at noon"}
        )
    return server


@pytest.mark.parametrize(
    ("query", "threads"),
    [
        ("refund", "refund"),
        ("REFUN", "refund"),
        ('"refun"', ""),
        ("48213", "refund"),
        ("refund paris", "refund"),
        ("paris refund", "refund"),
        ("refund boom", ""),
        ("refund and boom", "refund"),
        ('"San Francisco"', "refund"),
        ('"Francisco San"', ""),
        ("refund or zurich", "refund weather"),
        ("boom and not (refund or zürich)", "japanese thai code"),
        ("wetter errors > 0", "weather"),
        ("wetter errors > 5", ""),
        ("grusse", "weather"),
        ("天気", "japanese"),
        ("東京", "japanese"),
        ("京東", ""),
        ("どう", "japanese"),
        ("อากาศ", "thai"),
        ("get_current_weather", "code"),
        ("www.example.com", "code"),
        ("c++", "code"),
        ("content", ""),
        ("What's it, in Paris?", ""),
        ("noon bell", "refund weather japanese thai code"),
        ("tool bell", ""),
    ],
)
async def test_words_are_found(said: Starlette, query: str, threads: str) -> None:
    """Words by their beginning, quoted texts as they stand, side by side in one step, in any language."""
    assert set(await found(said, query)) == set(threads.split())


async def test_the_hit_is_marked(said: Starlette) -> None:
    """The list shows the place of the first hit with what fits the words marked."""
    assert (await found(said, 'refund "san francisco"'))["refund"].startswith(
        "I want a [refund] for order 48213, please;"
    )
    assert "in [San Francisco], not" in (await found(said, 'refund "san francisco"'))["refund"]
    assert (await found(said, "天気"))["japanese"].startswith("東京の[天気]は")
    assert (await found(said, "grusse"))["weather"].endswith("Zürich? [GRÜSSE]!")
    assert (await found(said, "errors > 0"))["refund"] == ""


async def test_what_is_looked_at(server: Starlette, wire: Wire) -> None:
    """Names of threads and steps, inputs, outputs, errors; of what a model was asked the last message only."""
    messages = [{"role": "system", "content": "sesame"}, {"role": "user", "content": "cardamom"}]
    large = "x" * 4_000_000
    await wire.report(
        {"id": "a", "threadId": "t", "type": "tool", "name": "coriander", "input": {"q": ["saffron"]},
         "error": "nutmeg"},
        {"id": "b", "threadId": "t", "type": "llm", "input": {"content": messages}, "output": {"content": "cinnamon"},
         "generation": {"messages": messages}},
        {"id": "c", "threadId": "t", "type": "tool", "output": {"content": f"vanilla {large} pepper"}},
    )  # fmt: skip
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "name": "About turmeric"})

    for word in ("coriander", "saffron", "nutmeg", "cardamom", "cinnamon", "vanilla", "turmeric"):
        assert list(await found(server, word)) == ["t"], word
    for word in ("sesame", "pepper", "user", "q"):
        assert await found(server, word) == {}, word
    assert (await found(server, "turmeric"))["t"] == "About [turmeric]"


async def test_the_index_follows(server: Starlette, wire: Wire) -> None:
    """What is changed, moved, deleted and restored is found as it is now."""
    await wire.report({"id": "a", "threadId": "t", "type": "tool", "output": {"content": "first"}})
    assert set(await found(server, "first")) == {"t"}
    await wire.report({"id": "a", "threadId": "u", "type": "tool", "output": {"content": "second"}})
    assert await found(server, "first") == {}
    assert set(await found(server, "second")) == {"u"}
    await wire.send(gql.DELETE_STEP, {"id": "a"})
    assert await found(server, "second") == {}
    async with server.state.api.database.writing() as session:
        await deletions.restore(session, server.state.api.project, "step", "a")
    assert set(await found(server, "second")) == {"u"}


async def test_nobody_finds_threads_of_others(server: Starlette, wire: Wire) -> None:
    """Who sees only the own threads finds only the own."""
    for user in ("ada", "bob"):
        await wire.send(gql.UPSERT_THREAD, {"id": user, "participantId": user})
        await wire.report({"id": f"{user}-1", "threadId": user, "type": "tool", "output": {"content": "secret"}})

    assert set(await found(server, "secret")) == {"ada", "bob"}
    assert set(await found(server, "secret", owner="ada")) == {"ada"}
    assert await found(server, "not secret", owner="ada") == {}


async def test_a_lost_index_is_made_anew(said: Starlette) -> None:
    """Without its file, or with one from after the database's state, the index is filled from the database."""
    assert set(await found(said, "refund")) == {"refund"}
    index: SearchIndex = search.session_info(said.state.api.settings)[search.INDEX]
    await asyncio.to_thread(index.begin, 10_000_000)
    assert set(await found(said, "refund")) == {"refund"}
    await asyncio.to_thread(index.close)


async def test_what_was_purged_meanwhile_does_not_come_back(
    server_settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever read a step before its purge, and is slow, does not put it into the index after that."""
    documents = search._documents
    has_read, going_on = asyncio.Event(), asyncio.Event()

    async def stand_still(_follower: search.Follower) -> None:
        """Take nothing in."""

    async def read_slowly(*arguments: Any) -> list[Document]:
        read = await documents(*arguments)
        if not has_read.is_set():
            has_read.set()
            await going_on.wait()
        return read

    monkeypatch.setattr(search.Follower, "_round", stand_still)
    monkeypatch.setattr(search, "_documents", read_slowly)
    server = create_app(server_settings)
    async with server.router.lifespan_context(server):
        api = server.state.api
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            for word in ("first", "second"):
                step = {"id": word, "threadId": word, "type": "tool", "output": {"content": word}}
                await Wire(http).report(step, **{"x-api-key": KEY})
        slow = asyncio.create_task(search.catch_up(api.database))
        await has_read.wait()
        async with api.database.writing() as session:
            await threads.delete(session, api.project, "first")
        await purge.purge(api.database)
        going_on.set()
        await slow

        index = SearchIndex(server_settings.search_path)
        assert (await asyncio.to_thread(index.find, api.project, "first", 1)).documents == {}
        assert set(await found(server, "second")) == {"second"}


async def test_an_index_that_is_older_than_its_notes_is_made_anew(server_settings: ServerSettings) -> None:
    """A power cut can undo the latest of the index, after the notes of what it knew were removed."""
    path = server_settings.search_path
    for word in ("first", "second", "third"):
        server = create_app(server_settings)
        async with server.router.lifespan_context(server):
            transport = httpx.ASGITransport(server)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                step = {"id": word, "threadId": word, "type": "tool", "output": {"content": word}}
                await Wire(http).report(step, **{"x-api-key": KEY})
            assert set(await found(server, "first or second or third")) >= {"first", word}
            if word == "third":
                assert set(await found(server, "second")) == {"second"}
            await search.trim(server.state.api.database)
        if word == "first":
            shutil.copy(path, path.with_name("older.db"))
        elif word == "second":
            path.with_name("older.db").replace(path)


async def test_an_index_that_is_removed_under_the_server_is_made_anew(said: Starlette) -> None:
    """Who takes the file away while the server has it open gets one more index, and no endless making of it."""
    assert set(await found(said, "refund")) == {"refund"}
    for ending in ("", "-wal", "-shm"):
        path = said.state.api.settings.search_path
        path.with_name(path.name + ending).unlink(missing_ok=True)

    async with asyncio.timeout(30):
        assert set(await found(said, "refund")) == {"refund"}


@pytest.mark.parametrize("what", ["all", "pages"])
async def test_a_broken_index_is_made_anew(said: Starlette, caplog: pytest.LogCaptureFixture, what: str) -> None:
    """Bytes that are no index, or no longer one, cost the time to make another, and a line in the log."""
    assert set(await found(said, "refund")) == {"refund"}
    path = said.state.api.settings.search_path
    async with said.state.api.database.reading() as session:
        session.info[search.INDEX].close()
    content = path.read_bytes()
    path.write_bytes(b"no index" * 4096 if what == "all" else content[:4096] + b"x" * (len(content) - 4096))

    assert set(await found(said, "refund")) == {"refund"}
    assert "made anew" in caplog.text


async def test_a_new_server_goes_on_where_the_last_one_stopped(
    server_settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own task takes in what is written, and first what the server before it had no time for."""
    index = SearchIndex(server_settings.search_path)

    async def stand_still(_follower: search.Follower) -> None:
        """Take nothing in."""

    with monkeypatch.context() as still:
        still.setattr(search.Follower, "_round", stand_still)
        await report_to(create_app(server_settings), index, "first", wait_for=None)
    for word, wait_for in (("second", "first"), ("third", "third")):
        await report_to(create_app(server_settings), index, word, wait_for=wait_for)


async def report_to(server: Starlette, index: SearchIndex, word: str, *, wait_for: str | None) -> None:
    """Run a server that is told a word, and wait until the index has one."""
    async with server.router.lifespan_context(server):
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            step = {"id": word, "threadId": word, "type": "tool", "output": {"content": word}}
            await Wire(http).report(step, **{"x-api-key": KEY})
        project = server.state.api.project
        if wait_for is None:
            assert index.find(project, word, 1).documents == {}
        else:
            has_it = functools.partial(index.find, project, wait_for, 1)
            await asyncio.to_thread(wait_until, lambda: has_it().documents, 30, lambda: f"{wait_for} cannot be found.")
            assert server.state.search.lag < 30


async def test_a_clock_that_is_set_forward_does_not_stop_the_index(
    said: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long the index gives way to writers depends on how long it has worked, not on what the clock says of that."""
    hours = itertools.count(clock.now(), 3_600_000_000)
    database = said.state.api.database
    await asyncio.to_thread(search.session_info(said.state.api.settings)[search.INDEX].begin, 0)
    monkeypatch.setattr(search, "_CHANGES_AT_ONCE", 1)
    monkeypatch.setattr(clock, "now", lambda: next(hours))
    monkeypatch.setattr(type(database), "is_busy", True)

    await asyncio.wait_for(search.Follower(database)._round(), 30)
    assert set(await found(said, "refund")) == {"refund"}


async def test_the_lag_is_told(http: httpx.AsyncClient, server: Starlette) -> None:
    """The list, /health and the metrics say how far search is behind."""
    assert "Search is " in (await http.get(f"/projects/{server.state.api.project}/logs/threads")).text
    assert 0 <= (await http.get("/health")).json()["searchLagSeconds"] < 60
    assert "literal_search_lag_seconds" in (await http.get("/metrics")).text


async def test_too_many_hits_are_said(
    http: httpx.AsyncClient, said: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where words stand in more places than are looked at, the latest are found and the page says so."""
    await search.catch_up(said.state.api.database)
    monkeypatch.setattr(search, "MOST_DOCUMENTS", 2)

    assert len(await found(said, "boom")) == 2
    page = (await http.get(f"/projects/{said.state.api.project}/logs/threads?q=boom")).text
    assert "latest were looked at" in page


async def test_the_notes_are_removed(said: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the index has taken in needs no note any more; they go some at a time, so that the writer is not held."""
    monkeypatch.setattr(search, "_TRIMMED_AT_ONCE", 3)
    api = said.state.api
    await search.catch_up(api.database)
    await search.trim(api.database)
    connection = sqlite3.connect(api.settings.database_path)
    assert connection.execute("SELECT count(*) FROM search_changes").fetchone() == (0,)
    connection.close()
    assert set(await found(said, "refund")) == {"refund"}


ODD = st.text(alphabet="ab\"'*():^+-{}[]~.,\\ \0\ud800天気éTANDORNEAR", max_size=12)


@settings(max_examples=200, deadline=None)
@given(terms=st.lists(st.builds(Term, ODD, st.booleans()), max_size=4), text=ODD)
def test_hostile_words_are_words(tmp_path_factory: pytest.TempPathFactory, terms: list[Term], text: str) -> None:
    """Whatever is looked for is no syntax to the index, and what it finds has a snippet of the whole short text."""
    index = open_index(tmp_path_factory)
    expression = search_text.match_expression(terms)
    if expression is not None:
        assert index.find("p", expression, 10).is_cut is False
    parts = search_text.snippet(text, terms).parts
    assert len(parts) % 2 == 1
    assert "".join(parts) == text.replace("\ud800", "\ufffd")


INDEXES: list[SearchIndex] = []


def open_index(factory: pytest.TempPathFactory) -> SearchIndex:
    """Open one index for all examples."""
    if not INDEXES:
        INDEXES.append(SearchIndex(factory.mktemp("index") / "search.db"))
        INDEXES[0].apply([Document("p", "step", "s", "t", "ab 天気 é")], None, 1)
    return INDEXES[0]


@pytest.mark.parametrize(
    "text", ['{"a": "b \\u00', '"\\', '{"content": "tr\\u00fcb \\ud83d\\ude00', "[1, 2.5e3, tr", "", None]
)
def test_json_that_is_cut_off_is_read_to_its_end(text: Any) -> None:
    """The beginning of a large value is no whole JSON, and is read all the same."""
    assert isinstance(search_text.of_json(text), str)
    assert search_text.of_json('{"a": {"role": "user", "b": ["x \\"y\\"", 7, null]}, "c": "z') == 'x "y" 7 z'


@pytest.mark.parametrize("query", ["***", '"!"', "errors > 0 and '?'"])
async def test_words_without_letters_are_refused(server: Starlette, query: str) -> None:
    """What has no letter and no digit cannot be looked for, and says so."""
    with pytest.raises(QueryError, match="no letter"):
        await found(server, query)


@pytest.mark.parametrize("around", ["a seafood menu, of FOODS: ", "ein Menü aus Seafood: "])
def test_a_hit_begins_where_a_word_does(around: str) -> None:
    """What stands inside a longer word is no hit, in plain letters and in others."""
    told = search_text.snippet(f"{around}foo food fooD", [Term("food", exact=False)]).parts

    assert [part.lower() for part in told[1::2]] == (["foods"] if "FOODS" in around else []) + ["food", "food"]
    assert "".join(told) == f"{around}foo food fooD"
