"""Signing in as a person does: sent there by a review page, a wrong password, the right one, back, and out again."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.app_process import AppProcess
from tests.people import password_of, start_with


@pytest.fixture
def people(tmp_path: Path) -> Iterator[AppProcess]:
    app = start_with(tmp_path / "data", "ada")
    yield app
    app.stop()


def test_one_sign_in_leads_back_to_the_page_that_was_wanted(people: AppProcess, page: Page) -> None:
    """A review page leads to the sign-in, which says what is wrong, and then back; the chat is open too, and closes."""
    page.goto(f"{people.url}/literal/")
    page.wait_for_url(re.compile(r"/login\?next="))
    expect(page.get_by_role("heading", name="Sign in to Verbatim")).to_be_visible()

    page.get_by_label("Name").fill("ada")
    page.locator("#password").fill("wrong password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Name or password is not right.")).to_be_visible()

    page.locator("#password").fill(password_of("ada"))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile("/literal/projects/.*/logs/threads"))
    expect(page.locator("header .who")).to_have_text("ada")

    page.goto(people.url)
    expect(page.locator("#chat-input")).to_be_visible()
    page.locator("#user-nav-button").click()
    page.get_by_role("menuitem", name="Logout").click()
    page.wait_for_url(re.compile("/login"))
    page.goto(f"{people.url}/literal/")
    page.wait_for_url(re.compile(r"/login\?next="))
