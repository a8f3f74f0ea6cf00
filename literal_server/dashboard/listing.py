"""The list of threads: found by words and conditions, sorted by any column, a page at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from literal_server import clock, completions, thread_list
from literal_server.dashboard import views
from literal_server.dashboard.pages import (
    ASKING_POLICY,
    HEADERS,
    PAGE_SIZE,
    READINGS,
    behind_door,
    owner_of,
    project_of,
    render,
    root_of,
)
from literal_server.errors import TookTooLong
from literal_server.paging import PageRequest
from literal_server.query_language import QueryError
from literal_server.search import MOST_DOCUMENTS
from literal_server.slow_queries import TooSlow, too_slow

NEWEST = "-activity"
PATIENCE_SECONDS = 5.0
"""How long a list may take: what needs longer is stopped, and the page says what made it slow."""

VIEWS = {
    "All": "",
    "Errors": "errors",
    "Thumbs down": 'score["user-feedback"] < 1',
    "Unreviewed": "not reviewed",
    "Running": "live",
    "Last 24 hours": "active > -24h",
}
EXAMPLES = {
    "refund Paris": "both words in one message or step, from their beginnings: refunds is found too",
    '"San Francisco" and not "Paris"': "in quotes just as it is written; with and, or, not anywhere in the thread",
    "refund errors > 0": "words and conditions together",
    "errors > 0 and tokens > 20000": "something failed, and it was long",
    'tool = "get_current_weather" and tool.error': "this tool failed: both are said of one and the same step",
    "cost > 0.05 or not cost": "dollars, where prices are known; the second finds those that are not, or cost nothing",
    "tool.duration > 5s": "a tool took longer; ms, s, m, h, d and w are known",
    'model ~ "gpt" and not live': "a model whose name holds this answered, and all is over",
    'score["user-feedback"] < 1 or score.comment ~ "wrong"': "somebody was not content",
    "user = ada@example.org and active > -7d": "one person's conversations of the last week",
    'tag in (paid, "first time") and created < 2026-02-01': "by tags, from before a day",
    'metadata.release != "1.2" and turns > 3': "by what the client recorded with it",
    'step.output ~ "refund"': "any step that gave this back",
}
"""What the help below the filter shows; a test asks the server each of them."""


# The columns that the list can be sorted by, with the order that their first click gives.
COLUMNS = {
    "name": ("Thread", "name"),
    "user": ("User", "user"),
    "turns": ("Turns", "-turns"),
    "tokens": ("Tokens", "-tokens"),
    "cost": ("Cost", "-cost"),
    "duration": ("Duration", "-duration"),
    "errors": ("Errors", "-errors"),
    "activity": ("Last activity", NEWEST),
}


@dataclass(frozen=True)
class Heading:
    """The head of a column: its link sorts by it, a second time the other way round."""

    title: str
    link: str
    direction: str | None
    is_number: bool


def routes() -> list[Route]:
    """The routes of the list, to stand before those of the threads."""
    return [
        Route("/projects/{project}/logs/threads", behind_door(_threads), methods=["GET"]),
        Route("/projects/{project}/logs/thread-counts", behind_door(_counts), methods=["GET"]),
        Route("/projects/{project}/logs/neighbour", behind_door(_neighbour), methods=["GET"]),
        Route("/projects/{project}/logs/completions", behind_door(_completions), methods=["GET"]),
    ]


async def _threads(request: Request) -> Response:
    api, follower = request.app.state.api, request.app.state.search
    after, before = request.query_params.get("after"), request.query_params.get("before")
    part = PageRequest(last=PAGE_SIZE, before=before) if before else PageRequest(first=PAGE_SIZE, after=after)
    query, sort = request.query_params.get("q", "").strip(), request.query_params.get("sort", NEWEST)
    wanted = thread_list.Wanted(project_of(request), query, owner_of(request), clock.now())
    shown = {
        "query": query,
        "views": views_of(request),
        "examples": EXAMPLES,
        "address": _address(request),
        "mistake": None,
        "lag": follower.lag,
        "waiting": follower.waiting,
        "most": MOST_DOCUMENTS,
        "deleted": request.query_params.get("deleted", "")[:4],
    }
    try:
        async with _in_time(request, query) as session:
            found = await thread_list.read(session, wanted, api.settings, part, sort)
            lines = await views.lines_of(session, wanted.project, found.page.rows, wanted.now)
            scores = await thread_list.scores_of(session, wanted.project, found.page.rows)
    except QueryError as mistake:
        status = 503 if isinstance(mistake, TooSlow) else 400
        return render(request, "threads.html", shown | {"page": None, "mistake": mistake}, status, ASKING_POLICY)
    shown |= {"page": found.page, "lines": lines, "found": found, "scores": scores}
    shown |= {"headings": headings(query, sort), "kept": _address_of(query, sort)}
    return render(request, "threads.html", shown, policy=ASKING_POLICY)


@asynccontextmanager
async def _in_time(request: Request, query: str) -> AsyncIterator[AsyncSession]:
    """A session to read a list in. Raises TooSlow for a query that takes too long."""
    try:
        async with request.app.state.api.database.reading(PATIENCE_SECONDS) as session:
            yield session
    except TookTooLong as error:
        raise too_slow(query, PATIENCE_SECONDS) from error


async def _counts(request: Request) -> Response:
    """Answer how many threads each view has: asked by the page when it is there, since that takes longer."""
    now = clock.now()
    told = {}
    asked = [*views_of(request).values(), request.query_params.get("q", "").strip()]
    for query in dict.fromkeys(asked):
        wanted = thread_list.Wanted(project_of(request), query, owner_of(request), now)
        with suppress(QueryError):  # of what makes no sense, or takes too long, the page itself has told
            async with _in_time(request, query) as session:
                number = await thread_list.count(session, wanted)
            told[query] = f"{thread_list.MOST_COUNTED:,}+" if number > thread_list.MOST_COUNTED else f"{number:,}"
    return JSONResponse(told, headers=HEADERS)


async def _neighbour(request: Request) -> Response:
    """Lead to the thread beside one in a list, and from its ends to the list itself."""
    api, given = request.app.state.api, request.query_params
    query, sort, thread = given.get("q", "").strip(), given.get("sort", NEWEST), given.get("thread", "")
    wanted = thread_list.Wanted(project_of(request), query, owner_of(request), clock.now())
    following = given.get("to") != "previous"
    async with _in_time(request, query) as session:
        found = await thread_list.neighbour(session, wanted, sort, thread, api.settings, following=following)
    home = f"{root_of(request)}/projects/{quote(wanted.project, safe='')}/logs/threads"
    view = {"view": given["view"]} if found is not None and given.get("view") in READINGS else {}
    kept = "&".join(filter(None, (_address_of(query, sort), urlencode(view))))
    place = "" if found is None else f"/{quote(found, safe='')}"
    return RedirectResponse(f"{home}{place}{'?' if kept else ''}{kept}", 303)


async def _completions(request: Request) -> Response:
    """Answer what a filter can be made of, for the page to offer while one types."""
    async with request.app.state.api.database.reading() as session:
        told = await completions.read(session, project_of(request), owner_of(request))
    return JSONResponse(told, headers=HEADERS)


def views_of(request: Request) -> dict[str, str]:
    """Return the filters of the views by their names; the visitor's own one among them."""
    name = request.state.visitor.name.replace("\\", "\\\\").replace('"', '\\"')
    return VIEWS | {"Reviewed by me": f'reviewer = "{name}"'}


def headings(query: str, sort: str) -> list[Heading]:
    """Return the heads of the columns in a list that is sorted like this."""
    made = []
    for column, (title, first) in COLUMNS.items():
        is_sorted = sort.removeprefix("-") == column
        turned = sort.removeprefix("-") if sort.startswith("-") else f"-{sort}"
        direction = ("descending" if sort.startswith("-") else "ascending") if is_sorted else None
        link = "?" + _address_of(query, turned if is_sorted else first)
        made.append(Heading(title, link, direction, column not in ("name", "user")))
    return made


def _address_of(query: str, sort: str) -> str:
    given = {"q": query} if query else {}
    return urlencode(given | ({} if sort == NEWEST else {"sort": sort}), quote_via=quote)


def _address(request: Request) -> str:
    public = request.app.state.api.settings.public_url
    own = f"{request.url.scheme}://{request.url.netloc}"
    return (public.rstrip("/") if public else own) + root_of(request)
