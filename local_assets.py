"""Keeps the chat page on this machine: its links to other hosts go, and the browser is told to fetch from here only."""

import base64
import hashlib
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KATEX = "/public/katex/katex.min.css"

# Without other hosts, a picture or script that a model writes into its answer is not fetched. The page's own inline
# scripts may run by their hashes, so that no other can. 'unsafe-eval' is what Chainlit draws the cards of
# public/elements with; Chainlit's stylesheets come with its script, hence the 'unsafe-inline' for styles.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-eval' {hashes}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)

_FOREIGN_LINK = re.compile(r"""<link\b[^>]*\bhref=["'](?:https?:)?//[^>]*>\s*""", re.IGNORECASE)
_INLINE_SCRIPT = re.compile(r"<script\b(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.IGNORECASE | re.DOTALL)


def localised(page: str) -> str:
    """Return an HTML page whose link to KaTeX's style leads to our copy, and that has no other link to other hosts."""
    return _FOREIGN_LINK.sub(_local_link, page)


def policy(page: str) -> str:
    """Return the Content-Security-Policy of an HTML page, which lets its own inline scripts run and no others."""
    digests = (
        hashlib.sha256(script.encode()).digest() for script in _INLINE_SCRIPT.findall(page.replace("\r\n", "\n"))
    )
    return POLICY.format(hashes=" ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests))


def _local_link(link: re.Match[str]) -> str:
    return f'<link rel="stylesheet" href="{KATEX}">\n    ' if "katex" in link[0] else ""


class LocalAssets:
    """ASGI middleware that localises HTML pages. It must stand inside of what compresses them.

    A page that brings a Content-Security-Policy of its own is passed on as it is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "GET":
            send = _Page(send)
        await self._app(scope, receive, send)


class _Page:
    """Holds an HTML answer back until it is whole, then sends it localised; any other passes straight through."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_bare_page(Headers(raw=message["headers"])):
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish(self._start)
        else:
            await self._send(message)

    async def _finish(self, start: Message) -> None:
        page = localised(self._body.decode())
        body = page.encode()
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-length"] = str(len(body))
        headers["content-security-policy"] = policy(page)
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def _is_bare_page(headers: Headers) -> bool:
    return headers.get("content-type", "").startswith("text/html") and "content-security-policy" not in headers
