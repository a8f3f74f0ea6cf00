"""The page of deleted threads: who sees it, what it says, and that only it can bring a thread back."""

import httpx
import pytest
from starlette.applications import Starlette

from literal_server.auth import Visitor
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

OWN = {"origin": "http://localhost"}


@pytest.fixture
def address(server: Starlette) -> str:
    return f"/projects/{server.state.api.project}/logs/deleted"


async def a_deleted_thread(wire: Wire, identity: str = "a/b <i>") -> None:
    await wire.report({"id": "s", "threadId": identity, "type": "user_message", "output": {"content": "hello"}})
    await wire.send(gql.UPSERT_THREAD, {"id": identity, "name": "<b>Weather</b>", "participantId": "ada"})
    await wire.send(gql.DELETE_THREAD, {"thread_id": identity}, **{"x-client-name": "py-literal-client"})


async def test_deleted_thread_is_listed_and_restored(wire: Wire, http: httpx.AsyncClient, address: str) -> None:
    """The page shows who had the thread and until when it can be restored; its button leads to the living thread."""
    assert "Nothing is deleted" in (await http.get(address)).text
    await a_deleted_thread(wire)
    page = (await http.get(address)).text
    assert "&lt;b&gt;Weather&lt;/b&gt;" in page
    for words in ("ada", "py-literal-client", "30 days", "Restore"):
        assert words in page
    restored = await http.post(f"{address}/a%2Fb%20%3Ci%3E", headers=OWN)
    assert restored.status_code == 303
    assert (await http.get(restored.headers["location"])).status_code == 200
    assert (await wire.thread("a/b <i>"))["steps"][0]["output"] == {"content": "hello"}
    assert "Nothing is deleted" in (await http.get(address)).text
    assert (await http.post(f"{address}/a%2Fb%20%3Ci%3E", headers=OWN)).status_code == 400


@pytest.mark.parametrize("origin", [None, "null", "http://evil.test", "http://localhost:1"])
async def test_no_other_page_can_restore(wire: Wire, http: httpx.AsyncClient, address: str, origin: str | None) -> None:
    """A form that another page sends with the visitor's own sign-in changes nothing."""
    await a_deleted_thread(wire, "t")
    response = await http.post(f"{address}/t", headers={"origin": origin} if origin else {})
    assert response.status_code == 403
    assert await wire.thread("t") is None


async def test_who_sees_only_own_threads_sees_no_deleted_ones(
    wire: Wire, http: httpx.AsyncClient, server: Starlette, address: str
) -> None:
    """The page is for those who see all threads, and for nobody who is not signed in."""
    await a_deleted_thread(wire, "t")

    async def member(_request: object) -> Visitor:
        return Visitor("ada", sees_all=False)

    async def nobody(_request: object) -> None:
        return None

    for door, status in ((member, 403), (nobody, 401)):
        server.state.authenticate = door
        assert (await http.get(address)).status_code == status
        assert (await http.post(f"{address}/t", headers=OWN)).status_code == status
        assert await wire.thread("t") is None
    server.state.authenticate = member
    assert "logs/deleted" not in (await http.get(address.replace("deleted", "threads"))).text


async def test_whole_value_is_a_link_away(wire: Wire, http: httpx.AsyncClient, server: Starlette, address: str) -> None:
    """A page shows the beginning of a large value and links to all of it, for those who may read its thread."""
    large = "x" * 4_000_000
    await wire.report({"id": "s?&", "threadId": "t", "type": "tool", "output": {"content": large}})
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "participantId": "ada"})
    page = (await http.get(address.replace("deleted", "threads/t"))).text
    assert len(page) < 100_000
    assert f"{address.replace('deleted', 'payloads')}?step=s%3F%26&amp;name=output" in page
    link = address.replace("deleted", "payloads?step=s%3F%26&name=")
    whole = await http.get(f"{link}output")
    assert whole.json() == {"content": large}
    assert whole.headers["content-disposition"].startswith("attachment")
    for name in ("input", "nothing", "generation.messages"):
        assert (await http.get(link + name)).status_code == 404
    for user, status in (("ada", 200), ("bob", 404)):
        server.state.authenticate = door_of(user)
        assert (await http.get(f"{link}output")).status_code == status


def door_of(user: str) -> object:
    async def door(_request: object) -> Visitor:
        return Visitor(user, sees_all=False)

    return door
