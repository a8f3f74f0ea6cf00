"""Takes the pictures of the documentation from the running app: `.venv/bin/python -m scripts.screenshots`."""

import re
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.app_process import ROOT, AppProcess
from tests.browser.chromium import find_chromium
from tests.literal_server.server_process import ServerProcess, done

READINGS = {"transcript": "Transcript", "timeline": "Timeline", "sides": "User saw | model saw", "player": "Player"}
QUESTION = "What's the weather in San Francisco and Paris?"


def main() -> None:
    """Ask one question in a fresh app and keep what the chat and the review page show."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = AppProcess(Path(folder) / "data").start()
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light", locale="en-US")
        try:
            _chat(page, app.url)
            _review(page, app.url)
            _readings(page, Path(folder) / "demo")
        finally:
            chromium.close()
            app.stop()


def _chat(page: Page, url: str) -> None:
    page.goto(url)
    page.locator("#chat-input").fill(QUESTION)
    expect(page.locator("#chat-submit")).to_be_enabled()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Show in the record")).to_have_count(1, timeout=30_000)
    expect(page).to_have_url(re.compile("/thread/"))
    page.get_by_text("Used get_current_weather Paris").click()
    expect(page.get_by_text('"Paris"').first).to_be_visible()
    page.screenshot(path=ROOT / "docs" / "chat.png", animations="disabled")


def _review(page: Page, url: str) -> None:
    link = page.get_by_role("link", name="Show in the record").get_attribute("href") or ""
    page.goto(f"{url}{link.partition('?')[0]}?view=timeline")
    page.get_by_role("link", name="get_current_weather").first.click()
    expect(page.get_by_role("complementary")).to_contain_text("Arguments")
    page.screenshot(path=ROOT / "docs" / "thread.png", animations="disabled")


def _readings(page: Page, data: Path) -> None:
    """Keep the list of the demo's threads and one thread in its readings."""
    done(data, "demo-data")
    server = ServerProcess(data)
    try:
        page.goto(server.url)
        expect(page.locator("time[title]").first).to_be_visible()
        page.screenshot(path=ROOT / "docs" / "list.png", animations="disabled")
        page.get_by_role("link", name="Two cities at once").first.click()
        for reading, name in READINGS.items():
            page.get_by_role("link", name=name).click()
            expect(page.get_by_role("link", name=name)).to_have_attribute("aria-current", "page")
            expect(page.locator("h1 + dl time[title]")).to_be_visible()
            if reading == "player":
                page.get_by_role("slider", name="Moment").press("End")
            page.screenshot(path=ROOT / "docs" / f"{reading}.png", animations="disabled")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
