"""A real browser for the tests, in which no request may leave this machine and no script may fail."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Route, WebSocketRoute, sync_playwright

from tests.browser.chromium import NONE_FOUND, find_chromium

OURS = ("127.0.0.1", "localhost", None)  # None: data: and blob: addresses have no host
FLAGS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)

OpenContext = Callable[..., BrowserContext]


@pytest.fixture(scope="package")  # not "session": while Playwright's loop is open, no other test could run one
def browser() -> Iterator[Browser]:
    """One Chromium for all tests; where there is none they fail with the line that says what to install."""
    path = find_chromium()
    if path is None:
        pytest.fail(NONE_FOUND, pytrace=False)
    as_root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *as_root])
        yield chromium
        chromium.close()


@pytest.fixture
def open_context(browser: Browser) -> Iterator[OpenContext]:
    """Open browser contexts (arguments as for `Browser.new_context`), each a browser of its own to the app.

    At the test's end it fails for every request that tried to leave the machine and every script error of its pages.
    """
    with watched_contexts(browser) as (open_one, faults):
        yield open_one
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
def watched_contexts(browser: Browser) -> Iterator[tuple[OpenContext, list[str]]]:
    """Give a function that opens contexts, and the list in which their faults are collected."""
    faults: list[str] = []
    contexts: list[BrowserContext] = []

    def hold_back(route: Route) -> None:
        if urlsplit(route.request.url).hostname in OURS:
            route.fallback()
        else:
            faults.append(f"A request tried to leave the machine: {route.request.url}")
            route.abort()

    def hold_back_socket(socket: WebSocketRoute) -> None:
        faults.append(f"A socket tried to leave the machine: {socket.url}")

    def note(error: Error) -> None:
        faults.append(f"A script failed: {error.stack or error}")

    def open_one(**options: object) -> BrowserContext:
        defaults = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, "service_workers": "block"}
        context = browser.new_context(**(defaults | options))  # type: ignore[arg-type]
        context.route("**/*", hold_back)
        context.route_web_socket(lambda url: urlsplit(url).hostname not in OURS, hold_back_socket)
        context.on("weberror", lambda error: note(error.error))
        contexts.append(context)
        return context

    try:
        yield open_one, faults
    finally:
        for context in contexts:
            context.close()
