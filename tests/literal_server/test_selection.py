"""What is done with selected threads: by whom, with which of them, and that no other page can do it."""

import json
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from literal_server.auth import Visitor
from tests.literal_server.server_process import done
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

OWN = {"origin": "http://localhost"}
ODD = 'a/b "<i>'


@pytest.fixture
def address(server: Starlette) -> str:
    return f"/projects/{server.state.api.project}/logs/selection"


@pytest.fixture(autouse=True)
async def threads(wire: Wire) -> None:
    """Three threads: two of ada's, one of bob's."""
    for thread, user in (("one", "ada"), (ODD, "ada"), ("bobs", "bob")):
        step = {"id": f"{thread}-s", "threadId": thread, "type": "user_message", "output": {"content": f"Hi {thread}"}}
        await wire.send(gql.UPSERT_THREAD, {"id": thread, "name": f"Thread {thread}", "participantId": user})
        await wire.report(step)


async def living(wire: Wire) -> set[str]:
    """Return the ids of the threads that are there."""
    return {thread for thread in ("one", ODD, "bobs") if await wire.thread(thread) is not None}


def signed_in(server: Starlette, name: str) -> None:
    """Let a person read the pages who sees only the own threads."""

    async def door(_request: object) -> Visitor:
        return Visitor(name, sees_all=False)

    server.state.authenticate = door


async def test_selected_threads_are_deleted_and_restored(http: httpx.AsyncClient, wire: Wire, address: str) -> None:
    """The list comes back with its filter and says how many went; the page of deleted ones brings several back."""
    page = (await http.get(address.replace("selection", "threads"))).text
    assert f'name="thread" value="{"a/b &#34;&lt;i&gt;"}"' in page
    given = {"do": "delete", "thread": ["one", ODD], "back": "q=turns%20%3E%200"}
    answer = await http.post(address, data=given, headers=OWN)
    assert answer.status_code == 303
    assert answer.headers["location"].endswith("/logs/threads?q=turns%20%3E%200&deleted=2")
    assert "2 threads were deleted" in (await http.get(answer.headers["location"])).text
    assert await living(wire) == {"bobs"}

    answer = await http.post(address, data={"do": "restore", "thread": ["one", ODD]}, headers=OWN)
    told = await http.get(answer.headers["location"])
    assert "2 threads are back in" in told.text
    assert answer.headers["location"].endswith("/logs/deleted?restored=2")
    assert await living(wire) == {"one", ODD, "bobs"}
    refused = await http.post(address, data={"do": "restore", "thread": ["one"]}, headers=OWN)
    assert refused.status_code == 400
    assert "0 were restored" in refused.text


async def test_an_export_can_be_imported(http: httpx.AsyncClient, address: str, tmp_path: Path) -> None:
    """The selected threads come as a file of lines, which an import takes into another server."""
    answer = await http.post(address, data={"do": "export", "thread": ["one", ODD, "nobody's"]}, headers=OWN)
    assert answer.headers["content-disposition"] == 'attachment; filename="threads.jsonl"'
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["id"] for line in lines if line["kind"] == "thread"] == ["one", ODD]
    assert lines[-1]["counts"]["step"] == 2
    (tmp_path / "threads.jsonl").write_text(answer.text)

    assert "2 threads" in done(tmp_path / "other", "import", str(tmp_path / "threads.jsonl"))


async def test_a_user_acts_on_own_threads_only(
    http: httpx.AsyncClient, wire: Wire, server: Starlette, address: str
) -> None:
    """Threads of others are neither deleted nor told; restoring is for those who see all."""
    signed_in(server, "bob")
    told = await http.post(address, data={"do": "export", "thread": ["one", "bobs"]}, headers=OWN)
    assert "Hi bobs" in told.text
    assert "Hi one" not in told.text
    answer = await http.post(address, data={"do": "delete", "thread": ["one", "bobs"]}, headers=OWN)
    assert answer.headers["location"].endswith("deleted=1")
    assert await living(wire) == {"one", ODD}
    assert (await http.post(address, data={"do": "restore", "thread": ["bobs"]}, headers=OWN)).status_code == 403
    assert await living(wire) == {"one", ODD}


@pytest.mark.parametrize("origin", [None, "null", "http://evil.test"])
async def test_no_other_page_can_act(http: httpx.AsyncClient, wire: Wire, address: str, origin: str | None) -> None:
    """A form that another page sends with the visitor's own sign-in changes nothing."""
    answer = await http.post(
        address, data={"do": "delete", "thread": ["one"]}, headers={"origin": origin} if origin else {}
    )
    assert answer.status_code == 403
    assert len(await living(wire)) == 3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"do": "delete"}, "No thread is selected"),
        ({"do": "shout", "thread": "one"}, "can be taken to"),
        ({"thread": [str(number) for number in range(200)]}, "not what the page expects"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    http: httpx.AsyncClient, wire: Wire, address: str, given: dict[str, str | list[str]], words: str
) -> None:
    """Without a selection or with another wish nothing happens, and the page says why."""
    answer = await http.post(address, data=given, headers=OWN)
    assert answer.status_code == 400
    assert words in answer.text
    assert len(await living(wire)) == 3
