"""The pages' routes: a door in front of each, rendering, and the headers that keep what is shown from running."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from literal_server import clock, projects
from literal_server.auth import Authenticate, Visitor
from literal_server.dashboard import colours, text
from literal_server.errors import Refused
from literal_server.guard import is_from_own_page

HERE = Path(__file__).parent
PAGE_SIZE = 50

READINGS = {
    "transcript": "Transcript",
    "timeline": "Timeline",
    "sides": "User saw | model saw",
    "player": "Player",
    "raw": "Raw",
}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
ASKING_POLICY = f"{POLICY}; connect-src 'self'; media-src 'self'; frame-src 'self'"
"""The page of a thread asks for news of it, the list for its counts."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}

_ERRORS = {
    400: ("This address makes no sense here", "Part of it is not what the page expects."),
    401: ("Sign in to read on", "These pages are for the people who run this server."),
    403: ("Not for you", "You may not see this page."),
    404: ("There is nothing here", "The address is wrong, or what it led to was deleted."),
    410: ("This link is closed", "It has expired or was revoked."),
    405: ("This address takes no such request", "It can only be read."),
    500: ("Something broke on our side", "It is in the server's log."),
}

Page = Callable[[Request], Awaitable[Response]]

RecorderHealth = Callable[[], Mapping[str, Any] | None]
"""How the recording of an embedder fares: counts (`waiting`, `only_in_memory`, `retries`, `set_aside`, `refused`),
delays in milliseconds (`to_disk_ms`, `to_server_ms`, by `p50` and `p95`), and whether the `disk_fails`.
"""


def make_templates() -> Environment:
    """The templates, everything in them escaped, with the filters that write values for readers."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["LONGEST_JSON"] = colours.LONGEST_JSON
    reader = text.make_markdown()
    templates.filters |= {
        "markdown": lambda value: text.markdown(reader, value),
        "plain": text.plain,
        "calls": text.calls,
        "shortened": text.shortened,
        "is_cut": text.is_cut,
        "count": text.count,
        "seconds": text.seconds,
        "cost": text.thread_cost,
        "dollars": text.dollars,
        "moment": text.moment,
        "clock": text.clock_time,
        "iso": clock.format_time,
        "json_lines": text.json_lines,
        "colours": colours.json_in_colours,
        "part": lambda value: quote(value, safe=""),
    }
    return templates


def routes() -> list[BaseRoute]:
    """The routes of the pages and of their static files."""
    return [
        Route("/", behind_door(_home)),
        Route("/projects/{project}", behind_door(_home)),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]


async def error_page(request: Request, status: int, reason: str | None = None) -> Response:
    """Answer a page that says what went wrong, in the look of all the others."""
    title, advice = _ERRORS.get(status, _ERRORS[500 if status >= 500 else 400])
    return render(request, "error.html", {"status": status, "title": title, "advice": reason or advice}, status)


def behind_door(page: Page) -> Page:
    """Let only those to a page whom the embedder lets in, in projects that exist; forms only from our own pages."""

    async def opened(request: Request) -> Response:
        authenticate = request.app.state.authenticate
        visitor = await authenticate(request)
        if visitor is None:
            return await _turned_away(request, authenticate)
        request.state.visitor = visitor
        public = request.app.state.api.settings.public_url
        if request.method == "POST" and not is_from_own_page(request.scope, public):
            return await error_page(request, 403, "The form was not sent by a page of this server.")
        project = request.path_params.get("project") or request.app.state.api.project
        if not await _is_project(request, project):
            return await error_page(request, 404)
        request.state.project = project
        try:
            return await page(request)
        except Refused as refused:
            return await error_page(request, 400, str(refused))

    return opened


def project_of(request: Request) -> str:
    """Return the project that the address names, else the server's own."""
    return str(getattr(request.state, "project", request.app.state.api.project))


async def _is_project(request: Request, project: str) -> bool:
    api = request.app.state.api
    if project == api.project:
        return True
    async with api.database.reading() as session:
        return any(one.id == project for one in await projects.all_projects(session))


async def _turned_away(request: Request, authenticate: Authenticate) -> Response:
    """Answer somebody who is not signed in: with the way to where that is done, where there is one."""
    if sign_in := getattr(authenticate, "sign_in", None):
        root, path = root_of(request), request.url.path
        wanted = path if path.startswith(f"{root}/") else root + path
        wanted += f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{sign_in}?next={quote(wanted, safe='')}", 303, {"cache-control": "no-store"})
    return await error_page(request, 401)


def owner_of(request: Request) -> str | None:
    """Return whose threads alone the visitor may read, None for everybody's."""
    visitor: Visitor = request.state.visitor
    return None if visitor.sees_all else visitor.name


async def _home(request: Request) -> Response:
    return RedirectResponse(f"{root_of(request)}/projects/{quote(project_of(request), safe='')}/logs/threads", 307)


def render(
    request: Request, template: str, values: Mapping[str, Any], status: int = 200, policy: str = POLICY
) -> Response:
    """Answer a page made from a template."""
    api = getattr(request.app.state, "api", None)
    visitor, recorder = getattr(request.state, "visitor", None), request.app.state.recorder
    shared = {
        "root": root_of(request),
        "project": project_of(request) if api else "",
        "visitor": visitor,
        "walk": urlencode([(name, value) for name, value in request.query_params.items() if name in ("q", "sort")]),
        "recorder": recorder() if recorder and visitor and visitor.sees_all else None,
    }
    html = request.app.state.templates.get_template(template).render(**shared, **values)
    return HTMLResponse(html, status, HEADERS | {"content-security-policy": policy})


def root_of(request: Request) -> str:
    """Return the path that links begin with: where the application is mounted, or what a proxy takes off."""
    api = getattr(request.app.state, "api", None)
    return str(request.scope.get("root_path", "")).rstrip("/") or (api.settings.mounted_at.rstrip("/") if api else "")
