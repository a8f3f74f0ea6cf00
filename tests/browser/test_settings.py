"""The settings of a thread as a person sets them."""

import re

from playwright.sync_api import Page, expect

from tests.app_process import AppProcess
from tests.browser.test_chat import answers, ask


def test_settings_are_chosen_used_and_still_there_after_a_reload(app: AppProcess, page: Page) -> None:
    """A tool that is off is not offered; panel and thread agree after a reload; a new chat has the defaults."""
    page.goto(app.url)
    settings = page.locator("#chat-settings-open-modal")
    settings.click()
    panel = page.get_by_role("dialog")
    expect(panel.get_by_role("switch")).to_have_count(4)
    expect(panel.locator("#temperature")).to_have_text("The model's own")
    panel.locator("#temperature").click()
    page.get_by_role("option", name="0.7", exact=True).click()
    panel.locator("#system_prompt").fill("Rhyme.")
    panel.get_by_role("switch").first.click()
    panel.get_by_role("button", name="Confirm").click()

    ask(page, "What's the weather in Paris?")
    answers(page, 1)
    expect(page.get_by_text("Used get_current_weather")).to_have_count(0)

    expect(page).to_have_url(re.compile("/thread/"))
    page.reload()
    answers(page, 1)
    settings.click()
    expect(panel.locator("#temperature")).to_have_text("0.7")
    expect(panel.locator("#system_prompt")).to_have_value("Rhyme.")
    expect(panel.get_by_role("switch").first).not_to_be_checked()
    expect(panel.get_by_role("switch").last).to_be_checked()

    page.goto(app.url)
    settings.click()
    expect(panel.locator("#temperature")).to_have_text("The model's own")
    expect(panel.get_by_role("switch").first).to_be_checked()
