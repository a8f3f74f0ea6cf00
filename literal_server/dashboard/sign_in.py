"""The page where people sign in to a server that runs alone, and the way out."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from literal_server.dashboard import forms
from literal_server.dashboard.pages import error_page, render, root_of
from literal_server.guard import is_from_own_page
from literal_server.sign_in import COOKIE, SESSION_SECONDS, WAIT_SECONDS, SignIn, TooManyAttempts

_LONGEST_FORM = 16 * 1024


def routes() -> list[Route]:
    """The routes, which are there for a server with a sign-in of its own."""
    return [
        Route("/sign-in", _form, methods=["GET"]),
        Route("/sign-in", _open, methods=["POST"]),
        Route("/sign-out", _close, methods=["POST"]),
    ]


async def _form(request: Request) -> Response:
    door, wanted = _door(request), request.query_params.get("next", "")
    if await door(request) is not None:
        return _go(request, wanted)
    return _page(request, wanted)


async def _open(request: Request) -> Response:
    door = _door(request)
    if not _is_own(request):
        return await error_page(request, 403, "The form was not sent by a page of this server.")
    form = await forms.fields(request, _LONGEST_FORM)
    wanted, name = form.get("next", ""), form.get("name", "")
    peer = request.client.host if request.client else ""
    try:
        token = await door.open(request.app.state.api.database, name, form.get("password", ""), peer)
    except TooManyAttempts:
        sentence = "That was tried too often. Wait five minutes, then sign in again."
        response = _page(request, wanted, 429, name=name, mistake=sentence)
        response.headers["retry-after"] = str(WAIT_SECONDS)
        return response
    if token is None:
        return _page(request, wanted, 401, name=name, mistake="The name or the password is not right.")
    response = _go(request, wanted)
    public = request.app.state.api.settings.public_url or ""
    response.set_cookie(
        COOKIE, token, max_age=SESSION_SECONDS, httponly=True, samesite="lax", secure=public.startswith("https:")
    )
    return response


async def _close(request: Request) -> Response:
    door = _door(request)
    if not _is_own(request):
        return await error_page(request, 403, "The form was not sent by a page of this server.")
    if token := request.cookies.get(COOKIE):
        await door.close(request.app.state.api.database, token)
    response = RedirectResponse(door.sign_in, 303, {"cache-control": "no-store"})
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return response


def _door(request: Request) -> SignIn:
    door = request.app.state.authenticate
    if not isinstance(door, SignIn):
        raise HTTPException(404)
    return door


def _is_own(request: Request) -> bool:
    return is_from_own_page(request.scope, request.app.state.api.settings.public_url)


def _page(request: Request, wanted: str, status: int = 200, **shown: Any) -> Response:
    return render(request, "sign_in.html", {"wanted": wanted, "name": "", "mistake": None} | shown, status)


def _go(request: Request, wanted: str) -> Response:
    """Send the browser where it wanted to go, on this server only: //elsewhere is another one's address."""
    own = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted and wanted.isprintable()
    return RedirectResponse(wanted if own else f"{root_of(request)}/", 303, {"cache-control": "no-store"})
