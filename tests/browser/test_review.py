"""The review pages in a real browser: read by keys alone, with one selection in all readings."""

import re

import httpx
from playwright.sync_api import Page, expect

from tests.app_process import AppProcess
from tests.browser.readiness import ready

QUESTION = {"role": "user", "content": "What's the weather in San Francisco and Paris?"}


def at_the_beginning(page: Page) -> None:
    """See the question, and nothing of its answer yet but that a model is asked, maybe in the same millisecond."""
    expect(page.locator(".cue:visible", has_text=QUESTION["content"])).to_have_count(1)
    expect(page.locator(".cue:visible:not(:has(.user_message), .llm)")).to_have_count(0)


def test_keys_switch_the_reading_and_walk_the_steps(app: AppProcess, page: Page) -> None:
    """From the transcript by `2` to the timeline, by the arrow keys to a step, by `5` to its JSON, and back by `1`."""
    body = {"message_history": [QUESTION], "thread_id": "keys"}
    httpx.post(f"{app.url}/process/", json=body, timeout=30).raise_for_status()
    page.goto(f"{app.url}/literal/")
    page.get_by_role("link", name="What's the weather").first.click()

    ready(page)
    page.keyboard.press("2")
    expect(page.get_by_role("link", name="Timeline")).to_have_attribute("aria-current", "page")
    expect(page.locator("rect.bar")).to_have_count(7)
    ready(page)
    for number in ("1", "2", "3", "4"):
        page.keyboard.press("ArrowDown")
        expect(page.locator(f'.row:nth-child({number}) a[aria-current="step"]')).to_be_focused()
    expect(page.get_by_role("complementary")).to_contain_text("get_current_weather")
    expect(page.get_by_role("complementary")).to_contain_text("Arguments")
    page.keyboard.press("3")
    expect(page.get_by_text("as in the call before")).to_be_visible()
    ready(page)
    page.keyboard.press("5")
    expect(page.locator("#json")).to_contain_text('"type": "tool"')
    ready(page)
    page.keyboard.press("1")
    expect(page.locator('details.tool[aria-current="step"]')).to_be_visible()
    assert re.search(r"view=transcript&currentStepId=.+", page.url)


def test_the_player_plays_what_happened(app: AppProcess, page: Page) -> None:
    """At first only the question stands there; played, the work comes and ends, the answer streams, all is there."""
    body = {"message_history": [QUESTION], "thread_id": "played"}
    httpx.post(f"{app.url}/process/", json=body, timeout=30).raise_for_status()
    page.goto(f"{app.url}/literal/")
    page.get_by_role("link", name="What's the weather").first.click()
    page.get_by_role("link", name="Player").click()

    at_the_beginning(page)
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.locator(".streaming")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    expect(page.locator(".cue:visible")).to_have_count(6)
    expect(page.locator(".streaming")).to_have_count(0)
    assert re.search(r"[?&]t=[0-9.]+", page.url)


def test_a_moment_is_an_address(app: AppProcess, page: Page) -> None:
    """`?t=` opens the player at that moment, the scrubber moves it, and the end is the whole thread."""
    body = {"message_history": [QUESTION], "thread_id": "moment"}
    httpx.post(f"{app.url}/process/", json=body, timeout=30).raise_for_status()
    page.goto(f"{app.url}/literal/")
    page.get_by_role("link", name="What's the weather").first.click()
    page.get_by_role("link", name="Player").click()
    at_the_beginning(page)
    page.goto(page.url + "&t=9999")
    expect(page.locator(".cue:visible")).to_have_count(6)

    page.get_by_role("slider", name="Moment").press("Home")
    at_the_beginning(page)
    assert "t=0.0" in page.url
