"""Links to one thread: made and revoked by reviewers, and the page that whoever has such a link sees.

It shows the thread in its readings and nothing else: no review, no way to other threads, no news while it runs. The
page tells search engines and other sites nothing, and the log of requests does not hold the token.
"""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from literal_server import clock, files, payloads, shares, steps
from literal_server.dashboard import forms, thread_page, views
from literal_server.dashboard.pages import (
    ASKING_POLICY,
    HEADERS,
    behind_door,
    error_page,
    owner_of,
    project_of,
    render,
    root_of,
)
from literal_server.dashboard.thread_page import Wanted
from literal_server.errors import Refused
from literal_server.rest_files import stored_file
from literal_server.review_tables import Share

_LONGEST_FORM = 4_096
_ALONE = {"referrer-policy": "no-referrer", "x-robots-tag": "noindex, nofollow"}


def routes() -> list[Route]:
    """The routes, to stand before those of the threads."""
    return [
        Route("/projects/{project}/logs/shares/{thread:path}", behind_door(_change), methods=["POST"]),
        Route("/shared/{token}", _shared, methods=["GET"]),
        Route("/shared/{token}/parts", _shared_part, methods=["GET"]),
        Route("/shared/{token}/payloads", _shared_payload, methods=["GET"]),
        Route("/shared/{token}/files/{id}", _shared_file, methods=["GET"]),
    ]


async def _change(request: Request) -> Response:
    if owner_of(request) is not None:
        return await error_page(request, 403, "Links are for reviewers and admins to give.")
    form, thread_id, project = (
        await forms.fields(request, _LONGEST_FORM),
        request.path_params["thread"],
        project_of(request),
    )
    database = request.app.state.api.database
    back = f"{root_of(request)}/projects/{quote(project, safe='')}/logs/threads/{quote(thread_id, safe='')}#share"
    async with database.writing() as session:
        if form.get("do") == "revoke":
            await shares.revoke(session, project, thread_id, form.get("id", ""))
            return RedirectResponse(back, 303)
        days = form.get("days", "")
        if not days.isdecimal():
            raise Refused("A link lasts a whole number of days.")
        token = await shares.create(session, project, thread_id, request.state.visitor.name, int(days[:9]))
    api = request.app.state.api
    public = api.settings.public_url
    own = (public or f"{request.url.scheme}://{request.url.netloc}").rstrip("/")
    return render(
        request, "share_made.html", {"link": f"{own}{root_of(request)}/shared/{token}", "days": int(days), "back": back}
    )


async def _shared(request: Request) -> Response:
    wanted = await _wanted(request)
    if isinstance(wanted, Response):
        return wanted
    try:
        shown = await thread_page.read(request, wanted, clock.now())
    except Refused as refused:
        return _alone(await error_page(request, 400, str(refused)))
    if shown is None:
        return _alone(await error_page(request, 404, "The thread of this link was deleted."))
    shown |= {"page": views.without_reviews(shown["page"])}
    shown |= {"chat_url": None, "may_review": False, "revision": None, "is_shared": True}
    return _alone(render(request, "thread.html", shown, policy=ASKING_POLICY))


async def _shared_part(request: Request) -> Response:
    wanted = await _wanted(request)
    if isinstance(wanted, Response):
        return wanted
    shown = await thread_page.read_part(request, wanted)
    if shown is None:
        return _alone(await error_page(request, 404))
    shown |= {"page": views.without_reviews(shown["page"]), "may_review": False}
    return _alone(render(request, "part.html", shown))


async def _shared_payload(request: Request) -> Response:
    wanted = await _wanted(request)
    if isinstance(wanted, Response):
        return wanted
    async with request.app.state.api.database.reading() as session:
        found = await steps.find_row(session, wanted.project, request.query_params.get("step", ""))
        is_its = found is not None and found.thread_id == wanted.thread_id
        name = request.query_params.get("name", "")
        content = await payloads.value_of(session, found, name) if found is not None and is_its else None
    if content is None:
        return _alone(await error_page(request, 404))
    headers = HEADERS | {"content-disposition": 'attachment; filename="value.json"'}
    return _alone(Response(content, media_type="application/json", headers=headers))


async def _shared_file(request: Request) -> Response:
    """Hand out a file of the thread for as long as its link is open; nothing of it is to stay in the browser."""
    wanted, identity, api = await _wanted(request), request.path_params["id"], request.app.state.api
    if isinstance(wanted, Response):
        return wanted
    async with api.database.reading() as session:
        is_its = await files.is_of_thread(session, wanted.project, identity, wanted.thread_id)
    if not is_its:
        return _alone(await error_page(request, 404))
    response = await stored_file(api, wanted.project, identity)
    response.headers["cache-control"] = "no-store"
    return _alone(response)


async def _wanted(request: Request) -> Wanted | Response:
    """Answer the thread of a link, or the page that says why it shows none."""
    token, now = request.path_params["token"], clock.now()
    async with request.app.state.api.database.reading() as session:
        share: Share | None = await shares.find(session, token)
    if share is None:
        return _alone(await error_page(request, 404, "There is no such link. Perhaps a part of it is missing."))
    if not shares.is_open(share, now):
        why = "was revoked" if share.revoked_at is not None else "has expired"
        return _alone(
            await error_page(request, 410, f"This link {why}. Ask the person who gave it to you for another.")
        )
    home = f"{root_of(request)}/shared/{quote(token, safe='')}"
    return Wanted(share.project_id, share.thread_id, None, f"{home}/payloads", f"{home}/parts", f"{home}/files")


def _alone(response: Response) -> Response:
    response.headers.update(_ALONE)
    return response
