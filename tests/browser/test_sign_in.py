"""Signing in as a person does: sent there by a review page, a wrong password, the right one, back, and out again."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.app_process import AppProcess
from tests.browser.test_chat import answers, ask
from tests.people import password_of, start_with
from tests.preloaded import Preloaded


@pytest.fixture
def people(tmp_path: Path, preloaded: Preloaded) -> Iterator[AppProcess]:
    app = start_with(preloaded.launch, tmp_path / "data", "ada")
    yield app
    app.stop()


def sign_in(page: Page) -> None:
    """Fill in the form as Ada, and send it."""
    page.get_by_label("Name").fill("ada")
    page.locator("#password").fill(password_of("ada"))
    page.get_by_role("button", name="Sign in").click()


def test_a_thread_that_was_wanted_opens_after_signing_in(people: AppProcess, page: Page) -> None:
    """The address of a thread leads to the sign-in, and from there to the thread; without one, to a new chat."""
    page.goto(people.url)
    expect(page).to_have_url(re.compile("/login"))
    sign_in(page)
    expect(page).to_have_url(f"{people.url}/")
    ask(page, "What is 2 + 3?")
    answers(page, 1)
    expect(page).to_have_url(re.compile("/thread/"))
    thread = page.url
    page.context.clear_cookies()

    page.goto(thread)
    expect(page).to_have_url(re.compile("/login"))
    sign_in(page)

    expect(page).to_have_url(thread)
    answers(page, 1)


def test_one_sign_in_leads_back_to_the_page_that_was_wanted(people: AppProcess, page: Page) -> None:
    """A review page leads to the sign-in, which says what is wrong, and then back; the chat is open too, and closes."""
    page.goto(f"{people.url}/literal/")
    expect(page).to_have_url(re.compile(r"/login\?next="))
    expect(page.get_by_role("heading", name="Sign in to Verbatim")).to_be_visible()

    page.get_by_label("Name").fill("ada")
    page.locator("#password").fill("wrong password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Name or password is not right.")).to_be_visible()

    page.locator("#password").fill(password_of("ada"))
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile("/literal/projects/.*/logs/threads"))
    expect(page.locator("header .who").get_by_text("ada", exact=True)).to_be_visible()

    page.goto(people.url)
    expect(page.locator("#chat-input")).to_be_visible()
    page.locator("#user-nav-button").click()
    page.get_by_role("menuitem", name="Logout").click()
    expect(page).to_have_url(re.compile("/login"))
    page.goto(f"{people.url}/literal/")
    expect(page).to_have_url(re.compile(r"/login\?next="))
