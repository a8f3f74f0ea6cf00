"""The HTTP side of files: signing an upload, the target that takes it, and the address that browsers read."""

from collections.abc import AsyncGenerator
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast
from uuid import uuid4

from anyio import to_thread
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from literal_server import clock, files
from literal_server.errors import Refused
from literal_server.files import Ticket
from literal_server.graphql.service import refusal
from literal_server.rest import Api, Call, JsonResponse, called_address, link_base, with_key

# What a form says besides the file; a real client sends one short field.
_FORM_BYTES = 64 * 1024
_FORM_FIELDS = 50

_SHOWN = {*files.PICTURES, "application/pdf", "text/plain"}
_READABLE_TEXT = {"text/csv", "text/markdown", "text/tab-separated-values", "application/json"}
_VECTOR = "image/svg+xml"

_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "private, max-age=3600",
    # The address itself is the permission, so any page that knows it may show the file.
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "content-length, content-range, accept-ranges, content-disposition",
    "cross-origin-resource-policy": "cross-origin",
}
_LOCKED = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@with_key
async def sign_upload(call: Call) -> Response:
    """`POST /api/upload/file`: answer where to put a file and where it will be read."""
    store, settings = call.api.files, call.api.settings
    identity = str(uuid4())
    key = files.object_key(identity)
    mime = files.media_type(call.body.get("contentType"))
    until = clock.now() + files.UPLOAD_MICROSECONDS
    ticket = Ticket(call.project, identity, mime, until, settings.max_file_bytes)
    target = store.upload_address(called_address(call.request, settings), ticket)
    post = {"url": target, "fields": {"key": key}, "headers": {}, "uploadType": "multipart"}
    readable = store.read_address(link_base(call.request, settings), call.project, key)
    return JsonResponse({"post": post, "signedUrl": readable})


async def take_upload(request: Request) -> Response:
    """`POST` or `PUT` to a signed address: store the one file that it was made for; no key is asked for."""
    api: Api = request.app.state.api
    project, identity = request.path_params["project"], request.path_params["id"]
    try:
        ticket = api.files.read_ticket(project, identity, request.query_params, clock.now())
    except Refused as refused:
        return JsonResponse(refusal(str(refused)), 403)
    upload = await _file_of(request, ticket)
    try:
        size = await to_thread.run_sync(api.files.put, identity, upload.file)
        async with api.database.writing() as session:
            await files.record(session, ticket, size)
    except Refused as refused:
        return JsonResponse(refusal(str(refused)), 409)
    finally:
        await upload.close()
    return Response(status_code=204)


async def _file_of(request: Request, ticket: Ticket) -> UploadFile:
    """Read the body, a form with one file or the bare bytes, into a temporary file. Raises HTTPException."""
    is_form = request.method == "POST"
    stream = _limited(request, ticket.limit + (_FORM_BYTES if is_form else 0), ticket)
    try:
        upload = await (_of_form(request, stream) if is_form else _of_bytes(stream))
    except ClientDisconnect:
        raise HTTPException(400, "The client went away before the file was read") from None
    if upload.size is not None and upload.size > ticket.limit:
        await upload.close()
        raise _too_large(ticket)
    return upload


async def _limited(request: Request, room: int, ticket: Ticket) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        room -= len(chunk)
        if room < 0:
            raise _too_large(ticket)
        yield chunk


def _too_large(ticket: Ticket) -> HTTPException:
    return HTTPException(413, f"The file is larger than {ticket.limit} bytes (MAX_FILE_BYTES)")


async def _of_form(request: Request, stream: AsyncGenerator[bytes, None]) -> UploadFile:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, "The file comes as multipart/form-data")
    parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=_FORM_FIELDS, max_part_size=_FORM_BYTES)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from error
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        await form.close()
        raise HTTPException(400, "The form has no part named file")
    return upload


async def _of_bytes(stream: AsyncGenerator[bytes, None]) -> UploadFile:
    spool = SpooledTemporaryFile(max_size=MultiPartParser.spool_max_size)  # noqa: SIM115 - whoever reads it closes it
    upload = UploadFile(cast(BinaryIO, spool), size=0)
    try:
        async for chunk in stream:
            await upload.write(chunk)
    except BaseException:
        await upload.close()
        raise
    await upload.seek(0)
    return upload


async def read_file(request: Request) -> Response:
    """`GET` of a read address: the bytes, shown by the browser only where nothing in them can run."""
    api: Api = request.app.state.api
    project, identity = request.path_params["project"], request.path_params["id"]
    if not api.files.may_read(project, identity, request.query_params.get("signature", "")):
        raise HTTPException(403, "This address is not one that this server made")
    return await stored_file(api, project, identity)


async def stored_file(api: Api, project: str, identity: str) -> FileResponse:
    """Answer a file to somebody who may read it. Raises HTTPException when it is not there."""
    async with api.database.reading() as session:
        found = await files.find(session, project, identity)
    path = api.files.path(identity)
    if found is None or not await to_thread.run_sync(path.is_file):
        raise HTTPException(404, "There is no such file, or it was deleted")
    stored, name = found
    kind, shown = served_as(stored.mime)
    headers = _HEADERS if kind == "application/pdf" else _HEADERS | {"content-security-policy": _LOCKED}
    return FileResponse(
        path,
        media_type=kind,
        headers=headers,
        filename=name or identity,
        content_disposition_type="inline" if shown else "attachment",
    )


def served_as(mime: str) -> tuple[str, bool]:
    """Answer the media type under which a file leaves the server, and whether a browser may show it in place.

    What could run or imitate a page of ours (HTML, XML, scripts, and all that is unknown) is only handed out as bytes.
    A vector picture keeps its type, so that a page can embed it as an image, where it cannot run; opened by itself it
    is a download.
    """
    if mime in _READABLE_TEXT or mime == "text/plain":
        return "text/plain; charset=utf-8", True
    if mime in _SHOWN or mime.startswith(("audio/", "video/")):
        return mime, True
    return (mime, False) if mime == _VECTOR else (files.UNKNOWN_TYPE, False)


async def allow_reading(_request: Request) -> Response:
    """`OPTIONS` of a read address: pages of other origins may ask for parts of a file."""
    allowed = {"access-control-allow-methods": "GET, HEAD", "access-control-allow-headers": "range, if-range"}
    return Response(status_code=204, headers=_HEADERS | allowed | {"access-control-max-age": "86400"})


def routes() -> list[Route]:
    """The routes of files; one SDK puts a second slash in front when its address ends in one."""
    one = f"{files.ROUTE}/{{project}}/{{id}}"
    return [
        *(Route(slash + "/api/upload/file", sign_upload, methods=["POST"]) for slash in ("", "/")),
        Route(one, read_file, methods=["GET"]),
        Route(one, take_upload, methods=["POST", "PUT"]),
        Route(one, allow_reading, methods=["OPTIONS"]),
    ]
