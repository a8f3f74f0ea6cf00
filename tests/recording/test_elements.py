"""Files that hooks and tools show in the chat: stored over the app's own transport, and shown again on resume."""

from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from chainlit.element import File, Image
from pydantic import SecretStr

from doors import Caller, new_caller
from literal_server.app import create_app
from literal_server.settings import ServerSettings
from recording.chainlit_layer import ChainlitLayer
from recording.client import LiteralAPI, RefusedError
from recording.outbox import Outbox

pytestmark = pytest.mark.anyio


class Recording(NamedTuple):
    layer: ChainlitLayer
    api: LiteralAPI
    outbox: Outbox
    caller: ContextVar[Caller]
    browser: httpx.AsyncClient


@pytest.fixture
async def recording(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Recording]:
    """The chat's layer over a server in this process, and what a browser would reach of it."""
    settings = ServerSettings(
        data_dir=tmp_path / "data", api_key=SecretStr("key"), mounted_at="/literal", max_file_bytes=1_000
    )
    server = create_app(settings)
    async with server.router.lifespan_context(server):
        api = LiteralAPI("http://literal.in-process", "key", httpx.ASGITransport(server))
        outbox = Outbox(api, tmp_path / "outbox.db")
        outbox.start()
        caller = new_caller()
        layer = ChainlitLayer(api, outbox, lambda thread: None, api.project_id, caller, steps_shown=200)
        mounted = httpx.ASGITransport(server, root_path="/literal")
        async with httpx.AsyncClient(transport=mounted, base_url="http://localhost") as browser:
            yield Recording(layer, api, outbox, caller, browser)
        await outbox.stop(5)
        await api.close()


async def store(recording: Recording, element: Any) -> None:
    """Store an element as Chainlit does, without its wait for the first message of a browser's session."""
    await ChainlitLayer.create_element.__wrapped__(recording.layer, element)
    await recording.outbox.flush(5)


async def remove(recording: Recording, element_id: str, thread_id: str) -> None:
    await ChainlitLayer.delete_element.__wrapped__(recording.layer, element_id, thread_id)


async def ada_has(recording: Recording, thread_id: str) -> None:
    """Let Ada own a thread with one answer in it."""
    recording.caller.set(Caller(name="ada"))
    recording.outbox.put_thread(thread_id, name="pictures", participant="ada")
    recording.outbox.put_step({"id": "answer", "threadId": thread_id, "type": "assistant_message"})


async def test_an_element_with_a_file_is_shown_on_resume(recording: Recording) -> None:
    """The bytes, and all that the chat needs to show them, come back with the thread, at an address of the page's."""
    await ada_has(recording, "t")
    await store(recording, Image(name="a.png", content=b"\x89PNG", mime="image/png", display="inline", size="large",
                                 for_id="answer", thread_id="t", id="e"))  # fmt: skip
    thread = await recording.layer.get_thread("t")
    assert thread
    (element,) = thread["elements"] or []
    told = {name: element.get(name) for name in ("id", "type", "name", "mime", "display", "size", "forId", "threadId")}
    assert told == {"id": "e", "type": "image", "name": "a.png", "mime": "image/png", "display": "inline",
                    "size": "large", "forId": "answer", "threadId": "t"}  # fmt: skip
    url = str(element.get("url"))
    assert url.startswith("/literal/api/verbatim/files/")
    assert (await recording.browser.get(url.removeprefix("/literal"))).content == b"\x89PNG"
    assert await recording.layer.get_element("t", "e") == element


async def test_an_element_from_a_path_or_an_address(recording: Recording, tmp_path: Path) -> None:
    """A file on disk is read; what lies elsewhere keeps its address and is not fetched."""
    await ada_has(recording, "t")
    (tmp_path / "note.txt").write_text("Grüße")
    await store(recording, File(name="note", path=str(tmp_path / "note.txt"), mime="text/plain", for_id="answer",
                                thread_id="t", id="one"))  # fmt: skip
    await store(recording, File(name="far", url="https://x.test/a", for_id="answer", thread_id="t", id="two"))
    near = await recording.layer.get_element("t", "one")
    far = await recording.layer.get_element("t", "two")
    assert near
    assert far
    assert (await recording.browser.get(str(near.get("url")).removeprefix("/literal"))).text == "Grüße"
    assert (far.get("url"), far.get("objectKey")) == ("https://x.test/a", None)


async def test_an_element_is_deleted_by_its_owner_only(recording: Recording) -> None:
    """Another person sees and deletes nothing, also through a thread of her own; the owner's deletion counts."""
    await ada_has(recording, "t")
    await store(recording, File(name="n", url="https://x.test/a", for_id="answer", thread_id="t", id="e"))
    recording.caller.set(Caller(name="bob"))
    recording.outbox.put_thread("bobs", participant="bob")
    await recording.outbox.flush(5)
    for thread_id in ("t", "bobs"):
        await remove(recording, "e", thread_id)
        assert await recording.layer.get_element(thread_id, "e") is None
    recording.caller.set(Caller(name="ada"))
    assert await recording.layer.get_element("t", "e")
    await remove(recording, "e", "t")
    assert await recording.layer.get_element("t", "e") is None


async def test_a_file_that_cannot_be_stored_leaves_its_name(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    """A file over the limit is refused with the setting that helps; the record says that it was there, and has none."""
    with pytest.raises(RefusedError, match="MAX_FILE_BYTES"):
        await recording.api.upload_file(b"x" * 2_000)
    await ada_has(recording, "t")
    await store(recording, File(name="large", content=b"x" * 2_000, for_id="answer", thread_id="t", id="e"))
    element = await recording.layer.get_element("t", "e")
    assert element
    assert (element.get("name"), element.get("objectKey")) == ("large", None)
    # An address all the same, because a client that validates opens no thread without one.
    assert (await recording.browser.get(str(element.get("url")).removeprefix("/literal"))).status_code == 404
    assert "large" in caplog.text


async def test_the_sdk_attaches_over_the_same_transport(recording: Recording) -> None:
    """What the SDK itself builds on uploads works too: it reaches a server that has no socket."""
    made = await recording.api.create_attachment(step_id="s", name="a.txt", content="text", mime="text/plain")
    assert (made.object_key or "").startswith("files/")
    assert (await recording.browser.get(str(made.url).removeprefix("/literal"))).text == "text"


async def test_a_thread_is_ones_own_from_its_first_question_on(recording: Recording) -> None:
    """Who reloads the page at once is not told that the thread is nobody's, while the report of it waits for others."""
    await ada_has(recording, "new")

    assert await recording.layer.get_thread_author("new") == "ada"
