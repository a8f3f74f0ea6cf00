"""The list of threads: found by words and conditions, sorted by any column, a page at a time."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from literal_server import clock, thread_list
from literal_server.dashboard import views
from literal_server.dashboard.pages import PAGE_SIZE, behind_door, owner_of, project_of, render, root_of
from literal_server.paging import PageRequest
from literal_server.query_language import QueryError
from literal_server.search import MOST_DOCUMENTS

NEWEST = "-activity"
# As long as search is no more behind than this, the page does not speak of it.
_LAG_SECONDS = 5.0

VIEWS = {
    "All": "",
    "Errors": "errors",
    "Thumbs down": 'score["user-feedback"] < 1',
    "Running": "live",
    "Last 24 hours": "active > -24h",
}
EXAMPLES = {
    "refund Paris": "both words in one message or step, from their beginnings: refunds is found too",
    '"San Francisco" and not "Paris"': "in quotes just as it is written; with and, or, not anywhere in the thread",
    "refund errors > 0": "words and conditions together",
    "errors > 0 and tokens > 20000": "something failed, and it was long",
    'tool = "get_current_weather" and tool.error': "this tool failed: both are said of one and the same step",
    "tool.duration > 5s": "a tool took longer; ms, s, m, h, d and w are known",
    'model ~ "gpt" and not live': "a model whose name holds this answered, and all is over",
    'score["user-feedback"] < 1 or score.comment ~ "wrong"': "somebody was not content",
    "user = ada@example.org and active > -7d": "one person's conversations of the last week",
    'tag in (paid, "first time") and created < 2026-02-01': "by tags, from before a day",
    'metadata.release != "1.2" and turns > 3': "by what the client recorded with it",
    'step.output ~ "refund"': "any step that gave this back",
}
"""What the help below the filter shows; a test asks the server each of them."""


def routes() -> list[Route]:
    """The routes of the list, to stand before those of the threads."""
    return [Route("/projects/{project}/logs/threads", behind_door(_threads), methods=["GET"])]


async def _threads(request: Request) -> Response:
    api, follower = request.app.state.api, request.app.state.search
    after, before = request.query_params.get("after"), request.query_params.get("before")
    part = PageRequest(last=PAGE_SIZE, before=before) if before else PageRequest(first=PAGE_SIZE, after=after)
    query, sort = request.query_params.get("q", "").strip(), request.query_params.get("sort", NEWEST)
    wanted = thread_list.Wanted(project_of(request), query, owner_of(request), clock.now())
    shown = {
        "query": query,
        "sort": sort,
        "newest": NEWEST,
        "views": VIEWS,
        "examples": EXAMPLES,
        "address": _address(request),
        "mistake": None,
        "lag": follower.lag,
        "waiting": follower.waiting,
        "most": MOST_DOCUMENTS,
    }
    try:
        async with api.database.reading() as session:
            found = await thread_list.read(session, wanted, api.settings, part, sort)
            lines = await views.lines_of(session, wanted.project, found.page.rows, wanted.now)
    except QueryError as mistake:
        return render(request, "threads.html", shown | {"page": None, "mistake": mistake}, 400)
    return render(request, "threads.html", shown | {"page": found.page, "lines": lines, "found": found})


def _address(request: Request) -> str:
    public = request.app.state.api.settings.public_url
    own = f"{request.url.scheme}://{request.url.netloc}"
    return (public.rstrip("/") if public else own) + root_of(request)
