"""Long threads: a page holds a window of them, the rest is read part by part, and nothing is missing or twice."""

import re

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from literal_server import steps
from literal_server.dashboard import timeline, windows
from literal_server.dashboard.views import StepNode, flatten, nest
from literal_server.dashboard.windows import Group, Later, Window
from literal_server.plain_rows import PlainStep
from literal_server.steps import FullStep
from literal_server.tables import Step
from tests.literal_server.wire import Wire

pytestmark = pytest.mark.anyio


def held(window: Window) -> list[str]:
    """Return the ids of all steps that a window shows or has a sign for, in reading order."""
    ids: list[str] = []
    waiting = list(reversed(window.roots))
    while waiting:
        one = waiting.pop()
        if isinstance(one, Later):
            siblings = one.first.siblings  # type: ignore[attr-defined]
            start = siblings.index(one.first)
            part = list(flatten(siblings[start : start + one.count]))
            assert len(part) == one.steps
            ids += [node.step.id for node in part]
        elif isinstance(one, Group):
            waiting.extend(reversed(one.at_once))
        else:
            ids.append(one.step.id)
            waiting.extend(reversed(window.children(one)))
    return ids


def grow(parents: list[int], wanted: int) -> list[StepNode]:
    """Make a thread: step n lies in the step that the list names, at the root for a number that is not before it."""
    chain = [
        FullStep(Step(id=str(n), type="tool", updated_at=n), str(parent) if parent < n else None)
        for n, parent in enumerate(parents)
    ]
    roots = nest(chain, str(wanted))
    for siblings in (roots, *(node.children for node in flatten(roots))):
        for node in siblings:
            vars(node)["siblings"] = siblings
    return roots


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=300), st.integers(0, 300))
def test_every_step_is_shown_or_has_a_sign(parents: list[int], wanted: int) -> None:
    """Whatever the tree, each step is in the window once, the wanted one is shown, and the window is not large."""
    roots = grow(parents, wanted)
    window = windows.around_wanted(roots)
    assert held(window) == [node.step.id for node in flatten(roots)]
    shown = {node.step.id for node in window.shown}
    assert wanted >= len(parents) or str(wanted) in shown
    assert len(shown) <= windows.MOST_STEPS + (windows.BEFORE + 1) * 13


def test_a_short_thread_is_whole() -> None:
    """What fits is shown from its beginning, whatever is wanted of it."""
    window = windows.around_wanted(grow([400] * windows.MOST_STEPS, 50))
    assert len(window.shown) == windows.MOST_STEPS


async def test_the_rest_is_read_part_by_part(http: httpx.AsyncClient, wire: Wire, server: Starlette) -> None:
    """Following the signs from the first page on, every answer is read once, each part within its bounds."""
    count = 130
    for first in range(0, count, 65):
        await wire.report(
            *(
                {"id": f"a{n}", "threadId": "t", "type": "assistant_message", "output": f"answer {n}.",
                 "startTime": f"2025-01-01T00:{n // 60:02}:{n % 60:02}Z"}
                for n in range(first, first + 65)
            )
        )  # fmt: skip
    waiting, read = [f"/projects/{server.state.api.project}/logs/threads/t"], []
    while waiting:
        page = (await http.get(waiting.pop(0))).text
        waiting += [address.replace("&amp;", "&") for address in re.findall('data-part="([^"]+)"', page)]
        found = re.findall(r"answer (\d+)\.", page)
        assert len(found) <= windows.MOST_STEPS
        read += [int(one) for one in found]
    assert sorted(read) == list(range(count))
    middle = (await http.get(f"/projects/{server.state.api.project}/logs/threads/t?currentStepId=a100")).text
    assert 'data-step="a100" aria-current="step"' in middle
    assert "answer 1." not in middle
    parts = f"/projects/{server.state.api.project}/logs/parts/t"
    for query in ("", "?from=a1", "?from=a1&count=x", "?from=x&count=1", "?from=a1&count=99999999"):
        assert (await http.get(parts + query)).status_code == 404, query


