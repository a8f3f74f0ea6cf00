"""The HTTP side of the wire: GraphQL over POST, the project of a key, a dataset as a whole, the state of a thread."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from literal_server import certificates, clock, datasets, json_text, threads
from literal_server.changes import Changes
from literal_server.db import Database
from literal_server.files import FileStore
from literal_server.graphql import collection_shapes
from literal_server.graphql.service import UNEXPECTED, Caller, GraphService, refusal
from literal_server.keys import KeyRing
from literal_server.settings import ServerSettings

_LONGEST_HEADER_VALUE = 64


@dataclass(frozen=True)
class Api:
    """What the handlers need: made when the server starts, kept on the application's state as `api`."""

    database: Database
    graph: GraphService
    keys: KeyRing
    settings: ServerSettings
    files: FileStore
    project: str
    changes: Changes


class JsonResponse(Response):
    """An answer in JSON that takes any text that was stored."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Write the content."""
        return json_text.dumps(content).encode()


class _Unreadable(Exception):  # noqa: N818 - carries an answer
    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.response = JsonResponse(refusal(sentence), status)


@dataclass(frozen=True)
class Call:
    """A request with a key: what the server has, the key's project, and the JSON object in the body."""

    request: Request
    api: Api
    project: str
    body: Mapping[str, Any]


def with_key(work: Callable[[Call], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Make a handler that lets in whoever has a key and sends a JSON object."""

    @wraps(work)
    async def handle(request: Request) -> Response:
        api: Api = request.app.state.api
        project = api.keys.project_of(request.headers.get("x-api-key"))
        if project is None:
            return unauthorized()
        request.state.project = project
        try:
            body = await _json_object(request, api.settings)
        except _Unreadable as unreadable:
            return unreadable.response
        return await work(Call(request, api, project, body))

    return handle


@with_key
async def graphql(call: Call) -> Response:
    """`POST /api/graphql`: execute `{"query", "variables"}` for the project of the key."""
    request, body = call.request, call.body
    text, variables = body.get("query"), body.get("variables")
    if not isinstance(text, str) or not isinstance(variables, dict | None):
        return JsonResponse(refusal('The body is {"query": text, "variables": object}.'), 400)
    # Ids and names are compared as well as stored: they lose here what the database could not hold.
    variables = {
        name: json_text.encodable(value) if isinstance(value, str) else value
        for name, value in (variables or {}).items()
    }
    base = link_base(request, call.api.settings)
    caller = Caller(call.project, base, header(request, "x-env"), header(request, "x-client-name"))
    answer = await call.api.graph.answer(text, variables, caller)
    # A fault of ours is no refusal: the status tells a client that the same request may fare better later.
    failed = any(error["message"] == UNEXPECTED for error in answer.get("errors") or ())
    return JsonResponse(answer, 500 if failed else 200)


async def my_project(request: Request) -> Response:
    """`POST /api/my-project`: the id of the key's project, which is its part of page addresses."""
    api: Api = request.app.state.api
    project = api.keys.project_of(request.headers.get("x-api-key"))
    return unauthorized() if project is None else JsonResponse({"projectId": project})


@with_key
async def export_dataset(call: Call) -> Response:
    """`POST /api/export/dataset`: the dataset with this id or name and its items, null when there is none."""
    identity, name = call.body.get("id"), call.body.get("name")
    if not isinstance(identity, str | None) or not isinstance(name, str | None) or (identity or name) is None:
        return JsonResponse(refusal('The body is {"id": text} or {"name": text}.'), 400)
    async with call.api.database.reading() as session:
        found = await datasets.find(session, call.project, identity=identity, name=name)
        items = await datasets.items_of(session, call.project, found.id) if found else []
    return JsonResponse({"data": collection_shapes.exported_dataset(found, items) if found else None})


@with_key
async def thread_state(call: Call) -> Response:
    """`POST /api/verbatim/thread-state`: whether the thread `{"threadId"}` is `living`, `deleted` or `unknown`.

    The wire answers null for the latter two; who goes on with a thread must know which, as a deleted one takes no more.
    """
    thread_id = call.body.get("threadId")
    if not isinstance(thread_id, str):
        return JsonResponse(refusal('The body is {"threadId": text}.'), 400)
    async with call.api.database.reading() as session:
        state = await threads.state(session, call.project, json_text.encodable(thread_id))
    return JsonResponse({"state": state})


async def thread_certificate(request: Request) -> Response:
    """`GET /api/verbatim/threads/{id}/certificate`: whether all that was put in a thread has arrived, and what not."""
    api: Api = request.app.state.api
    project = api.keys.project_of(request.headers.get("x-api-key"))
    if project is None:
        return unauthorized()
    identity = json_text.encodable(request.path_params["thread"])
    async with api.database.reading() as session:
        thread = await threads.find(session, project, identity)
        if thread is None:
            return JsonResponse(refusal("There is no such thread in the project of this key."), 404)
        steps = await certificates.steps_of(session, project, identity)
        found = certificates.of_thread(thread, steps, clock.now())
    return JsonResponse(certificates.as_json(identity, found))


def unauthorized() -> Response:
    """The answer to a missing or wrong key."""
    return JsonResponse(refusal("The API key in the header x-api-key is missing or wrong."), 401)


def link_base(request: Request, settings: ServerSettings) -> str:
    """Answer what links for browsers begin with: PUBLIC_URL, else the address that was called.

    A call from inside the process has no address that a browser knows: its links lead from the root of the page.
    """
    root = _root(request)
    if settings.public_url:
        return settings.public_url.rstrip("/") + (root or settings.mounted_at)
    return settings.mounted_at if root != settings.mounted_at else called_address(request, settings)


def called_address(request: Request, settings: ServerSettings) -> str:
    """Answer the address that the caller reached this server under; by its public name, with the public scheme."""
    public = urlsplit(settings.public_url or "")
    scheme = public.scheme if public.netloc and public.netloc == request.url.netloc else request.url.scheme
    return f"{scheme}://{request.url.netloc}{_root(request)}"


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def header(request: Request, name: str) -> str | None:
    """Answer a header, cut to a sensible length; an empty one counts as none."""
    value = request.headers.get(name)
    return value[:_LONGEST_HEADER_VALUE] if value else None


async def _json_object(request: Request, settings: ServerSettings) -> dict[str, Any]:
    raw = await _body(request, settings.max_body_bytes)
    try:
        body = json_text.loads(raw)
    except ValueError:  # UnicodeDecodeError is one too
        raise _Unreadable(400, "The body is not JSON.") from None
    except RecursionError:
        body = None
    if body is None or json_text.is_nested_deeper(body, settings.max_nesting):
        raise _Unreadable(400, f"The body is empty or nested more than {settings.max_nesting} levels deep.")
    if not isinstance(body, dict):
        raise _Unreadable(400, "The body is one JSON object.")
    return body


async def _body(request: Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _Unreadable(413, f"The body is larger than {limit} bytes.")
            chunks.append(chunk)
    except ClientDisconnect:
        raise _Unreadable(400, "The client went away before the body was read.") from None
    return b"".join(chunks)


def routes() -> list[Route]:
    """The routes of the wire; one SDK puts a second slash in front when its address ends in one."""
    posts = [("/api/graphql", graphql), ("/api/my-project", my_project), ("/api/export/dataset", export_dataset)]
    posts.append(("/api/verbatim/thread-state", thread_state))
    certificate = Route("/api/verbatim/threads/{thread:path}/certificate", thread_certificate)
    return [
        certificate,
        *(Route(slash + path, handler, methods=["POST"]) for slash in ("", "/") for path, handler in posts),
    ]
