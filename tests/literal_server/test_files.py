"""Uploaded files: signed, put, read, shown safely, and gone when their attachments are."""

import asyncio
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pytest
from literalai import AsyncLiteralClient
from starlette.applications import Starlette

from literal_server import clock, files
from literal_server.app import create_app
from literal_server.files import FileStore, Ticket
from literal_server.guard import Guard
from literal_server.settings import ServerSettings
from literal_server.tables import Attachment
from tests.literal_server.wire import KEY, Wire, gql

pytestmark = pytest.mark.anyio


async def signed(http: httpx.AsyncClient, **body: Any) -> Any:
    """Ask for an upload address."""
    answer = await http.post("/api/upload/file", json={"fileName": "x", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def put(http: httpx.AsyncClient, answer: Any, content: bytes, mime: str | None = None) -> httpx.Response:
    """Upload as the SDKs do: the fields in order, then the file, and no key."""
    parts: list[tuple[str, Any]] = [(name, (None, value)) for name, value in answer["post"]["fields"].items()]
    parts.append(("file", ("name", content, mime)))
    async with httpx.AsyncClient(transport=http._transport) as stranger:
        return await stranger.post(answer["post"]["url"], files=parts)


async def stored(http: httpx.AsyncClient, content: bytes, mime: str) -> str:
    """Upload a file and answer its read address."""
    answer = await signed(http, contentType=mime)
    assert (await put(http, answer, content, mime)).status_code == 204
    return str(answer["signedUrl"])


def test_an_attachment_with_content(client: Any) -> None:
    """The SDK uploads a file, attaches it, changes it, and it can be read at the same address all along."""
    client.api.send_steps([{"id": "s", "threadId": "t", "type": "run"}])
    made = client.api.create_attachment(
        step_id="s", name="note.txt", mime="text/plain", content="Grüße", metadata={"size": "small"}
    )
    assert (made.step_id, made.thread_id, made.mime) == ("s", "t", "text/plain")
    assert httpx.get(made.url).text == "Grüße"

    renamed = client.api.update_attachment(made.id, {"name": "other.txt"})
    assert (renamed.name, renamed.metadata, renamed.url) == ("other.txt", {"size": "small"}, made.url)
    (shown,) = client.api.get_thread("t").steps[0].attachments
    assert (shown.id, shown.url, shown.object_key) == (made.id, made.url, made.object_key)
    assert 'filename="other.txt"' in httpx.get(made.url).headers["content-disposition"]

    client.api.delete_attachment(made.id)
    assert client.api.get_attachment(made.id) is None
    assert httpx.get(made.url).status_code == 404


async def test_the_asynchronous_client(address: str, tmp_path: Path) -> None:
    """The SDK's other client uploads a file from its path and by itself, and gets the address that stays."""
    client: Any = AsyncLiteralClient(url=f"{address}/", api_key=KEY, disabled=True)
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 5_000)
    made = await client.api.create_attachment(step_id="later", path=str(tmp_path / "a.bin"))
    assert (made.thread_id, made.name) == (None, "a.bin")
    async with httpx.AsyncClient() as browser:
        assert (await browser.get(made.url)).content == (tmp_path / "a.bin").read_bytes()
    alone = await client.api.upload_file(content=b"x", mime=None)
    assert alone["object_key"].startswith("files/")
    await client.api.send_steps([{"id": "later", "threadId": "t"}])
    assert (await client.api.get_attachment(made.id)).thread_id == "t"
    by_address = await client.api.create_attachment(step_id="later", name="far", url="https://x.test/a")
    assert by_address.url == "https://x.test/a"


async def test_the_signed_address_is_the_one_of_later_reads(http: httpx.AsyncClient, wire: Wire) -> None:
    """What signing promised is what the attachment shows, and a step keeps attachments with their own ids."""
    answer = await signed(http, contentType="image/png", threadId="t")
    assert all(isinstance(value, str) for value in answer["post"]["fields"].values())
    await put(http, answer, b"\x89PNG", "image/png")
    element = {"id": "mine", "name": "a.png", "mime": "image/png", "objectKey": answer["post"]["fields"]["key"]}
    await wire.report({"id": "s", "threadId": "t", "attachments": [element]})
    (shown,) = (await wire.thread("t"))["steps"][0]["attachments"]
    assert (shown["id"], shown["url"]) == ("mine", answer["signedUrl"])


async def test_bare_bytes_are_taken_too(http: httpx.AsyncClient) -> None:
    """The address takes a file as the body of a PUT, whatever its content type says."""
    answer = await signed(http, contentType="text/plain")
    response = await http.put(answer["post"]["url"], content=b"raw", headers={"content-type": "multipart/form-data"})
    assert response.status_code == 204
    assert (await http.get(answer["signedUrl"])).content == b"raw"


def forged(address: str, **changes: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(query=urlencode(dict(parse_qsl(parts.query)) | changes)))


async def test_addresses_cannot_be_forged(http: httpx.AsyncClient, server: Starlette, wire: Wire) -> None:
    """A changed part of an address, an address of the other kind, and one of another project open nothing."""
    answer = await signed(http, contentType="text/plain")
    target, readable = answer["post"]["url"], answer["signedUrl"]
    other = "/00000000-0000-4000-8000-000000000000?"
    wrong_targets = [
        forged(target, limit="999999999999"),
        forged(target, type="text/html"),
        forged(target, expires="99999999999999999"),
        forged(target, expires="soon"),
        forged(target, signature=""),
        forged(target, signature="é"),
        forged(target, signature=dict(parse_qsl(urlsplit(readable).query))["signature"]),
        target.split("?")[0],
        "/".join([*target.split("?")[0].split("/")[:-1], ""]).rstrip("/") + other + urlsplit(target).query,
    ]
    for wrong in wrong_targets:
        response = await put(http, {"post": {"url": wrong, "fields": {}}}, b"x")
        assert response.status_code == 403, wrong
        assert response.json()["errors"][0]["message"]
    await put(http, answer, b"secret")
    project = server.state.api.project
    for wrong in (
        forged(readable, signature="x"),
        readable.split("?")[0],
        readable.replace(project, "another"),
        readable.split("?")[0] + "?" + urlsplit(target).query,
    ):
        response = await http.get(wrong)
        assert (response.status_code, b"secret" in response.content) == (403, False)


async def test_another_project_cannot_name_the_file(http: httpx.AsyncClient, server: Starlette) -> None:
    """An attachment of another project with the key of a file gets an address that leads to nothing."""
    answer = await signed(http)
    await put(http, answer, b"secret")
    foreign = server.state.api.files.read_address("http://localhost", "another", answer["post"]["fields"]["key"])
    assert (await http.get(foreign)).status_code == 404


async def test_an_upload_address_expires(http: httpx.AsyncClient, server: Starlette) -> None:
    """An address that is older than its time takes nothing."""
    store: FileStore = server.state.api.files
    old = Ticket(server.state.api.project, "00000000-0000-4000-8000-000000000000", "text/plain", clock.now() - 1, 9)
    url = store.upload_address("http://localhost", old)
    response = await put(http, {"post": {"url": url, "fields": {}}}, b"x")
    assert (response.status_code, "no longer valid" in response.text) == (403, True)


async def test_one_address_takes_one_file(http: httpx.AsyncClient, server: Starlette) -> None:
    """The same bytes may be sent again, as after a lost answer; others are refused and change nothing."""
    answer = await signed(http)
    for content, status in ((b"one", 204), (b"one", 204), (b"two", 409)):
        assert (await put(http, answer, content)).status_code == status
    assert (await http.get(answer["signedUrl"])).content == b"one"
    together = await signed(http)
    answers = await asyncio.gather(*(put(http, together, b"same") for _ in range(5)))
    assert {one.status_code for one in answers} == {204}


async def test_files_have_a_limit(http: httpx.AsyncClient, server: Starlette) -> None:
    """A file over the limit is refused, in a form and bare, and leaves nothing behind."""
    store: FileStore = server.state.api.files
    project = server.state.api.project

    def target(number: int) -> str:
        identity = f"00000000-0000-4000-8000-00000000000{number}"
        return store.upload_address("http://localhost", Ticket(project, identity, "text/plain", clock.now() + 10**9, 9))

    for content, status in ((b"x" * 10, 413), (b"x" * 200_000, 413), (b"x" * 9, 204)):
        assert (await put(http, {"post": {"url": target(1), "fields": {}}}, content)).status_code == status
        assert (await http.put(target(2), content=content)).status_code == status
    found = [path for path in store.folder.rglob("*") if path.is_file()]
    assert [path.stat().st_size for path in found] == [9, 9]
    assert {path.stat().st_mode & 0o077 for path in store.folder.rglob("*")} == {0}


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"content-type": "application/json"}, b"{}", 415),
        ({"content-type": "multipart/form-data"}, b"", 400),
        ({"content-type": "multipart/form-data; boundary=x"}, b"nonsense", 400),
        ({"content-type": "multipart/form-data; boundary=x"}, b"", 400),
        ({"content-type": "multipart/form-data; boundary=x"},
         b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--x--\r\n', 400),
        ({"content-type": "multipart/form-data; boundary=x"},
         b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"t" * 100_000 + b"\r\n--x--\r\n", 400),
    ],
)  # fmt: skip
async def test_bad_forms_are_refused(
    http: httpx.AsyncClient, headers: dict[str, str], content: bytes, status: int
) -> None:
    """A body that is no form with a file in it gets a reason in JSON."""
    answer = await signed(http)
    response = await http.post(answer["post"]["url"], content=content, headers=headers)
    assert response.status_code == status
    assert response.json()["errors"][0]["message"]


