"""A thread taken along from its page: as Markdown, as lines to import, as messages; by those who may read it."""

import json
import shutil
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from starlette.applications import Starlette

from literal_server.auth import Authenticate
from literal_server.db import Database
from literal_server.exchange.markdown import fenced
from tests.literal_server.exchange_help import take_in
from tests.literal_server.visitors import named_visitor
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

AT = "2025-01-01T00:00:0"


@pytest.fixture
def door() -> Authenticate:
    return named_visitor


@pytest.fixture
async def exports(wire: Wire, server: Starlette) -> str:
    """The address of the files of a thread of ada's."""
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "participantId": "ada", "name": 'Why? "now"\n/../x'})
    mark = {"superseded": {"by": "q"}}
    thumb = {"name": "user-feedback", "type": "HUMAN", "value": 0, "comment": "Not\nit."}
    await wire.report(
        {"id": "o", "threadId": "t", "type": "user_message", "startTime": f"{AT}0Z", "output": "Old?",
         "metadata": mark},
        {"id": "q", "threadId": "t", "type": "user_message", "startTime": f"{AT}1Z", "output": {"content": "Why?"}},
        {"id": "l", "threadId": "t", "parentId": "q", "type": "llm", "startTime": f"{AT}2Z", "endTime": f"{AT}4Z",
         "generation": {"model": "gpt-4o", "tokenCount": 1200}},
        {"id": "d", "threadId": "t", "parentId": "q", "type": "tool", "name": "dig", "input": {"in": "```"},
         "startTime": f"{AT}3Z", "error": "no spade"},
        {"id": "a", "threadId": "t", "parentId": "q", "type": "assistant_message", "startTime": f"{AT}4Z",
         "output": "**Because**", "scores": [thumb]},
        {"id": "other", "threadId": "u", "output": "elsewhere"},
    )  # fmt: skip
    return f"/projects/{server.state.api.project}/logs/exports/t"


async def test_as_markdown(http: httpx.AsyncClient, exports: str) -> None:
    """The text holds speakers, calls, failures, measures and feedback, in the order of the page."""
    response = await http.get(exports, params={"format": "markdown"})
    assert response.headers["content-disposition"] == 'attachment; filename="Why-now-..-x.md"'
    parts = [
        '# Why? "now" /../x', "ada, ", "## User", "(replaced later)", "Old?", "## User", "Why?",
        "*Model gpt-4o (1,200 tokens, 2.0 s)*", "### tool: dig", '````\n{"in":"```"}\n````', "**Failed:**", "no spade",
        "## Assistant", "**Because**", "> user-feedback 0: Not it. (human)",
    ]  # fmt: skip
    text, place = response.text, 0
    for part in parts:
        assert part in text[place:], part
        place = text.index(part, place) + len(part)
    assert "elsewhere" not in text


async def test_as_lines_that_import_takes(
    http: httpx.AsyncClient, exports: str, tmp_path: Path, migrated: Path
) -> None:
    """An empty server that imports the file has the thread, and nothing else."""
    response = await http.get(exports, params={"format": "lines"})
    path = tmp_path / "other.db"
    shutil.copy(migrated, path)
    database = Database(path)
    report, words = await take_in(database, response.content)
    await database.close()
    assert words == []
    assert dict(report.added) == {"participant": 1, "thread": 1, "step": 5}


async def test_as_messages(http: httpx.AsyncClient, exports: str) -> None:
    """The conversation as the API has it, the cut turn left out."""
    told = json.loads((await http.get(exports, params={"format": "messages"})).text)
    assert [one["role"] for one in told["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert told["messages"][0]["content"] == "Why?"
    assert told["user"] == "ada"


async def test_who_takes_along(http: httpx.AsyncClient, exports: str) -> None:
    """Who may read the thread may, nobody else; there is no other form, and no thread where there is none."""
    for who, status in (("ada", 200), ("bob", 404)):
        for form in ("markdown", "lines", "messages"):
            response = await http.get(exports, params={"format": form}, headers={"x-who": who})
            assert response.status_code == status, (who, form)
    assert (await http.get(exports)).status_code == 400
    assert (await http.get(exports + "x", params={"format": "lines"})).status_code == 404


@given(st.text("`~\n a", max_size=40))
def test_a_block_ends_where_it_should(text: str) -> None:
    """Whatever a value holds, its block holds all of it and ends after it."""
    tokens = MarkdownIt().parse(f"{fenced(text)}\n\nafter")
    assert tokens[0].type == "fence"
    assert tokens[2].content == "after"
    assert "".join(tokens[0].content.split()) == "".join(text.split())
