"""The browser fixture itself: it lets nothing out, and it says what tried."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Launch, watched_browser, what_is_shown


class Echo(BaseHTTPRequestHandler):
    """Answers with the HTML that stands in the address."""

    def do_GET(self) -> None:
        body = unquote(self.path[1:]).encode()
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ("<h1>fine</h1><img src='data:,'>", None),
        ("<img src='http://elsewhere.example/x.png'>", "http://elsewhere.example/x.png"),
        ("<link rel=stylesheet href='http://elsewhere.example/x.css'>", "http://elsewhere.example/x.css"),
        ("<script>new WebSocket('ws://elsewhere.example/')</script>", "ws://elsewhere.example/"),
        ("<img src='http://192.0.2.1/x.png'>", "http://192.0.2.1/x.png"),
        ("<meta http-equiv=content-security-policy content='img-src data:'><img src='http://192.0.2.1/x.png'>", None),
        ("<script>throw new Error('oh no')</script>", "oh no"),
    ],
)
def test_a_fault_is_noted(chromium: Launch, echo: str, html: str, fault: str | None) -> None:
    """A request or a socket to another host is noted, unless the page's policy stops it; so is a script that fails."""
    with watched_browser(chromium) as (open_context, faults):
        page = open_context().new_page()
        page.goto(echo + html)

    assert len(faults) == (fault is not None)
    assert (fault or "") in "".join(faults)


def test_a_failed_test_tells_what_its_page_showed(page: Page) -> None:
    """The text, what stands in a field, and what the console said, for the report."""
    page.set_content("<p>Hello</p><input value='half a que'>")
    page.evaluate("console.warn('beware')")

    told = what_is_shown(page)

    assert all(part in told for part in ("Hello", "half a que", "warning: beware")), told
