"""A turn as a person sees it: stopped, edited, asked again, joined in the middle after a reload and in another tab."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.app_process import AppProcess
from tests.browser.conftest import OpenContext
from tests.browser.test_chat import answers, ask
from tests.preloaded import Preloaded

REVIEW = 'a[href*="/logs/threads/"]'


@pytest.fixture(scope="module", params=["0.15"])
def slow(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, preloaded: Preloaded
) -> Iterator[AppProcess]:
    """The app with answers that take long enough to do something meanwhile: so many seconds a token."""
    settings = {"OFFLINE_TOKEN_SECONDS": request.param}
    process = AppProcess(tmp_path_factory.mktemp("slow") / "data", settings=settings, launch=preloaded.launch).start()
    yield process
    process.stop()


def test_a_question_is_edited_and_asked_again(app: AppProcess, page: Page) -> None:
    """An edit puts its own turn in the place of what came after, a click another answer; a reload shows the same."""
    page.goto(app.url)
    ask(page, "What is 2 + 3?")
    answers(page, 1)
    ask(page, "What is 4 + 5?")
    answers(page, 2)

    page.get_by_text("What is 2 + 3?").last.hover()
    page.locator(".edit-message").first.click()
    page.locator("#edit-chat-input").fill("What is 20 + 30?")
    page.get_by_role("button", name="Confirm").click()
    answers(page, 1)
    for gone in ("What is 2 + 3?", "What is 4 + 5?"):
        expect(page.locator(".message-content").get_by_text(gone)).to_have_count(0)
    before = page.locator(REVIEW).get_attribute("href")

    page.locator("button:has(svg.lucide-refresh-cw)").click()
    expect(page.locator(f'a[href="{before}"]')).to_have_count(0)
    answers(page, 1)
    after = page.locator(REVIEW).get_attribute("href") or ""

    page.reload()
    expect(page.locator(f'a[href="{after}"]')).to_have_count(1)
    answers(page, 1)
    expect(page.locator(".message-content").get_by_text("What is 20 + 30?")).to_have_count(1)


@pytest.mark.parametrize("slow", ["0.4"], indirect=True)  # else a busy machine's reload takes longer than the answer
@pytest.mark.parametrize("width", [1280, 390])
def test_a_reload_joins_the_answer_and_stops_it(slow: AppProcess, open_context: OpenContext, width: int) -> None:
    """In the middle of the first answer, on a phone too: it goes on after a reload, and the stop button ends it."""
    page = open_context(viewport={"width": width, "height": 800}).new_page()
    page.goto(slow.url)
    ask(page, "What can you do?")
    expect(page.get_by_text("tell the weather")).to_be_visible()
    expect(page).to_have_url(re.compile("/thread/"))

    page.reload()
    expect(page.get_by_text("tell the weather")).to_be_visible()
    page.locator("#stop-button").click()

    answers(page, 1)
    expect(page.get_by_text("Stopped.")).to_be_visible()
    expect(page.get_by_text("save a note")).to_have_count(0)
    expect(page.locator("#stop-button")).to_have_count(0)


def test_another_tab_sees_the_answer_being_given(slow: AppProcess, open_context: OpenContext) -> None:
    """A tab that opens the thread in the middle of an answer shows it so far and to its end, as the first one does."""
    context = open_context()
    page = context.new_page()
    page.goto(slow.url)
    ask(page, "What can you do?")
    expect(page).to_have_url(re.compile("/thread/"))

    other = context.new_page()
    other.goto(page.url)
    expect(other.locator("#stop-button")).to_be_visible()
    expect(other.get_by_text("tell the weather")).to_be_visible()
    for tab in (page, other):
        answers(tab, 1)
        expect(tab.get_by_text("save a note")).to_be_visible()
        expect(tab.locator("#stop-button")).to_have_count(0)