async def test_an_outline_knows_what_it_has_not_read(wire: Wire, server: Starlette) -> None:
    """Its steps stand as in the whole tree; what went in and out of one is no attribute of it before it is loaded."""
    ids = ["a", "b", "c", "d"]
    for number, identity in enumerate(ids):
        inside = {"parentId": ids[number - 1]} if number else {}
        await wire.report({"id": identity, "threadId": "t", "type": "tool", "output": {"n": number}, **inside})
    await wire.send('mutation { deleteStep(id: "b") { id } }')
    api = server.state.api
    async with api.database.reading() as session:
        outlined = await steps.outline(session, api.project, "t")
        whole = (await steps.of_threads(session, api.project, ["t"]))["t"]
        assert [(one.step.id, one.parent_id) for one in outlined] == [("a", None), ("c", "a"), ("d", "c")]
        assert [(one.step.id, one.parent_id) for one in whole] == [("a", None), ("c", "a"), ("d", "c")]
        with pytest.raises(AttributeError):
            assert outlined[0].step.output is None
        await steps.load(session, api.project, [outlined[0].step])
    left_out = [name for name in PlainStep.__slots__ if not hasattr(outlined[0].step, name)]
    assert left_out == ["stamps"]
    read = [name for name in PlainStep.__slots__ if name not in left_out]
    assert {name: getattr(outlined[0].step, name) for name in read} == {
        name: getattr(whole[0].step, name) for name in read
    }
    assert not hasattr(outlined[1].step, "output")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 900), st.integers(0, 1_000))
def test_every_row_is_shown_or_has_a_sign(count: int, wanted: int) -> None:
    """However long the timeline and whatever is selected: all rows in order, each once, the selected one among them."""
    drawn = timeline.lay_out(grow([1_000] * count, wanted), None)
    shown = drawn.around_wanted()
    rows = [one for one in shown if isinstance(one, timeline.Row)]
    read = [
        row
        for one in shown
        for row in ([one] if isinstance(one, timeline.Row) else drawn.part(one.first.step.id, one.count) or ())
    ]
    assert read == drawn.rows
    assert len(rows) == min(count, timeline.MOST_ROWS)
    assert wanted >= count or any(row.node.is_current for row in rows)
    assert all(one.count <= timeline.MOST_ROWS for one in shown if isinstance(one, Later))


@pytest.mark.parametrize("reading", ["timeline", "raw"])
async def test_rows_are_read_part_by_part(
    http: httpx.AsyncClient, wire: Wire, server: Starlette, monkeypatch: pytest.MonkeyPatch, reading: str
) -> None:
    """Following the signs of the timeline and of the list beside the JSON, every step has its row once."""
    monkeypatch.setattr(timeline, "MOST_ROWS", 10)
    times = [f"2025-01-01T00:00:{n:02}Z" for n in range(35)]
    await wire.report(*({"id": f"a{n:02}", "threadId": "t", "type": "tool", "startTime": times[n]} for n in range(35)))
    page = f"/projects/{server.state.api.project}/logs/threads/t?view={reading}"
    html = (await http.get(f"{page}&currentStepId=a17")).text
    for address in re.findall('data-part="([^"]+)"', html):
        part = await http.get(address.replace("&amp;", "&"))
        html += part.text
        assert "<html" not in part.text
    rows = re.findall(r'<li class="row .*?currentStepId=(a\d+)"', html, re.DOTALL)
    assert sorted(rows) == [f"a{n:02}" for n in range(35)]
    assert rows[:10] == [f"a{n}" for n in range(12, 22)]
    assert html.count('aria-current="step"') == 1
    assert ('class="bar"' in html) is (reading == "timeline")
    parts = f"/projects/{server.state.api.project}/logs/parts/t?view={reading}"
    for query in ("", "&from=a1", "&from=x&count=1", "&from=a01&count=x", "&from=a01&count=0&count=-1"):
        assert (await http.get(parts + query)).status_code == 404, query
    assert (await http.get(f"{parts}&from=a00&count=999999")).text.count('<li class="row') == 10
