"""The transcript: calls that ran at once stand together, failures are found at once, files are shown in place."""

import html
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from literal_server.dashboard import windows
from literal_server.dashboard.views import nest
from literal_server.dashboard.windows import Group
from literal_server.steps import FullStep
from literal_server.tables import Step
from tests.literal_server.test_pages import stored
from tests.literal_server.wire import Wire

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("spans", "together"),
    [
        ([(0, 9), (1, 5)], [2]),
        ([(0, 9), (1, 5), (6, 8)], [3]),
        ([(0, 5), (5, 9)], [1, 1]),
        ([(0, 5), (4, 9), (9, 12), (10, None)], [2, 2]),
        ([(0, None), (1, 2)], [1, 1]),
        ([(0, 5), (None, None), (1, 3)], [1, 1, 1]),
    ],
)
def test_calls_at_once_stand_together(spans: list[tuple[int | None, int | None]], together: list[int]) -> None:
    """Calls that follow each other and overlap are one group; what came after, and what has no time, is not in it."""
    calls = [
        FullStep(Step(id=str(n), type="tool", start_time=start, end_time=end), None)
        for n, (start, end) in enumerate(spans)
    ]
    shown = windows.around_wanted(nest(calls, None)).roots
    assert [len(one.at_once) if isinstance(one, Group) else 1 for one in shown] == together


async def test_failures_and_groups_on_the_page(http: httpx.AsyncClient, wire: Wire, server: Starlette) -> None:
    """The number of errors leads to the first, which stands open, beside the call that ran with it."""
    own: dict[str, Any] = {"threadId": "t", "type": "tool", "startTime": "2025-01-01T00:00:00Z"}
    await wire.report(
        own | {"id": "a", "name": "good", "endTime": "2025-01-01T00:00:05Z"},
        own | {"id": "b", "name": "bad", "endTime": "2025-01-01T00:00:03Z", "error": "No such town.", "tags": ["x"]},
        **{"x-env": "staging"},
    )
    path = f"/projects/{server.state.api.project}/logs/threads/t"
    page = (await http.get(path)).text
    assert 'aria-label="2 calls at once"' in page
    assert 'class="bad" href="?view=transcript&amp;currentStepId=b"' in page
    failed = page.split('data-step="b"')[1].split("</details>")[0]
    assert failed.partition(">")[0].endswith("open")
    assert "No such town." in failed
    panel = (await http.get(path, params={"view": "timeline", "currentStepId": "b"})).text.split("<aside")[1]
    assert "in staging" in panel
    assert ">x</bdi>" in panel


async def test_files_are_shown_in_place(http: httpx.AsyncClient, wire: Wire, server: Starlette) -> None:
    """What can be heard or read has a player or a frame; what could run has a link alone."""
    kinds = ["audio/wav", "video/mp4", "application/pdf", "text/plain", "text/html", "image/svg+xml"]
    keys = [(await stored(http, b"x", kind))["post"]["fields"]["key"] for kind in kinds]
    given = [{"name": kind, "objectKey": key} for kind, key in zip(kinds, keys, strict=True)]
    await wire.report({"id": "f", "threadId": "t", "type": "user_message", "output": "x", "attachments": given})
    response = await http.get(f"/projects/{server.state.api.project}/logs/threads/t")
    shown = {part.partition("</bdi>")[0].rpartition(">")[2]: part for part in response.text.split("<li>")[1:]}
    for kind, element in zip(kinds, ("<audio controls", "<video controls", "<iframe", "<iframe", "", ""), strict=True):
        found = [tag for tag in ("<audio controls", "<video controls", "<iframe", "<img") if tag in shown[kind]]
        assert found == ([element] if element else []), kind
    policy = response.headers["content-security-policy"]
    assert "media-src 'self'" in policy
    assert "frame-src 'self'" in policy


async def test_what_is_in_a_large_fold_is_read_when_it_is_opened(
    http: httpx.AsyncClient, wire: Wire, server: Starlette
) -> None:
    """The page holds small values, and of large ones a link to the step, which shows them; a part has them alone."""
    own: dict[str, Any] = {"threadId": "t", "type": "tool", "startTime": "2025-01-01T00:00:00Z"}
    await wire.report(
        own | {"id": "small", "output": {"content": "A few words."}},
        own | {"id": "large", "input": {"q": 1}, "output": {"content": "Many words. " * 2_000}},
        own | {"id": "failed", "output": {"content": "Bad words. " * 2_000}, "error": "No."},
    )
    logs = f"/projects/{server.state.api.project}/logs"
    page = (await http.get(f"{logs}/threads/t")).text
    assert ("A few words." in page, "Many words." in page, "Bad words." in page) == (True, False, True)
    assert page.count('class="folded"') == 1
    address = html.unescape(page.split('class="folded"')[1].split('data-part="')[1].split('"')[0])
    part = (await http.get(address)).text
    assert ("Many words." in part, "Arguments" in part, "<summary" in part) == (True, True, False)
    opened = (await http.get(f"{logs}/threads/t", params={"currentStepId": "large"})).text
    assert ("Many words." in opened, 'class="folded"' in opened) == (True, False)
