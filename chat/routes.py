"""Which of Chainlit's routes are served: those that the app needs, each with what it asks of a caller.

The others are shut. A route that stands in no table fails a test, so that a new one is thought about before it opens.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

OPEN = {
    ("GET", "/{full_path:path}"): "the page, without anybody's data",
    ("HEAD", "/"): "says that the app is there",
    ("GET", "/health"): "says that the app is there",
    ("GET", "/public/{filename:path}"): "our own files for the page",
    ("GET", "/assets/{filename:path}"): "Chainlit's own files for the page",
    ("GET", "/favicon"): "a picture",
    ("GET", "/logo"): "a picture",
    ("GET", "/avatars/{avatar_id:str}"): "a picture",
    ("GET", "/auth/config"): "how to sign in",
    ("GET", "/project/translations"): "the words of the page",
    ("POST", "/login"): "signs in by password",
    ("POST", "/auth/header"): "signs in the browser of this machine",
    ("POST", "/auth/jwt"): "signs in by a session token, which the doorkeeper has checked",
    ("POST", "/logout"): "takes the cookie away",
    ("POST", "/set-session-cookie"): "gives back what the caller sent, for proxies that tell tabs apart by it",
}

SIGNED_IN = {
    ("GET", "/user"): "the caller",
    ("GET", "/project/settings"): "how the chat is set up",
    ("POST", "/project/threads"): "the caller's own threads",
    ("GET", "/project/thread/{thread_id}"): "a thread of the caller's",
    ("PUT", "/project/thread"): "a thread of the caller's",
    ("DELETE", "/project/thread"): "a thread of the caller's",
    ("PUT", "/feedback"): "an answer in a thread of the caller's; ours stands in front",
    ("DELETE", "/feedback"): "a score in a thread of the caller's; ours stands in front",
    ("POST", "/project/action"): "a session of the caller's; ours stands in front",
}

SHUT = (
    ("GET", "/openapi.json"),  # these four describe the server to strangers, with files from other hosts
    ("GET", "/docs"),
    ("GET", "/docs/oauth2-redirect"),
    ("GET", "/redoc"),
    ("GET", "/copilot/{filename:path}"),
    ("GET", "/auth/oauth/{provider_id}"),
    ("GET", "/auth/oauth/{provider_id}/callback"),
    ("POST", "/auth/oauth/azure-ad-hybrid/callback"),
    ("GET", "/project/share/{thread_id}"),
    ("PUT", "/project/thread/share"),
    ("GET", "/project/thread/{thread_id}/element/{element_id}"),
    ("PUT", "/project/element"),
    ("DELETE", "/project/element"),
    ("POST", "/mcp"),
    ("DELETE", "/mcp"),
    ("POST", "/project/file"),
    ("GET", "/project/file/{file_id}"),
)


def shut_routes() -> list[Route]:
    """Return what stands before Chainlit's routes of features that are off: each answers that there is nothing."""
    return [Route(path, _nothing, methods=[method], name="shut") for method, path in SHUT]


async def _nothing(_request: Request) -> JSONResponse:
    return JSONResponse({"detail": "Not Found"}, 404)
