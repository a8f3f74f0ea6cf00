"""A thread of 3,600 steps in a real browser: a small page at first, and what is scrolled to is read."""

from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.readiness import ready
from tests.browser.test_live import report
from tests.literal_server.server_process import ServerProcess

TURNS, TOOLS = 300, 10
STEPS = TURNS * (TOOLS + 2)


def steps_of(turn: int) -> Iterator[dict[str, object]]:
    """Yield the steps of a turn: a question, some tools, an answer."""
    minute = f"2025-01-01T{turn // 60:02}:{turn % 60:02}"
    yield {"id": f"q{turn}", "type": "user_message", "startTime": f"{minute}:00Z", "output": f"Question {turn}."}
    inside: dict[str, object] = {"parentId": f"q{turn}", "output": "x" * 500}
    for n in range(TOOLS):
        times: dict[str, object] = {"startTime": f"{minute}:{n + 1:02}Z", "endTime": f"{minute}:{n + 2:02}Z"}
        yield inside | times | {"id": f"t{turn}-{n}", "type": "tool", "name": f"tool {turn} {n}"}
    yield inside | {"id": f"a{turn}", "type": "assistant_message", "startTime": f"{minute}:30Z"}


def test_a_thread_of_3600_steps_opens_and_scrolls(tmp_path: Path, page: Page) -> None:
    """Its page holds a fraction of it, what is scrolled to is there, and from the middle keys walk on."""
    server = ServerProcess(tmp_path / "data", LITERAL_API_KEY="k")
    try:
        for first in range(0, TURNS, 20):
            report(server, *(step for turn in range(first, first + 20) for step in steps_of(turn)))
        page.goto(server.url)
        page.get_by_role("link", name="Untitled thread").click()
        expect(page.get_by_text("Question 0.")).to_be_visible()
        assert page.evaluate("document.querySelectorAll('*').length") < 10_000
        expect(page.get_by_text("Question 299.")).to_have_count(0)
        while page.get_by_text("Question 299.").count() == 0:
            page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            expect(page.locator(".later[data-loaded] > a")).to_have_count(0)
        assert page.locator("[data-step]").count() < STEPS / 2  # what was skipped is not read
        expect(page.get_by_text("Question 299.")).to_be_attached()
        page.goto(f"{page.url.partition('?')[0]}?currentStepId=t150-5")
        expect(page.locator('[aria-current="step"]')).to_contain_text("tool 150 5")
        expect(page.locator('[aria-current="step"]')).to_be_in_viewport()
        ready(page)
        for number in (4, 3, 2, 1):  # only two of those before it are in the page at first
            page.keyboard.press("ArrowUp")
            expect(page.locator('[aria-current="step"]')).to_contain_text(f"tool 150 {number}")
        read_as_rows(page)
        played(page)
    finally:
        server.stop()


def read_as_rows(page: Page) -> None:
    """From a step in the middle to the timeline: rows around it, keys walk on, the end comes when it is scrolled to."""
    page.keyboard.press("2")
    current = page.locator('.row a[aria-current="step"]')
    expect(current).to_contain_text("tool 150 1")
    expect(current).to_be_in_viewport()
    assert page.locator(".row").count() < STEPS / 2
    height = page.locator(".rows ol").first.bounding_box()
    assert height is not None
    assert height["height"] > 30 * STEPS  # what is not read yet has its place
    ready(page, "time[title]")
    page.keyboard.press("ArrowDown")
    expect(current).to_contain_text("tool 150 2")
    expect(page.locator(".row", has_text=f"tool {TURNS - 1} 9")).to_have_count(0)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator(".row", has_text=f"tool {TURNS - 1} 9")).to_be_attached()
    assert page.locator(".row").count() < STEPS / 2  # what was skipped is not read
    names = page.locator(".row .name").all_text_contents()
    assert names[-TOOLS - 2 :] == ["User", *(f"tool {TURNS - 1} {n}" for n in range(TOOLS)), "Assistant"]


def played(page: Page) -> None:
    """From a moment before the end of a scene it plays on across its border; scrubbing and keys lead to any other."""
    page.goto(f"{page.url.partition('?')[0]}?view=player&t={152 * 60 + 29}")
    expect(page.get_by_text("Question 152.")).to_be_attached()
    expect(page.get_by_text("Question 153.")).to_have_count(0)  # a scene is three turns here
    assert page.locator(".cue").count() < STEPS / 10
    expect(page.locator(".cue:visible").get_by_text("tool 152 9")).to_be_in_viewport()
    page.get_by_label("Speed").select_option("16")
    page.get_by_role("button", name="Play").click()
    for number in (153, 156):
        expect(page.get_by_text(f"Question {number}.")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Question 75.")).to_have_count(0)  # what nobody looked at is not read

    slider = page.get_by_role("slider", name="Moment")
    slider.press("End")
    expect(page.get_by_text(f"Question {TURNS - 1}.")).to_be_in_viewport()
    slider.press("Home")
    expect(page.locator(".cue:visible")).to_have_count(1)
    expect(page.get_by_text("Question 0.")).to_be_in_viewport()
    assert page.locator(".cue").count() < STEPS / 4  # what was skipped is not read
    page.goto(f"{page.url.partition('?')[0]}?view=player&t={153 * 60}")
    page.locator("h1").click()
    page.keyboard.press("ArrowUp")
    page.wait_for_url("**currentStepId=a152**")
    page.keyboard.press("ArrowDown")
    page.wait_for_url("**currentStepId=q153**")
    expect(page.get_by_text("Question 153.")).to_be_in_viewport()