SHOWN = [
    ("image/png", "image/png", "inline"),
    ("Image/JPEG; charset=x", "image/jpeg", "inline"),
    ("audio/mpeg", "audio/mpeg", "inline"),
    ("application/pdf", "application/pdf", "inline"),
    ("text/plain", "text/plain; charset=utf-8", "inline"),
    ("text/csv", "text/plain; charset=utf-8", "inline"),
    ("application/json", "text/plain; charset=utf-8", "inline"),
    ("image/svg+xml", "image/svg+xml", "attachment"),
    ("text/html", "application/octet-stream", "attachment"),
    ("application/xhtml+xml", "application/octet-stream", "attachment"),
    ("text/xml", "application/octet-stream", "attachment"),
    ("text/javascript", "application/octet-stream", "attachment"),
    ("multipart/related", "application/octet-stream", "attachment"),
    ("text/html\r\nx-evil: 1", "application/octet-stream", "attachment"),
    (None, "application/octet-stream", "attachment"),
]


@pytest.mark.parametrize(("mime", "served", "disposition"), SHOWN)
async def test_nothing_runs_in_the_pages_origin(
    http: httpx.AsyncClient, mime: str | None, served: str, disposition: str
) -> None:
    """Only what cannot run is shown in place; nothing is guessed, and all but a PDF is locked into a sandbox."""
    answer = await signed(http, contentType=mime)
    await put(http, answer, b"<script>alert(1)</script>", "text/html")
    headers = (await http.get(answer["signedUrl"])).headers
    assert headers["content-type"] == served
    assert headers["content-disposition"].split(";")[0] == disposition
    assert headers["x-content-type-options"] == "nosniff"
    assert ("sandbox" in headers.get("content-security-policy", "")) is (mime != "application/pdf")


