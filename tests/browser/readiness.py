"""When a review page takes keys."""

from playwright.sync_api import Page, expect

TIMES_OF_THREAD = "h1 + dl time[title]"


def ready(page: Page, times: str = TIMES_OF_THREAD) -> None:
    """Wait until all scripts of a page have run: the first writes `times` in the reader's zone, the last know the keys.

    By the times one sees that the page is no longer the one before.
    """
    expect(page.locator(times).first).to_be_attached()
    page.wait_for_load_state("domcontentloaded")
