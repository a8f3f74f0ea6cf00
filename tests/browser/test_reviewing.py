"""One whole review by keys alone, and what assistive technology makes of the pages, in light and in dark."""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenContext
from tests.browser.readiness import ready
from tests.literal_server.server_process import ServerProcess, done


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the demo's threads."""
    data = tmp_path_factory.mktemp("reviewing") / "data"
    done(data, "demo-data")
    running = ServerProcess(data, LITERAL_API_KEY="k")
    yield running
    running.stop()


def focus(page: Page, name: str) -> None:
    """Press Tab until a link or button has the focus."""
    for _ in range(120):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and focused.inner_text().startswith(name):
            return
    pytest.fail(f"No amount of Tab leads to {name!r}.")


def test_a_whole_review_by_keys_alone(server: ServerProcess, page: Page) -> None:
    """From the list to a thread, to a step, scored and commented on, then tagged and marked: without a mouse."""
    page.goto(server.url)
    ready(page, "time[title]")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("score")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    focus(page, "A city that does not exist")
    page.keyboard.press("Enter")
    ready(page)
    page.keyboard.press("2")
    expect(page.get_by_role("link", name="Timeline")).to_have_attribute("aria-current", "page")
    for _ in range(8):
        if "currentStepId" in page.url and page.locator('.row.failed a[aria-current="step"]').count():
            break
        shown = page.url
        page.keyboard.press("ArrowDown")
        expect(page).not_to_have_url(shown)
        expect(page.locator('.row a[aria-current="step"]')).to_be_focused()
    expect(page.get_by_role("complementary")).to_contain_text("No place is named")

    page.keyboard.press("s")
    page.keyboard.type("right tool")
    page.keyboard.press("Tab")
    page.keyboard.type("0.5")
    page.keyboard.press("Tab")
    page.keyboard.type("right tool, wrong town")
    page.keyboard.press("Enter")
    expect(page.locator(".panel .judgement")).to_contain_text("right tool 0.5")
    expect(page.locator(".panel .judgement")).to_contain_text("wrong town")
    expect(page.locator('.row a[aria-current="step"]')).to_be_focused()
    page.keyboard.press("c")
    page.keyboard.type("Ask back first.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".panel .remark")).to_contain_text("Ask back first.")
    expect(page.locator('.row a[aria-current="step"]')).to_be_focused()
    page.keyboard.press("t")
    page.keyboard.type("ask-back")
    page.keyboard.press("Enter")
    expect(page.locator(".heading .tag", has_text="ask-back")).to_be_visible()
    ready(page)
    page.keyboard.press("m")
    expect(page.locator("#review header")).to_contain_text("reviewed by local")


def test_arrow_keys_walk_the_steps_in_every_reading(server: ServerProcess, page: Page) -> None:
    """Through the transcript with focus and folds, then in the other readings on from the same step, and back to it."""
    page.goto(server.url)
    page.get_by_role("link", name="Two cities at once").first.click()
    ready(page)
    selected = page.locator('[aria-current="step"]')
    for kind in ("Is it warmer", "on_message", "llama3.1:8b", "get_current_weather"):
        page.keyboard.press("ArrowDown")
        expect(selected).to_contain_text(kind)
        expect(page.locator(':focus[aria-current="step"], [aria-current="step"] > summary:focus')).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(selected.get_by_text("Arguments")).to_be_visible()
    page.keyboard.press("c")
    page.keyboard.type("Half a thought")
    page.keyboard.press("Escape")
    page.evaluate("scrollTo(0, 0)")  # else the keys would first lead to the beginning of what is selected
    page.keyboard.press("ArrowUp")
    expect(selected).to_contain_text("llama3.1:8b")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#step-text")).to_have_value("Half a thought")
    walked = page.url.partition("currentStepId=")[2]
    for key, name in (("2", "timeline"), ("5", "raw"), ("3", "sides"), ("4", "player")):
        page.keyboard.press(key)
        expect(page.locator(".readings [aria-current]")).to_have_attribute("data-key", key)
        assert f"view={name}" in page.url
        assert page.url.endswith(walked)
        ready(page)
    expect(page.locator(".moment")).not_to_contain_text("0:00.0 /")
    page.keyboard.press("3")
    expect(page.locator(".sides")).to_be_visible()
    ready(page)
    page.keyboard.press("ArrowUp")
    expect(selected).to_have_class("call")
    expect(selected).to_be_focused()
    page.keyboard.press("2")
    expect(page.locator(".row.llm a:focus")).to_have_attribute("aria-current", "step")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("complementary")).to_contain_text("Arguments")
    assert page.url.endswith(walked)
    page.keyboard.press("5")
    ready(page)
    page.keyboard.press("ArrowUp")
    expect(page.locator("#json")).to_contain_text('"type": "llm"')
    expect(page.get_by_role("button", name="Copy")).to_be_visible()


