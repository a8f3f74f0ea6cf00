"""A thread that fills in while one watches: in order, without a reload, and without losing one's place."""

import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from literalai.api.helpers import gql
from playwright.sync_api import Page, expect

from literal_server import clock
from tests.literal_server.server_process import ServerProcess

KEY = {"x-api-key": "k"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    running = ServerProcess(tmp_path / "data", LITERAL_API_KEY="k")
    yield running
    running.stop()


def report(server: ServerProcess, *steps: dict[str, object]) -> None:
    """Send reports of steps of one thread, as the SDK writes them."""
    told: Any = [{"threadId": "t", **step} for step in steps]
    body = {"query": gql.steps_query_builder(told), "variables": gql.steps_variables_builder(told)}
    httpx.post(f"{server.url}/api/graphql", json=body, headers=KEY, timeout=30).raise_for_status()


def at(seconds: float) -> str:
    """A moment so many seconds after the first of these tests began: a thread from long before would not be watched."""
    return clock.format_time(_began() + int(seconds * 1_000_000))


@cache
def _began() -> int:
    return clock.now()


def test_a_running_thread_fills_in(server: ServerProcess, page: Page) -> None:
    """Steps appear where they belong while a fold stays open and half a comment stays written; then it has ended."""
    report(
        server,
        {"id": "q", "type": "user_message", "startTime": at(0), "output": {"content": "Long work, please"}},
        {"id": "r", "parentId": "q", "type": "run", "name": "agent", "startTime": at(0)},
        {"id": "one", "parentId": "r", "type": "tool", "name": "first", "startTime": at(1), "endTime": at(2)},
    )
    page.goto(server.url)
    page.get_by_role("link", name="Untitled thread").click()
    expect(page.locator("h1 .live")).to_have_text("running")
    page.locator("details.tool summary", has_text="first").click()
    page.get_by_label("Comment", exact=True).fill("Half a thou")
    page.evaluate("window.same = true")

    report(server, {"id": "three", "parentId": "r", "type": "tool", "name": "third", "startTime": at(5)})
    expect(page.locator("details.tool .name")).to_have_text(["first", "third"])
    report(server, {"id": "two", "parentId": "r", "type": "tool", "name": "second", "startTime": at(3)})
    expect(page.locator("details.tool .name")).to_have_text(["first", "second", "third"])
    expect(page.locator("details.tool", has_text="first")).to_have_attribute("open", "")
    expect(page.get_by_label("Comment", exact=True)).to_have_value("Half a thou")

    report(
        server,
        {
            "id": "a",
            "parentId": "r",
            "type": "assistant_message",
            "startTime": at(6),
            "output": {"content": "**Done**"},
        },
        {"id": "r", "type": "run", "endTime": at(7)},
    )
    expect(page.locator(".assistant_message strong")).to_have_text("Done")
    expect(page.locator("h1 .live")).to_have_count(0)
    expect(page.get_by_label("Comment", exact=True)).to_have_value("Half a thou")
    assert page.evaluate("window.same")


def test_a_large_fold_is_read_when_it_is_opened(server: ServerProcess, page: Page) -> None:
    """A long result comes when its fold is opened, and again when a later report has changed it."""
    long = "All is well. " * 1_000
    report(
        server,
        {"id": "r", "type": "run", "name": "agent", "startTime": at(0)},
        {
            "id": "one",
            "parentId": "r",
            "type": "tool",
            "name": "first",
            "startTime": at(1),
            "output": {"content": long},
        },
    )
    page.goto(server.url)
    page.get_by_role("link", name="Untitled thread").click()
    expect(page.locator("h1 .live")).to_have_text("running")
    tool = page.locator("details.tool")
    expect(tool).not_to_contain_text("All is well.")

    tool.locator("summary").click()
    expect(tool).to_contain_text("All is well.")
    expect(tool.get_by_role("link", name="Read what is in it")).to_have_count(0)
    report(server, {"id": "one", "type": "tool", "output": {"x": f"{long} Or is it?"}, "endTime": at(2)})
    expect(tool).to_contain_text("Or is it?")

    page.get_by_role("link", name="Player").click()
    page.get_by_role("slider", name="Moment").press("End")
    page.get_by_text("Arguments and result").click()
    expect(page.locator(".cue.tool pre").last).to_contain_text("Or is it?")


def test_the_timeline_grows_and_keeps_the_selected_step(server: ServerProcess, page: Page) -> None:
    """A new row appears beside the step that is selected, which stays selected."""
    report(server, {"id": "r", "type": "run", "name": "agent", "startTime": at(0)},
           {"id": "one", "parentId": "r", "type": "tool", "name": "first", "startTime": at(1)})  # fmt: skip
    page.goto(server.url)
    page.get_by_role("link", name="Untitled thread").click()
    page.get_by_role("link", name="Timeline").click()
    page.locator(".row", has_text="first").click()
    expect(page.get_by_role("complementary")).to_contain_text("first")
    report(server, {"id": "two", "parentId": "r", "type": "tool", "name": "second", "startTime": at(2)})
    expect(page.locator(".row .name")).to_have_text(["agent", "first", "second"])
    expect(page.locator('.row a[aria-current="step"]')).to_contain_text("first")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("complementary")).to_contain_text("second")


def test_news_outlive_the_server(tmp_path: Path, page: Page) -> None:
    """After a restart of the server the page hears of what is stored then."""
    first = ServerProcess(tmp_path / "data", LITERAL_API_KEY="k")
    report(first, {"id": "r", "type": "run", "name": "agent", "startTime": at(0)})
    page.goto(first.url)
    with page.expect_request(lambda request: "/live/" in request.url):  # by then its scripts are here
        page.get_by_role("link", name="Untitled thread").click()
    expect(page.locator("details.run")).to_have_count(1)
    first.stop(signal.SIGKILL)
    second = ServerProcess(tmp_path / "data", LITERAL_API_KEY="k", PORT=str(first.port))
    try:
        report(second, {"id": "one", "parentId": "r", "type": "tool", "name": "first", "startTime": at(1)})
        expect(page.locator("details.tool .name")).to_have_text(["first"])
    finally:
        second.stop()
