"""A thread to take along: as Markdown, as lines that `import` takes, as the messages of the OpenAI API."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from literal_server import json_text, steps, threads
from literal_server.dashboard import views
from literal_server.dashboard.pages import HEADERS, behind_door, error_page, owner_of, project_of
from literal_server.errors import Refused
from literal_server.exchange.export import Selection, export
from literal_server.exchange.markdown import markdown_of
from literal_server.exchange.messages import export_messages
from literal_server.tables import Project, Thread

_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def routes() -> list[Route]:
    """The routes, to stand before those of the threads."""
    return [Route("/projects/{project}/logs/exports/{thread:path}", behind_door(_download), methods=["GET"])]


async def _download(request: Request) -> Response:
    kind = request.query_params.get("format", "")
    if kind not in _KINDS:
        raise Refused(f"A thread can be taken along as {', '.join(_KINDS)}.")
    project = project_of(request)
    async with request.app.state.api.database.reading() as session:
        thread = await views.find_thread(session, project, request.path_params["thread"], owner_of(request))
    if thread is None:
        return await error_page(request, 404)
    write, media_type, ending = _KINDS[kind]
    name = (_ODD.sub("-", thread.name or thread.id).strip("-.") or "thread")[:80]
    headers = HEADERS | {"content-disposition": f'attachment; filename="{name}.{ending}"'}
    return StreamingResponse(await write(request, thread), media_type=media_type, headers=headers)


async def _lines(request: Request, thread: Thread) -> AsyncIterator[str]:
    api = request.app.state.api
    selection = await _selection(request, thread)

    async def told() -> AsyncIterator[str]:
        async with aclosing(export(api.database, selection)) as lines:  # type: ignore[type-var] # it is a generator
            async for line in lines:
                yield json_text.dumps(line) + "\n"

    return told()


async def _messages(request: Request, thread: Thread) -> AsyncIterator[str]:
    selection = await _selection(request, thread)

    async def told() -> AsyncIterator[str]:
        empty: dict[str, object] = {"messages": [], "thread_id": thread.id, "name": thread.name}
        found = [line async for line in export_messages(request.app.state.api.database, selection)]
        yield json_text.dumps(found[0] if found else empty) + "\n"

    return told()


async def _markdown(request: Request, thread: Thread) -> AsyncIterator[str]:
    project = thread.project_id
    async with request.app.state.api.database.reading() as session:
        found = (await steps.of_threads(session, project, [thread.id]))[thread.id]
        users = await threads.participants_of(session, project, [thread])
    user = next((one.identifier for one in users.values()), None)

    async def told() -> AsyncIterator[str]:
        for line in markdown_of(thread, user, found):
            yield json_text.encodable(line) + "\n"

    return told()


async def _selection(request: Request, thread: Thread) -> Selection:
    api = request.app.state.api
    async with api.database.reading() as session:
        project = await session.get_one(Project, thread.project_id)
    return Selection(project, api.files, [{"field": "id", "operator": "eq", "value": thread.id}])


Write = Callable[[Request, Thread], Awaitable[AsyncIterator[str]]]
_KINDS: dict[str, tuple[Write, str, str]] = {
    "markdown": (_markdown, "text/markdown; charset=utf-8", "md"),
    "lines": (_lines, "application/jsonl", "jsonl"),
    "messages": (_messages, "application/json", "messages.json"),
}
