"""The list of threads in a real browser: searched, completed and walked by keys, sorted, and acted on."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.app_process import wait_until
from tests.literal_server.server_process import ServerProcess, done


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the list of a server with the demo's forty threads, all of them in the index of words."""
    data: Path = tmp_path_factory.mktemp("list") / "data"
    done(data, "demo-data")
    server = ServerProcess(data)
    wait_until(lambda: hits(server.url) == 3, 30, lambda: "The words of the demo data are not in the index.")
    yield server.url
    server.stop()


def hits(url: str) -> int:
    """Return how many threads a word of the demo data is found in."""
    home = httpx.get(url, follow_redirects=True).url
    return httpx.get(home, params={"q": "Xyzzyville errors > 0"}).text.count('class="hit"')


def search(page: Page, query: str) -> None:
    """Type a query and send it."""
    page.get_by_role("combobox", name="Search").fill(query)
    page.keyboard.press("Enter")


def test_words_lead_to_the_step_they_stand_in(page: Page, threads: str) -> None:
    """A word finds threads with the hit marked, and the hit opens the thread at its step; the counts come late."""
    page.goto(threads)
    expect(page.get_by_role("link", name="All 40")).to_be_visible()
    search(page, "Xyzzyville errors > 0")
    hit = page.locator("a.hit")
    expect(hit).to_have_count(3)
    expect(hit.first.locator("mark")).to_have_text("Xyzzyville")
    expect(page.get_by_text("3 found.")).to_be_visible()
    hit.first.click()
    expect(page.locator('[aria-current="step"]')).to_contain_text("Xyzzyville")


def test_the_head_of_a_column_sorts(page: Page, threads: str) -> None:
    """A click sorts by the column, a second one the other way round, and the address says so."""
    page.goto(threads)
    for direction in ("descending", "ascending"):
        page.get_by_role("columnheader", name="Tokens").get_by_role("link").click()
        expect(page.locator(f'th[aria-sort="{direction}"]')).to_contain_text("Tokens")
        told = page.locator('td[data-label="Tokens"]').all_inner_texts()
        tokens = [int(text.replace(",", "")) for text in told]
        assert tokens == sorted(tokens, reverse=direction == "descending")
    assert page.url.endswith("?sort=tokens")


def test_a_filter_is_completed_by_keys(page: Page, threads: str) -> None:
    """Fields, comparisons and known names are offered; arrows choose, Enter and Tab take, Escape leaves."""
    page.goto(threads)
    box = page.get_by_role("combobox", name="Search")
    box.press_sequentially("too")
    options = page.get_by_role("listbox", name="Completions").get_by_role("option")
    expect(options.first).to_have_text("tool")
    expect(box).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    expect(box).to_have_attribute("aria-activedescendant", "option-0")
    page.keyboard.press("Enter")
    expect(options.first).to_have_text("=")
    page.keyboard.press("Tab")
    expect(box).to_have_value("tool = ")
    box.press_sequentially("get_cur")
    expect(options).to_have_text(["get_current_weather"])
    page.keyboard.press("Tab")
    box.press_sequentially("and tool.er")
    page.keyboard.press("Tab")
    expect(box).to_have_value("tool = get_current_weather and tool.error ")
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("q=tool"))
    expect(page.locator(".list tbody tr").first).to_be_visible()


def opened(page: Page, title: str) -> None:
    """Wait until the page with this heading is there with its scripts, so that keys work."""
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    page.wait_for_load_state()


def test_keys_walk_the_list_and_its_threads(page: Page, threads: str) -> None:
    """`j` and `k` go through the rows, Enter opens one; there they go through the threads of the filter."""
    page.goto(threads)
    search(page, "errors")
    view = page.get_by_role("navigation", name="Views").get_by_role("link", name="Errors")
    expect(view).to_have_attribute("aria-current", "page")
    names = page.locator(".list tbody th > a:first-child").all_inner_texts()
    page.locator("h1").click()
    for key in ("j", "j", "k", "j"):
        page.keyboard.press(key)
    expect(page.locator(".list tr.cursor")).to_contain_text(names[1])
    page.keyboard.press("Enter")
    opened(page, names[1])
    page.keyboard.press("2")
    expect(page).to_have_url(re.compile("view=timeline"))
    opened(page, names[1])
    page.keyboard.press("j")
    opened(page, names[2])
    expect(page).to_have_url(re.compile("view=timeline"))
    for name in (names[1], names[0]):
        page.keyboard.press("k")
        opened(page, name)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("k")
    opened(page, "Threads")
    expect(page.get_by_role("combobox", name="Search")).to_have_value("errors")


def test_selected_threads_are_deleted_and_come_back(page: Page, threads: str) -> None:
    """All of a page is selected at once, exported, deleted, and restored from the page of deleted threads."""
    page.goto(threads)
    search(page, 'tag = "parallel tools"')
    expect(page).to_have_url(re.compile("q=tag"))
    expect(page.get_by_role("button", name="Delete")).to_be_disabled()
    page.get_by_role("checkbox", name="Select all on this page").check()
    count = page.locator(".list tbody tr").count()
    expect(page.get_by_text(f"{count} selected:")).to_be_visible()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Export").click()
    assert downloading.value.path().read_text().count('"kind":"thread"') == count
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_contain_text(f"{count} threads were deleted")
    expect(page.get_by_text("Nothing was found")).to_be_visible()
    page.get_by_role("status").get_by_role("link", name="Restore").click()
    page.get_by_role("checkbox", name="Select all on this page").check()
    page.locator("#selection").get_by_role("button", name="Restore").click()
    expect(page.get_by_text("Nothing is deleted")).to_be_visible()
