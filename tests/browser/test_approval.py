"""The card under a call that waits for consent, as a person uses it."""

import re

from playwright.sync_api import Page, expect

from tests.app_process import AppProcess
from tests.browser.conftest import OpenContext
from tests.browser.test_chat import answers, ask


def test_a_person_reads_edits_and_approves(app: AppProcess, page: Page) -> None:
    """The card shows the call as text, not as markup; wrong arguments are explained and kept; then the call runs."""
    page.goto(app.url)
    ask(page, "Save a note Browser: milk <b>and</b> bread")
    card = page.get_by_role("region", name="May save_note run?")
    expect(card).to_contain_text("milk <b>and</b> bread")
    expect(card.get_by_text(re.compile("waits until"))).to_be_visible()

    card.get_by_role("button", name="Edit arguments").click()
    field = card.get_by_label("Arguments as JSON")
    expect(field).to_be_focused()
    field.fill('{"title": "Browser"}')
    card.get_by_role("button", name="Approve with these").click()
    expect(card.get_by_role("alert")).to_contain_text("text: Field required")
    expect(field).to_have_value('{"title": "Browser"}')
    field.fill('{"title": "Browser", "text": "tea"}')
    card.get_by_role("button", name="Approve with these").click()

    answers(page, 1)
    expect(card).to_have_count(0)
    step = page.get_by_text("Used save_note Browser - changed")
    step.click()
    expect(page.get_by_text("Approved with changed arguments by local")).to_be_visible()
    assert (app.data / "notes" / "note-browser.md").read_text() == "# Browser\n\ntea\n"


def test_a_denial_in_one_tab_is_seen_in_the_other(app: AppProcess, open_context: OpenContext) -> None:
    """Both tabs show the card; the one denies with a reason, and in both the step says so, after a reload as well."""
    context = open_context()
    page = context.new_page()
    page.goto(app.url)
    ask(page, "Hello")
    answers(page, 1)
    expect(page).to_have_url(re.compile("/thread/"))
    other = context.new_page()
    other.goto(page.url)
    answers(other, 1)

    ask(page, "Save a note Two tabs: milk")
    expect(page.get_by_role("button", name="Approve", exact=True)).to_be_visible()
    other.get_by_role("button", name="Deny", exact=True).click()
    other.get_by_label("Reason").press_sequentially("not now")
    other.get_by_label("Reason").press("Enter")

    for tab in (page, other):
        answers(tab, 2)
        expect(tab.get_by_text("Used save_note Two tabs - denied")).to_be_visible()
        expect(tab.get_by_role("button", name="Approve", exact=True)).to_have_count(0)
    page.reload()
    page.get_by_text("Used save_note Two tabs - denied").click()
    expect(page.get_by_text("Denied by local: not now")).to_be_visible()
    assert not (app.data / "notes" / "note-two-tabs.md").exists()
