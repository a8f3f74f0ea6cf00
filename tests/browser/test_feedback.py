"""Thumbs in a real browser: given with a comment, back after a reload, changed, withdrawn, and seen by the reviewer."""

import re

from playwright.sync_api import Page, expect

from tests.app_process import AppProcess
from tests.browser.test_chat import answers, ask


def test_a_thumb_is_kept_changed_and_withdrawn(app: AppProcess, page: Page) -> None:
    """Thumbs up with a comment stays through a reload and stands on the review page; so do its change and its end."""
    page.goto(app.url)
    ask(page, "What is 2 + 3?")
    answers(page, 1)
    expect(page).to_have_url(re.compile("/thread/"))

    judge(page, "positive", "Just right")
    page.reload()
    answers(page, 1)
    expect(page.locator(".positive-feedback-on")).to_have_count(1)
    assert "user-feedback 1" in reviewed(app, page)

    judge(page, "negative", None)
    page.reload()
    answers(page, 1)
    expect(page.locator(".negative-feedback-on")).to_have_count(1)
    expect(page.locator(".positive-feedback-on")).to_have_count(0)
    assert "user-feedback 0" in reviewed(app, page)

    page.locator(".negative-feedback-on").click()
    expect(page.locator(".negative-feedback-on")).to_have_count(0)
    page.reload()
    answers(page, 1)
    expect(page.locator(".negative-feedback-off")).to_have_count(1)
    assert "user-feedback" not in reviewed(app, page)


def judge(page: Page, thumb: str, comment: str | None) -> None:
    """Click a thumb, write a comment and send it."""
    page.locator(f".{thumb}-feedback-off").click()
    if comment:
        page.get_by_role("dialog").get_by_role("textbox").fill(comment)
    page.locator("#submit-feedback").click()
    expect(page.locator(f".{thumb}-feedback-on")).to_have_count(1)


def reviewed(app: AppProcess, page: Page) -> str:
    """Return the text of the answer on the thread's review page."""
    link = page.get_by_role("link", name="Show in the record").get_attribute("href") or ""
    review = page.context.new_page()
    review.goto(app.url + link.partition("?")[0])
    text = review.locator("#content").inner_text()
    review.close()
    return text
