"""What is done with threads that were selected in a list: deleted, restored, or taken out as lines to import."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from literal_server import clock, deletions, json_text, projects, thread_list, threads
from literal_server.dashboard import forms
from literal_server.dashboard.pages import HEADERS, PAGE_SIZE, behind_door, error_page, owner_of, project_of, root_of
from literal_server.errors import NotFound, Refused
from literal_server.exchange.export import Selection, export

# A page of ids, of which a character takes at most twelve bytes on the way.
_LONGEST_FORM = 1024 * 1024

Work = Callable[[Request, Sequence[str], str], Awaitable[Response]]


def routes() -> list[Route]:
    """The routes, to stand before those of the threads."""
    return [Route("/projects/{project}/logs/selection", behind_door(_take), methods=["POST"])]


async def _take(request: Request) -> Response:
    given = await forms.pairs(request, _LONGEST_FORM, PAGE_SIZE + 10)
    selected = [value for name, value in given if name == "thread"]
    work = _WORK.get(dict(given).get("do", ""))
    if work is None:
        raise Refused(f"Selected threads can be taken to {', '.join(_WORK)}.")
    if not selected:
        raise Refused("No thread is selected: check the boxes in front of those that are meant, then choose again.")
    return await work(request, selected, dict(given).get("back", ""))


async def _delete(request: Request, selected: Sequence[str], back: str) -> Response:
    async with request.app.state.api.database.writing() as session:
        found = await thread_list.own(session, _wanted(request), selected)
        for identity in found:
            await threads.delete(session, project_of(request), identity, by=request.state.visitor.name)
    kept = f"{back}&" if back else ""
    return RedirectResponse(f"{_logs(request)}/threads?{kept}deleted={len(found)}", 303)


async def _restore(request: Request, selected: Sequence[str], _back: str) -> Response:
    if owner_of(request) is not None:
        return await error_page(request, 403)
    refused: list[str] = []
    async with request.app.state.api.database.writing() as session:
        for identity in selected:
            try:
                await deletions.restore(session, project_of(request), "thread", identity)
            except (NotFound, Refused) as error:  # the others come back all the same
                refused.append(str(error))
    if refused:
        raise Refused(f"{len(selected) - len(refused)} were restored. {' '.join(refused[:5])}")
    return RedirectResponse(f"{_logs(request)}/deleted?restored={len(selected)}", 303)


async def _export(request: Request, selected: Sequence[str], _back: str) -> Response:
    api = request.app.state.api
    async with api.database.reading() as session:
        found = await thread_list.own(session, _wanted(request), selected)
        project = next(one for one in await projects.all_projects(session) if one.id == project_of(request))
    wanted = Selection(project, api.files, [{"field": "id", "operator": "in", "value": found}])

    async def lines() -> AsyncIterator[bytes]:
        async with aclosing(export(api.database, wanted)) as told:  # type: ignore[type-var] # it is a generator
            async for line in told:
                yield json_text.dumps(line).encode() + b"\n"

    headers = HEADERS | {"content-disposition": 'attachment; filename="threads.jsonl"'}
    return StreamingResponse(lines(), media_type="application/jsonl", headers=headers)


_WORK: dict[str, Work] = {"delete": _delete, "restore": _restore, "export": _export}


def _wanted(request: Request) -> thread_list.Wanted:
    return thread_list.Wanted(project_of(request), "", owner_of(request), clock.now())


def _logs(request: Request) -> str:
    return f"{root_of(request)}/projects/{quote(project_of(request), safe='')}/logs"
