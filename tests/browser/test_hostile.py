"""What models, tools and users may have written: shown, never run, and no page hangs on it."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_live import report
from tests.literal_server.server_process import ServerProcess

RUNS = "window.ran = true"
FRAME = f"<iframe srcdoc='<script>parent.{RUNS}</script>'></iframe>"
SCRIPT = f"<script>{RUNS}</script><img src=x onerror='{RUNS}'><svg onload='{RUNS}'></svg>{FRAME}"
ADDRESSES = (f"javascript:{RUNS}", f"data:text/html,<script>{RUNS}</script>", "vbscript:x")
LINKS = " ".join(f"[a]({address}) <a href='{address}'>b</a>" for address in ADDRESSES)
TABLE = (
    "| a | b |\n|---|---|\n" + "".join(f"| {n} | {'wide' * 20} |\n" for n in range(400)) + f"| {'x' * 5_000} | y |\n"
)
TURNED = "\u202etxet\u2066 \u0627\u0644\u0639\u0631\u0628\u064a\u0629"
LARGE = "5 MB begin here. " + "x" * 5_000_000
READINGS = ("transcript", "timeline", "sides", "player", "raw")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    running = ServerProcess(tmp_path_factory.mktemp("hostile") / "data", LITERAL_API_KEY="k")
    yield running
    running.stop()


def opened(server: ServerProcess, page: Page, text: str) -> str:
    """Record a thread in which every text is this one, see all its readings open, and return its address."""
    thread = f"t{abs(hash(text))}"
    common = {"threadId": thread, "name": text[:500], "tags": [text[:50]]}
    report(
        server,
        {**common, "id": f"{thread}q", "type": "user_message", "output": {"content": text},
         "startTime": "2025-01-01T00:00:00Z"},
        {**common, "id": f"{thread}t", "parentId": f"{thread}q", "type": "tool", "input": {"q": text}, "output": text,
         "error": text, "startTime": "2025-01-01T00:00:01Z", "endTime": "2025-01-01T00:00:02Z"},
        {**common, "id": f"{thread}l", "parentId": f"{thread}q", "type": "llm", "startTime": "2025-01-01T00:00:02Z",
         "generation": {"model": text[:500], "messages": [{"role": text[:50], "content": text}]}},
        {**common, "id": f"{thread}a", "parentId": f"{thread}q", "type": "assistant_message", "output": text,
         "startTime": "2025-01-01T00:00:03Z"},
    )  # fmt: skip
    home = str(httpx.get(server.url, follow_redirects=True).url)
    for reading in READINGS:
        page.goto(f"{home}/{thread}?view={reading}&currentStepId={thread}t")
        expect(page.get_by_role("navigation", name="Readings of this thread")).to_be_visible()
        assert page.evaluate("1 + 1") == 2
        assert page.evaluate("window.ran") is None, reading
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), reading
    return f"{home}/{thread}"


def test_script_and_html_are_text(server: ServerProcess, page: Page) -> None:
    """Tags of any kind stand there as they were written."""
    page.goto(opened(server, page, SCRIPT))
    expect(page.locator(".assistant_message")).to_contain_text("<script>")
    expect(page.locator("main script, main iframe, main img, main svg[onload]")).to_have_count(0)


def test_links_lead_to_pages_alone(server: ServerProcess, page: Page) -> None:
    """What would run or open something else is no link."""
    page.goto(opened(server, page, LINKS))
    expect(page.locator(".assistant_message")).to_contain_text("javascript:")
    addresses = page.locator("main a").evaluate_all("links => links.map((link) => link.protocol)")
    assert set(addresses) == {"http:"}


def test_giant_tables_scroll_in_themselves(server: ServerProcess, page: Page) -> None:
    """A table of hundreds of rows and a cell of thousands of characters leave the page as wide as it is."""
    page.goto(opened(server, page, TABLE))
    expect(page.locator(".assistant_message table tr")).to_have_count(402)


def test_marks_of_direction_end_with_their_text(server: ServerProcess, page: Page) -> None:
    """A name that turns the direction of what follows turns nothing but itself."""
    page.goto(opened(server, page, TURNED))
    for part in (".step .name", ".assistant_message .prose", ".step pre"):
        kind = page.locator(part).first.evaluate("(part) => getComputedStyle(part).unicodeBidi")
        assert kind in ("isolate", "plaintext", "isolate-override"), part
    box = page.locator(".step.tool > summary .name").bounding_box()
    measures = page.locator(".step.tool > summary .measures").bounding_box()
    assert box is not None
    assert measures is not None
    assert measures["x"] > box["x"]


def test_five_megabytes_are_shown_by_their_beginning(server: ServerProcess, page: Page) -> None:
    """The beginning can be read, and the whole is a link away."""
    address = opened(server, page, LARGE)
    page.goto(f"{address}?currentStepId={address.rpartition('/')[2]}t")
    expect(page.locator(".step.tool")).to_contain_text("5 MB begin here.")
    link = page.locator(".step.tool").get_by_role("link", name="All of output").first.get_attribute("href") or ""
    assert len(httpx.get(f"{server.url}{link}", timeout=60).text) > 5_000_000
    assert page.evaluate("document.documentElement.outerHTML.length") < 3_000_000
