"""The chat as a person uses it, in a real browser: ask, watch the tools, reload, resume, go on, review."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.app_process import AppProcess

TWO_CITIES = "What's the weather in San Francisco and Paris?"


def ask(page: Page, question: str) -> None:
    """Type a question and send it: it leaves the composer and stands in the chat."""
    page.locator("#chat-input").click()
    page.keyboard.type(question)
    expect(page.locator("#chat-submit")).to_be_enabled()  # which it is once the socket is open
    page.keyboard.press("Enter")
    expect(page.locator("#chat-input")).to_have_value("")
    expect(page.locator('[data-step-type="user_message"]')).not_to_have_count(0)


def answers(page: Page, count: int) -> None:
    """Wait until the chat holds this many finished answers: each has a link to its review page."""
    expect(page.locator('a[href*="/logs/threads/"]')).to_have_count(count, timeout=30_000)


def test_two_cities_reload_resume_go_on_and_review(app: AppProcess, page: Page) -> None:
    """The whole way: two tools for two cities, the answer, a reload, a new chat, the old one again, its review page."""
    page.goto(app.url)
    ask(page, TWO_CITIES)

    for city in ("San Francisco", "Paris"):
        expect(page.get_by_text(f"Used get_current_weather {city}")).to_be_visible(timeout=30_000)
    answers(page, 1)
    expect(page.get_by_text("sunny").last).to_be_visible()

    link = page.get_by_role("link", name="Show in the record")
    link.hover()
    expect(page.get_by_role("tooltip")).to_have_text("Show in the record")

    expect(page).to_have_url(re.compile("/thread/"))
    thread = page.url.rsplit("/", 1)[-1]
    page.reload()
    answers(page, 1)
    expect(page.get_by_text("Used get_current_weather Paris")).to_be_visible()

    page.goto(app.url)
    expect(page.get_by_text("Used get_current_weather Paris")).to_have_count(0)
    page.get_by_role("link", name=TWO_CITIES).first.click()
    answers(page, 1)
    ask(page, "And in Tokyo?")
    expect(page.get_by_text("Used get_current_weather Tokyo")).to_be_visible(timeout=30_000)
    answers(page, 2)

    with page.context.expect_page() as opened:
        page.locator('a[href*="/logs/threads/"]').last.click()
    review = opened.value
    review.wait_for_load_state()
    assert "/literal/projects/verbatim-" in review.url
    assert f"/logs/threads/{thread}?currentStepId=" in review.url
    tools = review.locator("summary", has_text="get_current_weather")
    expect(tools).to_have_count(3)
    tools.last.click()
    expect(review.locator("pre", has_text="Tokyo").locator("visible=true").first).to_be_visible()
    review.get_by_role("link", name=re.compile("chat", re.IGNORECASE)).first.click()
    expect(review).to_have_url(f"{app.url}/thread/{thread}")


def test_a_tool_shows_its_arguments_and_its_result(app: AppProcess, page: Page) -> None:
    """Unfolding a tool step shows what it was given and what it gave."""
    page.goto(app.url)
    ask(page, "What is 17 * 4?")
    answers(page, 1)

    page.get_by_text("Used calculate").click()

    expect(page.get_by_text("17 * 4").last).to_be_visible()
    expect(page.get_by_text("68").first).to_be_visible()
    expect(page.get_by_text(re.compile(r"^\d+\.\d\d s$")).first).to_be_visible()


def test_a_failing_tool_is_marked(app: AppProcess, page: Page) -> None:
    """A tool that fails is shown as an error, and the answer comes all the same."""
    page.goto(app.url)
    ask(page, "What is 10**10**10?")
    answers(page, 1)

    expect(page.locator("svg.fill-destructive")).to_have_count(1)
    page.get_by_text("Used calculate").click()
    expect(page.get_by_text("Error: calculate failed")).to_be_visible()


def test_a_starter_asks_its_question(app: AppProcess, page: Page) -> None:
    """The first page offers questions, and one click asks one."""
    page.goto(app.url)

    page.get_by_role("button", name="Weather in two cities").click()

    expect(page.get_by_text("Used get_current_weather Paris")).to_be_visible(timeout=30_000)


def test_two_tabs_see_each_others_turns(app: AppProcess, page: Page, context: BrowserContext) -> None:
    """A thread open in two tabs shows in both what either asks."""
    page.goto(app.url)
    ask(page, "What is 2 + 3?")
    answers(page, 1)
    expect(page).to_have_url(re.compile("/thread/"))
    other = context.new_page()
    other.goto(page.url)
    answers(other, 1)

    ask(other, "What is 20 + 30?")
    answers(other, 2)
    answers(page, 2)
    expect(page.get_by_text("What is 20 + 30?")).to_be_visible()
    ask(page, "What is 200 + 300?")
    answers(page, 3)
    answers(other, 3)
    expect(other.get_by_text("What is 200 + 300?")).to_be_visible()


def test_rename_and_delete(app: AppProcess, page: Page) -> None:
    """A thread is renamed and deleted from the sidebar; deleted, it is gone from there and cannot be opened."""
    page.goto(app.url)
    ask(page, "What is 6 * 7?")
    answers(page, 1)
    expect(page).to_have_url(re.compile("/thread/"))
    address = page.url
    options = page.locator("#thread-options").first  # the newest thread's

    options.click()
    page.get_by_role("menuitem", name="Rename").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("The answer")
    dialog.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("link", name="The answer")).to_be_visible()

    page.reload()
    expect(page.get_by_role("link", name="The answer")).to_be_visible()
    options.click()
    page.get_by_role("menuitem", name="Delete").click()
    with page.expect_response(lambda answer: answer.request.method == "DELETE" and answer.ok):
        page.get_by_role("alertdialog").get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("link", name="The answer")).to_have_count(0)
    page.goto(address)
    expect(page.locator("#chat-input")).to_be_visible()
    expect(page.get_by_text("What is 6 * 7?")).to_have_count(0)


@pytest.mark.parametrize(("path", "shown"), [("/", "#chat-input"), ("/literal/", "main")])
def test_nothing_sticks_out_on_a_phone(app: AppProcess, page: Page, path: str, shown: str) -> None:
    """At the width of a phone no page scrolls sideways."""
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(app.url + path)
    expect(page.locator(shown)).to_be_visible()  # after the chat has signed in, which loads it once more
    page.wait_for_load_state("networkidle")

    assert page.evaluate("document.documentElement.scrollWidth") <= 390
