"""A real browser for the tests, in which no request may leave this machine and no script may fail."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Request, WebSocketRoute, expect, sync_playwright

from tests.app_process import AppProcess
from tests.browser.chromium import NONE_FOUND, find_chromium

FLAGS = (
    # No name but this machine's is looked up. (Playwright's own routing would do it too, without the browser's cache.)
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)

Launch = Callable[[], Browser]
OpenContext = Callable[..., BrowserContext]
CONTEXTS = pytest.StashKey[list[BrowserContext]]()
"""Where a test keeps the contexts that it has opened, for the report if it fails."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failed test's report what its pages showed and its apps logged: in CI that is all there is to read."""
    report = yield
    if call.when == "call" and report.failed:
        pages = [page for context in item.stash.get(CONTEXTS, []) for page in context.pages]
        report.sections += [(f"Page {page.url}", what_is_shown(page)) for page in pages]
        apps = [app for app in item.funcargs.values() if isinstance(app, AppProcess)]
        report.sections += [(f"Log of {app.url}", app.text()[-3000:]) for app in apps]
    return report


def what_is_shown(page: Page) -> str:
    """Return the beginning of a page's text, what was typed into its fields, its console and its script errors."""
    try:
        text = page.locator("body").inner_text(timeout=2000)[:3000]
        typed = page.evaluate("[...document.querySelectorAll('input, textarea')].map(field => field.value)")
        console = [f"{message.type}: {message.text[:500]}" for message in page.console_messages()]
        return "\n".join([text, f"Fields: {typed}", "Console:", *console, *map(str, page.page_errors())])
    except Error as error:  # a page that hangs must not hide why the test failed
        return f"cannot be read: {error}"


@pytest.fixture(scope="package")  # not "session": while Playwright's loop is open, no other test could run one
def chromium() -> Iterator[Launch]:
    """A function that starts a Chromium; where there is none the tests fail with the line that says what to install."""
    path = find_chromium()
    if path is None:
        pytest.fail(NONE_FOUND, pytrace=False)
    expect.set_options(timeout=30_000)  # the page is heavy, and a busy machine slow
    as_root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as playwright:
        yield lambda: playwright.chromium.launch(executable_path=path, args=[*FLAGS, *as_root])


@pytest.fixture
def open_context(request: pytest.FixtureRequest, chromium: Launch) -> Iterator[OpenContext]:
    """Open browser contexts (arguments as for `Browser.new_context`), each a browser of its own to the app.

    At the test's end it fails for every request that tried to leave the machine and every script error of its pages.
    """
    opened = request.node.stash[CONTEXTS] = []

    with watched_browser(chromium) as (open_one, faults):

        def open_and_keep(**options: object) -> BrowserContext:
            opened.append(open_one(**options))
            return opened[-1]

        yield open_and_keep
    assert not faults, "\n".join(faults)


@pytest.fixture
def context(open_context: OpenContext) -> BrowserContext:
    """The test's own browser context: English, 1280 by 800."""
    return open_context()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page in the test's own context."""
    return context.new_page()


@contextmanager
def watched_browser(launch: Launch) -> Iterator[tuple[OpenContext, list[str]]]:
    """Give a function that opens contexts, and a list that holds their faults once the block has ended.

    The browser is the block's own: to close a context or a page while it navigates, as it does when it signs in,
    sometimes takes for ever, and to end a whole browser never does.
    """
    faults: list[str] = []
    requests: list[Request] = []
    browser = launch()

    def hold_back(socket: WebSocketRoute) -> None:
        faults.append(f"A socket tried to leave the machine: {socket.url}")

    def open_one(**options: object) -> BrowserContext:
        defaults = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}}
        context = browser.new_context(**(defaults | options))  # type: ignore[arg-type]
        context.on("request", lambda request: requests.append(request))  # a builtin cannot be a handler
        context.route_web_socket(leaves, hold_back)
        context.on("weberror", lambda error: faults.append(f"A script failed: {error.error.stack or error.error}"))
        return context

    try:
        yield open_one, faults
    finally:
        browser.close()
        # What the page's own policy stops is reported as a request too, but never leaves the browser.
        sent = [request.url for request in requests if request.failure != "csp"]
        faults += [f"A request tried to leave the machine: {url}" for url in sent if leaves(url)]


def leaves(url: str) -> bool:
    """Tell whether a request for this address goes to another machine."""
    return urlsplit(url).hostname not in ("127.0.0.1", "localhost", None)  # None: data: and blob: have no host