async def test_parts_for_players(http: httpx.AsyncClient) -> None:
    """A player of sound or film asks for parts of a file, and a page of another origin may."""
    url = await stored(http, bytes(range(100)), "audio/mpeg")
    part = await http.get(url, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-range"] == "bytes 10-19/100"
    assert part.headers["access-control-allow-origin"] == "*"
    assert (await http.get(url, headers={"range": "bytes=900-"})).status_code == 416
    assert (await http.head(url)).headers["content-length"] == "100"
    asked = await http.options(url.split("?")[0], headers={"access-control-request-headers": "range"})
    assert "range" in asked.headers["access-control-allow-headers"]


async def test_only_reading_is_open_to_other_origins(server: Starlette, http: httpx.AsyncClient) -> None:
    """The guard lets pages of other origins read files, and nothing else: no upload, no API, no other name."""
    url = await stored(http, b"x", "text/plain")
    answer = await signed(http)
    foreign = {"origin": "https://chat.example.com"}
    guarded = httpx.ASGITransport(Guard(server, open_to_read=(files.READ_PREFIX,)))
    async with httpx.AsyncClient(transport=guarded, base_url="http://localhost", headers=foreign) as page:
        assert (await page.get(url)).status_code == 200
        assert (await page.options(url)).status_code == 204
        assert (await page.post(answer["post"]["url"], files={"file": b"x"})).status_code == 403
        assert (await page.put(answer["post"]["url"], content=b"x")).status_code == 403
        assert (await page.get("/health")).status_code == 403
        assert (await page.get(f"{files.ROUTE}/../../../health")).status_code == 403
        assert (await page.get(url, headers={"host": "evil.example"})).status_code == 421


async def test_names_are_written_safely(http: httpx.AsyncClient, wire: Wire) -> None:
    """A name with any characters is only a name: it breaks out of no header."""
    answer = await signed(http, contentType="text/plain")
    await put(http, answer, b"x")
    name = 'ü"; filename="evil.html\r\nx: y\0\ud800'
    await wire.send(gql.CREATE_ATTACHMENT, {"name": name, "stepId": "s", "objectKey": answer["post"]["fields"]["key"]})
    headers = (await http.get(answer["signedUrl"])).headers
    assert headers["content-disposition"].startswith("inline; filename*=utf-8''%C3%BC%22%3B")
    assert "x" not in headers


@pytest.mark.parametrize("key", ["../../literal.db", "files/../../literal.db", "files/x", "/etc/passwd", "", "files/"])
async def test_keys_of_others_lead_nowhere(wire: Wire, key: str) -> None:
    """An object key that is none of ours is kept as it is, and makes no address."""
    made = await wire.send(gql.CREATE_ATTACHMENT, {"name": "n", "stepId": "s", "objectKey": key, "url": "https://x/a"})
    assert (made["url"], made["objectKey"]) == ("https://x/a", key)


async def test_files_go_with_their_attachments(http: httpx.AsyncClient, wire: Wire, server: Starlette) -> None:
    """A file is hidden while all its attachments are deleted, and forgotten only when none names it any more."""
    api = server.state.api
    answer = await signed(http, contentType="text/plain")
    await put(http, answer, b"x")
    key = answer["post"]["fields"]["key"]
    ids = [(await wire.send(gql.CREATE_ATTACHMENT, {"name": "n", "stepId": "s", "objectKey": key}))["id"]
           for _ in range(2)]  # fmt: skip
    await wire.send(gql.DELETE_ATTACHMENT, {"id": ids[0]})
    assert (await http.get(answer["signedUrl"])).status_code == 200
    await wire.send(gql.DELETE_ATTACHMENT, {"id": ids[1]})
    assert (await http.get(answer["signedUrl"])).status_code == 404

    async with api.database.writing() as session:
        assert await files.forget(session, api.project, [key, "files/none", "other"]) == []
        for identity in ids:
            row = await session.get(Attachment, (api.project, identity))
            await session.delete(row)
        await session.flush()
        forgotten = await files.forget(session, api.project, [key])
    api.files.remove(forgotten)
    assert not [path for path in api.files.folder.rglob("*") if path.is_file()]
    assert (await http.get(answer["signedUrl"])).status_code == 404


async def test_what_a_cut_off_upload_left_goes(server_settings: ServerSettings) -> None:
    """A draft that nobody has written to for a day is removed when the server starts; one of now stays."""
    folder = server_settings.files_dir / "ab"
    folder.mkdir(parents=True)
    old, new = folder / ".draft-old", folder / ".draft-new"
    for draft in (old, new):
        draft.write_bytes(b"half")
    os.utime(old, (0, 0))

    app = create_app(server_settings)
    async with app.router.lifespan_context(app):
        for _ in range(1_000):
            if not old.exists():
                break
            await asyncio.sleep(0.01)

    assert (old.exists(), new.exists()) == (False, True)


async def test_an_attachment_on_a_deleted_step_is_deleted(wire: Wire) -> None:
    """What arrives for a deleted step does not show."""
    await wire.report({"id": "s"})
    await wire.send(gql.DELETE_STEP, {"id": "s"})
    made = await wire.send(gql.CREATE_ATTACHMENT, {"name": "n", "stepId": "s", "url": "https://x/a"})
    assert await wire.send(gql.GET_ATTACHMENT, {"id": made["id"]}) is None
    body = await wire.post(gql.UPDATE_ATTACHMENT, {"id": made["id"], "name": "m"})
    assert "no attachment" in body["errors"][0]["message"]


async def test_the_secret_is_the_owners(server: Starlette) -> None:
    """What addresses are signed with lies in a file that only its owner can read."""
    secret = server.state.api.settings.data_dir / "file-secret"
    assert os.stat(secret).st_mode & 0o777 == 0o600
    assert server.state.api.files.secret == secret.read_text().strip().encode()


@pytest.mark.parametrize(
    ("public_url", "mounted_at", "host", "root", "target", "readable"),
    [
        (None, "", "127.0.0.1:3000", "", "http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        (None, "/literal", "127.0.0.1:8000", "/literal", "http://127.0.0.1:8000/literal",
         "http://127.0.0.1:8000/literal"),
        (None, "/literal", "literal.in-process", "", "http://literal.in-process", "/literal"),
        ("https://x.test/", "", "x.test", "", "https://x.test", "https://x.test"),
        ("https://x.test", "", "localhost:3000", "", "http://localhost:3000", "https://x.test"),
        ("https://x.test", "/literal", "literal.in-process", "", "http://literal.in-process", "https://x.test/literal"),
        ("https://x.test", "/literal", "x.test", "/literal", "https://x.test/literal", "https://x.test/literal"),
    ],
)  # fmt: skip
async def test_where_addresses_lead(
    server_settings: ServerSettings, public_url: str | None, mounted_at: str, host: str, root: str, target: str,
    readable: str,
) -> None:  # fmt: skip
    """An upload goes where the client called; what browsers read is public, or of the page, or where it was called."""
    settings = server_settings.model_copy(update={"public_url": public_url, "mounted_at": mounted_at})
    server = create_app(settings)
    async with server.router.lifespan_context(server):
        transport = httpx.ASGITransport(server, root_path=root)
        async with httpx.AsyncClient(
            transport=transport, base_url=f"http://{host}", headers={"x-api-key": KEY}
        ) as http:
            answer = await signed(http)
    assert answer["post"]["url"].split("/api/")[0] == target
    assert answer["signedUrl"].split("/api/")[0] == readable
