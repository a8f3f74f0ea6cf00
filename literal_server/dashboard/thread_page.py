"""The page of one thread in its readings, and the later parts of a long one, which are read as they are needed."""

from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from literal_server import clock, files, steps, threads
from literal_server.dashboard import player, sides, timeline, views, windows
from literal_server.dashboard.pages import (
    ASKING_POLICY,
    READINGS,
    behind_door,
    error_page,
    owner_of,
    project_of,
    render,
    root_of,
)
from literal_server.dashboard.views import ThreadPage
from literal_server.errors import Refused


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which thread is asked for, whose it has to be (None: anybody's), and the addresses of what belongs to it.

    Where there is no address for `files`, they are read at the lasting ones that are their own.
    """

    project: str
    thread_id: str
    owner: str | None
    payloads: str
    parts: str
    files: str = ""


def routes() -> list[Route]:
    """The routes, the last of which takes every id."""
    return [
        Route("/projects/{project}/logs/parts/{thread:path}", behind_door(_part), methods=["GET"]),
        Route("/projects/{project}/logs/threads/{thread:path}", behind_door(_thread), methods=["GET"]),
    ]


async def _thread(request: Request) -> Response:
    wanted = _wanted(request)
    api, now = request.app.state.api, clock.now()
    revision = api.changes.revision((wanted.project, wanted.thread_id))
    shown = await read(request, wanted, now)
    if shown is None:
        return await error_page(request, 404, "There is no such thread in this project. It may have been deleted.")
    line, template, visitor = shown["page"].line, api.settings.chat_url, request.state.visitor
    # Inside the chat's app a visitor has the chat's own name; there somebody else's thread cannot be opened.
    opens = not api.settings.mounted_at or visitor.name == line.user
    shown |= {
        "chat_url": template.replace("{thread_id}", quote(line.thread.id, safe="")) if template and opens else None,
        "may_review": wanted.owner is None,
        "revision": revision if threads.is_fresh(line.thread, now) else None,
        "is_shared": False,
    }
    return render(request, "thread.html", shown, policy=ASKING_POLICY)


async def _part(request: Request) -> Response:
    shown = await read_part(request, _wanted(request))
    if shown is None:
        return await error_page(request, 404)
    return render(request, "part.html", shown | {"may_review": owner_of(request) is None})


def _wanted(request: Request) -> Wanted:
    project, thread_id = project_of(request), request.path_params["thread"]
    logs = f"{root_of(request)}/projects/{quote(project, safe='')}/logs"
    parts = f"{logs}/parts/{quote(thread_id, safe='')}"
    return Wanted(project, thread_id, owner_of(request), f"{logs}/payloads", parts)


async def read(request: Request, wanted: Wanted, now: int) -> dict[str, Any] | None:
    """Answer what the template of a thread shows in the reading that is asked for, None when there is no thread.

    Raises Refused for a reading that there is not.
    """
    reading = request.query_params.get("view", "transcript")
    if reading not in READINGS:
        raise Refused(f"A thread can be read as {', '.join(READINGS)}.")
    current = request.query_params.get("currentStepId")
    async with request.app.state.api.database.reading() as session:
        page = await _outline(request, session, wanted, current, now)
        if page is None:
            return None
        moment = request.query_params.get("t")
        parts = await _reading(session, reading, page, now if page.line.is_live else None, moment)
    shared: dict[str, Any] = {"page": page, "reading": reading, "readings": READINGS, "now": now}
    return shared | {"payloads": wanted.payloads, "parts": wanted.parts} | parts


async def read_part(request: Request, wanted: Wanted) -> dict[str, Any] | None:
    """Answer what the template of a part shows: so many neighbours from a step on; None when they are not there.

    Of the timeline and of the list beside the JSON a part holds rows instead, of the player a scene. Asked for what is
    `inside`, it is what the first of them was given and what came of it.
    """
    reading = request.query_params.get("view", "transcript")
    first, count = request.query_params.get("from", ""), request.query_params.get("count", "")
    now = clock.now()
    async with request.app.state.api.database.reading() as session:
        page = await _outline(request, session, wanted, None, now)
        if page is None:
            return None
        until = now if page.line.is_live else None
        shown: dict[str, Any] = {"page": page, "payloads": wanted.payloads, "parts": wanted.parts, "inside": False}
        if reading == "player":
            scene = player.record(page.roots, until).scene_with(first)
            await views.load(session, wanted.project, scene.needed if scene else [])
            return shown | {"scene": scene, "reading": reading} if scene else None
        if not count.isdecimal() or len(count) > 6:
            return None
        if reading in ("timeline", "raw"):
            drawn = timeline.lay_out(page.roots, until)
            rows = drawn.part(first, int(count))
            return None if rows is None else shown | {"timeline": drawn, "rows": rows, "reading": reading}
        window = windows.part(windows.siblings_of(page.roots, first), first, int(count))
        if window is None:
            return None
        await views.load(session, wanted.project, window.shown)
    return shown | {"window": window, "reading": "transcript", "inside": "inside" in request.query_params}


async def _outline(
    request: Request, session: AsyncSession, wanted: Wanted, current: str | None, now: int
) -> ThreadPage | None:
    link = partial(request.app.state.api.files.read_address, root_of(request), wanted.project)
    if wanted.files:
        link = partial(_below, wanted.files)
    return await views.read_thread(
        session, wanted.project, wanted.thread_id, current, now, link=link, owner=wanted.owner
    )


def _below(home: str, key: str | None) -> str | None:
    identity = files.identity_of(key)
    return f"{home}/{identity}" if identity else None


async def _reading(
    session: AsyncSession, reading: str, page: ThreadPage, until: int | None, moment: str | None
) -> dict[str, Any]:
    """Load what a reading shows, and arrange it; `moment` is where to begin to play."""
    project, roots = page.line.thread.project_id, page.roots
    if reading == "transcript":
        window = windows.around_wanted(roots)
        await views.load(session, project, window.shown)
        return {"window": window}
    await views.load(session, project, [page.current])
    if reading == "sides":
        calls = await steps.with_generation(session, project, page.line.thread.id)
        turn = sides.outline(roots, page.current, calls)
        await views.load(session, project, turn.needed if turn else [])
        return {"turn": sides.compare(turn) if turn else None}
    if reading == "player":
        recording = player.record(roots, until)
        at = recording.moment(moment, page.current)
        scene = recording.scene_at(at)
        await views.load(session, project, scene.needed if scene else [])
        return {"recording": recording, "opens_at": at, "scene": scene}
    drawn = timeline.lay_out(roots, until)
    return {"timeline": drawn, "rows": drawn.around_wanted()}
