"""News of a thread while one watches: a stream that says when something was stored, and nothing of what it was.

The page then reads itself anew, so that there is one way in which a thread becomes HTML. A stream ends by itself after
some seconds and the browser opens the next one: so a server can stop, and a person whose session has ended is let go.
"""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from literal_server import clock, threads
from literal_server.changes import Changes, Key
from literal_server.dashboard import views
from literal_server.dashboard.pages import HEADERS, behind_door, error_page, owner_of, project_of

STREAM_SECONDS = 10.0
RETRY_MILLISECONDS = 500
MOST_WATCHERS = 200


def routes() -> list[Route]:
    """The routes, to stand before those of the threads."""
    return [Route("/projects/{project}/logs/live/{thread:path}", behind_door(_news), methods=["GET"])]


async def _news(request: Request) -> Response:
    api, project, thread_id = request.app.state.api, project_of(request), request.path_params["thread"]
    async with api.database.reading() as session:
        thread = await views.find_thread(session, project, thread_id, owner_of(request))
    if thread is None:
        return await error_page(request, 404)
    seen = request.headers.get("last-event-id") or request.query_params.get("after", "")
    changes: Changes = api.changes
    key = (project, thread_id)
    if not threads.is_fresh(thread, clock.now()) and changes.revision(key) == seen:
        return Response(status_code=204, headers=HEADERS)  # for a browser: nothing will come, do not ask again
    if changes.waiting >= MOST_WATCHERS:
        return Response(status_code=503, headers=HEADERS | {"retry-after": "10"})
    headers = HEADERS | {"x-accel-buffering": "no"}
    return StreamingResponse(_stream(changes, key, seen), headers=headers, media_type="text/event-stream")


async def _stream(changes: Changes, key: Key, seen: str) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    if changes.revision(key) == seen:
        await changes.wait(key, STREAM_SECONDS)
    if (revision := changes.revision(key)) != seen:
        yield f"id: {revision}\ndata: changed\n\n"
