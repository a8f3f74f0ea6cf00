"""What the chat page is made of: our name, mark, colours and typefaces, all from this machine."""

import re
import subprocess

import httpx
import pytest
from playwright.sync_api import Page, expect

from local_assets import localised
from tests.app_process import ROOT, AppProcess
from tests.browser.conftest import OpenContext

PAPER = {"light": "rgb(252, 251, 248)", "dark": "rgb(15, 21, 20)"}


def test_the_page_links_to_no_other_host(app: AppProcess) -> None:
    """Each file that the page names is ours and there, KaTeX's style among them, and the browser may fetch no other."""
    answer = httpx.get(f"{app.url}/")
    links = re.findall(r'<(?:link|script)\b[^>]*\b(?:href|src)="([^"]*)"', answer.text)

    assert "/public/katex/katex.min.css" in links
    assert "/public/fonts/fonts.css" in links
    assert [link for link in links if not link.startswith("/") or link.startswith("//")] == []
    assert {link: httpx.get(app.url + link).status_code for link in links} == dict.fromkeys(links, 200)
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("sheet", ["katex/katex.min.css", "fonts/fonts.css"])
def test_every_typeface_is_there(app: AppProcess, sheet: str) -> None:
    """Each font file that a stylesheet of ours names is served by the app."""
    address = f"{app.url}/public/{sheet}"
    fonts = set(re.findall(r'url\("?([^")]+)"?\)', httpx.get(address).text))

    assert fonts
    assert {font: httpx.get(httpx.URL(address).join(font)).status_code for font in fonts} == dict.fromkeys(fonts, 200)


def test_a_link_to_another_host_goes() -> None:
    """Of links to other hosts KaTeX's is led to our copy and the others are dropped; our own stay."""
    page = (
        '<link rel="preconnect" href="https://fonts.example" crossorigin />\n<link\n  rel="stylesheet"\n'
        '  href="https://cdn.example/npm/katex@1.2.3/dist/katex.min.css"\n/>\n<link rel="icon" href="/favicon" />'
    )

    assert re.sub(r"\s+", " ", localised(page)) == (
        '<link rel="stylesheet" href="/public/katex/katex.min.css"> <link rel="icon" href="/favicon" />'
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_look_follows_the_system(app: AppProcess, open_context: OpenContext, scheme: str) -> None:
    """Name, logo and typeface are ours, and the colours are those of the system's light or dark."""
    page = open_context(color_scheme=scheme).new_page()
    page.goto(app.url)

    expect(page).to_have_title("Verbatim")
    expect(page.locator("body")).to_have_css("background-color", PAPER[scheme])
    expect(page.locator(f'img[src*="/logo?theme={scheme}"]').first).to_be_visible()
    # Waited for, not asked once: signing in loads the page a second time, and a question in between is lost.
    page.wait_for_function("document.fonts.load('16px Inter').then(faces => faces.length > 0)")


def test_the_controls_that_do_nothing_are_not_there(app: AppProcess, page: Page) -> None:
    """Neither file upload, nor microphone, nor tool servers are offered."""
    page.goto(app.url)
    expect(page.locator("#chat-input")).to_be_visible()

    for control in ("#upload-button", "#audio-button", "#mcp-button", "input[type=file]"):
        expect(page.locator(control)).to_have_count(0)


@pytest.mark.parametrize(
    ("language", "button", "heading"), [("en-US", "About", "What to try"), ("de-DE", "Über", "Zum Ausprobieren")]
)
def test_the_welcome_page(app: AppProcess, open_context: OpenContext, language: str, button: str, heading: str) -> None:
    """The page that explains the app opens from the header, in English and in German."""
    page = open_context(locale=language).new_page()
    page.goto(app.url)

    page.get_by_role("button", name=button).click()

    expect(page.get_by_role("heading", name=heading)).to_be_visible()


def test_the_working_tree_stays_as_it_is(app: AppProcess) -> None:
    """What Chainlit writes beside app.py at its start is in the repository or ignored there."""
    added = ["git", "ls-files", "--others", "--exclude-standard", "--", ".chainlit", ".files", "chainlit*.md"]

    assert subprocess.run(added, cwd=ROOT, capture_output=True, check=True, text=True).stdout == ""
