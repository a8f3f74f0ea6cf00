"""Signing in to the pages of a server that runs alone, in a real browser."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.literal_server.server_process import ServerProcess

PASSWORD = "correct horse battery"


def test_a_person_signs_in_and_out_by_keys(page: Page, tmp_path: Path) -> None:
    """The cursor stands in the form, a wrong password is said, the right one leads to the page that was asked for."""
    server = ServerProcess(tmp_path / "data", DASHBOARD_PASSWORD=PASSWORD)
    page.goto(f"{server.url}/")
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type("a guess")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is not right.")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/logs/threads$"))

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(server.url)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert server.stop() == 0
