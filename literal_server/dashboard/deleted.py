"""The page of deleted threads, with the way back for each, and the whole of what is too large for a page."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from literal_server import clock, deletions, payloads, purge, steps
from literal_server.dashboard import views
from literal_server.dashboard.pages import (
    HEADERS,
    PAGE_SIZE,
    behind_door,
    error_page,
    owner_of,
    project_of,
    render,
    root_of,
)
from literal_server.paging import Page, PageRequest


def routes() -> list[Route]:
    """The routes, to stand before those of the threads."""
    return [
        Route("/projects/{project}/logs/deleted", behind_door(_deleted), methods=["GET"]),
        Route("/projects/{project}/logs/deleted/{thread:path}", behind_door(_restore), methods=["POST"]),
        Route("/projects/{project}/logs/payloads", behind_door(_payload), methods=["GET"]),
    ]


async def _deleted(request: Request) -> Response:
    if owner_of(request) is not None:
        return await error_page(request, 403)
    api = request.app.state.api
    after, before = request.query_params.get("after"), request.query_params.get("before")
    wanted = PageRequest(last=PAGE_SIZE, before=before) if before else PageRequest(first=PAGE_SIZE, after=after)
    now, days = clock.now(), api.settings.purge_after_days
    async with api.database.reading() as session:
        found = await deletions.list_threads(session, project_of(request), api.settings, wanted)
        lines = await views.lines_of(session, project_of(request), found.rows, now)
    page = Page(lines, found.cursors, found.has_next, found.has_previous, found.total)
    ends = {row.id: (row.deleted_at or 0) + days * purge.DAY for row in found.rows}
    restored = request.query_params.get("restored", "")
    shown = {"page": page, "days": days, "ends": ends, "now": now, "restored": restored if restored.isdecimal() else ""}
    return render(request, "deleted.html", shown)


async def _restore(request: Request) -> Response:
    if owner_of(request) is not None:
        return await error_page(request, 403)
    api = request.app.state.api
    thread_id = request.path_params["thread"]
    async with api.database.writing() as session:
        await deletions.restore(session, project_of(request), "thread", thread_id)
    home = f"{root_of(request)}/projects/{quote(project_of(request), safe='')}/logs/threads"
    return RedirectResponse(f"{home}/{quote(thread_id, safe='')}", 303)


async def _payload(request: Request) -> Response:
    api, owner = request.app.state.api, owner_of(request)
    async with api.database.reading() as session:
        found = await steps.find_row(session, project_of(request), request.query_params.get("step", ""))
        thread_id = found.thread_id if found is not None else None
        if owner is not None and not await views.find_thread(session, project_of(request), thread_id or "", owner):
            found = None
        content = await payloads.value_of(session, found, request.query_params.get("name", "")) if found else None
    if content is None:
        return await error_page(request, 404)
    headers = HEADERS | {"content-disposition": 'attachment; filename="value.json"'}
    return Response(content, media_type="application/json", headers=headers)