def test_a_phone_sorts_the_list(server: ServerProcess, open_context: OpenContext) -> None:
    """Where the heads of the columns have no room there is a control that sorts by them, and says what is in force."""
    page = open_context(viewport={"width": 390, "height": 844}).new_page()
    page.goto(server.url)
    page.get_by_text("Sorted by last activity, descending").click()
    page.get_by_role("navigation", name="Sort by").get_by_role("link", name="Tokens").click()
    expect(page.get_by_text("Sorted by tokens, descending")).to_be_visible()
    tokens = [int(one.replace(",", "")) for one in page.locator('td[data-label="Tokens"]').all_inner_texts()]
    assert tokens == sorted(tokens, reverse=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_step_is_opened_and_left_on_a_phone(server: ServerProcess, open_context: OpenContext) -> None:
    """A row leads to its panel, which stands above all rows there, and the panel back to its row; failures are seen."""
    page = open_context(viewport={"width": 390, "height": 844}).new_page()
    page.goto(server.url)
    page.get_by_role("link", name="A city that does not exist").first.click()
    page.get_by_role("link", name="Timeline").click()
    row = page.locator(".row.failed a").first
    row.click()
    back = page.get_by_role("link", name="Back to its row")
    expect(back).to_be_in_viewport()
    expect(page.locator(".panel h2")).to_be_in_viewport()
    page.get_by_role("complementary").get_by_role("button", name="Comment", exact=True).scroll_into_view_if_needed()
    back.click()
    expect(row).to_be_in_viewport()
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(back).to_be_hidden()
    row.scroll_into_view_if_needed()
    expect(row.get_by_text("failed")).to_be_in_viewport(ratio=0.9)  # whole, beside the panel


def test_a_moment_is_commented_on(server: ServerProcess, page: Page) -> None:
    """In the player a comment is about the moment on the stage, and leads back to it."""
    page.goto(server.url)
    page.get_by_role("link", name="Where is order").first.click()
    page.get_by_role("link", name="Player").click()
    page.get_by_role("slider", name="Moment").press("ArrowRight")
    page.get_by_role("slider", name="Moment").press("End")
    expect(page.get_by_label("At second")).not_to_have_value("")
    moment = page.get_by_label("At second").input_value()
    page.get_by_role("form", name="Comment on the whole thread").get_by_label("Comment").fill("Here it ends.")
    page.get_by_role("button", name="Comment").click()
    expect(page.locator(".cue .remark")).to_contain_text("Here it ends.")
    assert float(moment) > 0
    assert f"t={moment}" in page.url


def test_a_shared_thread_is_read_by_a_stranger(server: ServerProcess, page: Page, open_context: OpenContext) -> None:
    """A link made on the page shows the thread to a browser of its own, with keys for its readings, until revoked."""
    page.goto(server.url)
    page.get_by_role("link", name="Two cities at once").first.click()
    thread = page.url
    page.get_by_role("button", name="Make a link").click()
    link = page.locator("#link").inner_text()
    stranger = open_context().new_page()
    stranger.goto(link)
    expect(stranger.get_by_role("heading", level=1)).to_have_text("Two cities at once")
    expect(stranger.locator("main form")).to_have_count(0)
    stranger.keyboard.press("2")
    expect(stranger.get_by_role("link", name="Timeline")).to_have_attribute("aria-current", "page")
    assert "/shared/" in stranger.url
    page.goto(thread)
    page.get_by_role("button", name="Revoke").click()
    expect(page.locator("#share")).to_contain_text("revoked")
    stranger.goto(link)
    expect(stranger.locator("main")).to_contain_text("This link was revoked")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(server: ServerProcess, open_context: OpenContext, scheme: str) -> None:
    """List, deleted threads, a thread in all its readings and a shared one are fit for assistive technology."""
    page = open_context(color_scheme=scheme).new_page()
    page.goto(server.url)
    home = page.url
    page.get_by_role("link", name="A city that does not exist").first.click()
    page.get_by_role("link", name="Timeline").click()
    page.locator(".row.failed a").first.click()
    expect(page.get_by_role("complementary")).to_contain_text("No place")
    step = page.url
    page.get_by_role("button", name="Make a link").click()
    shared = page.locator("#link").inner_text()
    names = ("transcript", "timeline", "sides", "player", "raw")
    readings = [re.sub("view=[a-z]+", f"view={name}", step) for name in names]
    for address in (
        home,
        home.replace("/threads", "/deleted"),
        home.replace("/logs/threads", "/prices"),
        *readings,
        shared,
        f"{shared}?view=timeline",
    ):
        page.goto(address)
        expect(page.locator("h1")).to_be_visible()
        found = Axe().run(page).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        told = [(one["id"], [node["html"][:160] for node in one["nodes"][:3]]) for one in serious]
        assert told == [], address
