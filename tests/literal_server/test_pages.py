"""The pages: who may read them, what they show, and that nothing they show can run."""

import html
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Mount

from literal_server import auth
from literal_server.app import create_app
from literal_server.dashboard import text, views
from literal_server.dashboard.listing import EXAMPLES, VIEWS
from literal_server.dashboard.pages import READINGS
from literal_server.settings import ServerSettings
from literal_server.steps import FullStep
from literal_server.tables import Step
from tests.literal_server.wire import KEY, Wire, gql

pytestmark = pytest.mark.anyio

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def threads_page(server: Starlette) -> str:
    return f"/projects/{server.state.api.project}/logs/threads"


@pytest.fixture
async def thread_page(wire: Wire, threads_page: str) -> str:
    """The address of a thread in which every text is hostile."""
    await wire.report(
        {"id": "m", "threadId": "t", "type": "user_message", "startTime": "2025-01-01T00:00:00Z",
         "output": {"content": f"Hello **you** {HOSTILE} [x](javascript:alert(3)) ![y](http://evil.test/z.png)"}},
        {"id": "a", "threadId": "t", "parentId": "r", "type": "assistant_message", "startTime": "2025-01-01T00:00:06Z",
         "output": {"content": f"Hello **back** {HOSTILE} [x](javascript:alert(3)) ![y](http://evil.test/z.png)"}},
        {"id": "r", "threadId": "t", "parentId": "m", "type": "run", "name": HOSTILE,
         "startTime": "2025-01-01T00:00:01Z"},
        {"id": "tool", "threadId": "t", "parentId": "r", "type": "tool", "name": "search", "input": {"q": HOSTILE},
         "startTime": "2025-01-01T00:00:02Z", "endTime": "2025-01-01T00:00:04.5Z", "error": HOSTILE, "tags": [HOSTILE]},
        {"id": "l", "threadId": "t", "parentId": "r", "type": "llm", "startTime": "2025-01-01T00:00:05Z",
         "generation": {"model": HOSTILE, "messages": [{"role": HOSTILE, "content": HOSTILE}, HOSTILE, 7],
                        "messageCompletion": {"role": "assistant", "tool_calls": [{"x": HOSTILE}]},
                        "settings": {"temperature": 0}, "inputTokenCount": 1200, "ttFirstToken": 350.0}},
    )  # fmt: skip
    return f"{threads_page}/t"


async def test_home_leads_to_the_threads(http: httpx.AsyncClient, threads_page: str) -> None:
    """The root and the project lead to the list."""
    for path in ("/", threads_page.removesuffix("/logs/threads")):
        response = await http.get(path)
        assert (response.status_code, response.headers["location"]) == (307, threads_page)


async def test_empty_list_says_how_to_connect(http: httpx.AsyncClient, threads_page: str) -> None:
    """With nothing recorded the page names the two settings of a client, and does not show the key."""
    page = (await http.get(threads_page)).text
    assert "LITERAL_API_URL=http://localhost" in page
    assert "LITERAL_API_KEY" in page
    assert KEY not in page


async def test_nothing_hostile_runs(http: httpx.AsyncClient, threads_page: str, thread_page: str, wire: Wire) -> None:
    """Script, HTML, pictures and links of recorded texts are shown as text under a policy that runs none of it."""
    await wire.post('mutation { upsertThread(id: "t", name: "<script>alert(0)</script>", tags: ["<b>"]) { id } }')
    for path in (threads_page, thread_page):
        response = await http.get(path)
        assert response.status_code == 200
        assert "<script>alert" not in response.text
        assert "<img src=x" not in response.text
        assert 'src="http://evil' not in response.text
        assert 'href="javascript' not in response.text
        assert "&lt;script&gt;alert" in response.text
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_thread_shows_what_happened(http: httpx.AsyncClient, thread_page: str) -> None:
    """Answers are Markdown, questions stand as typed, steps show their facts, and the chat is one link away."""
    page = (await http.get(thread_page)).text
    for part in (
        "<strong>back</strong>",
        "Hello **you**",
        "2.5 s",
        "1,200",
        "350 ms",
        "Arguments",
        'class="error"',
        'href="/thread/t"',
    ):
        assert part in page, part


async def test_a_turn_that_was_cut_off_says_so(http: httpx.AsyncClient, wire: Wire, threads_page: str) -> None:
    """Its steps are greyed, and its question tells who replaced it and when; a mark of no sense breaks nothing."""
    mark = {"superseded": {"by": "q2", "at": "2025-01-01T00:01:00.000000Z", "author": HOSTILE}}
    await wire.report(
        {"id": "q", "threadId": "b", "type": "user_message", "output": {"content": "Old?"}, "metadata": mark},
        {"id": "r", "threadId": "b", "parentId": "q", "type": "run", "metadata": mark},
        {"id": "x", "threadId": "b", "type": "user_message", "output": {"content": "Odd?"},
         "metadata": {"superseded": {"at": 7, "author": [1]}}},
        {"id": "q2", "threadId": "b", "type": "user_message", "output": {"content": "New?"}},
    )  # fmt: skip

    page = (await http.get(f"{threads_page}/b")).text

    assert page.count('superseded"') == 3
    assert page.count("replaced by") == 2
    assert '3 <span class="quiet">(2 replaced)</span>' in page
    assert html.escape(HOSTILE) in page
    assert 'datetime="2025-01-01T00:01:00.000000Z"' in page


async def test_files_are_a_click_away(http: httpx.AsyncClient, wire: Wire, threads_page: str) -> None:
    """A stored picture is shown, another file is linked by its signed address, and only real addresses are links."""
    picture, text_file = [await stored(http, b"bytes", mime) for mime in ("image/png", "text/html")]
    given: list[dict[str, Any]] = [
        {"name": "seen.png", "mime": "text/plain", "objectKey": picture["post"]["fields"]["key"]},
        {"name": "page.html", "mime": "image/png", "objectKey": text_file["post"]["fields"]["key"]},
        {"name": "lost.png", "mime": "image/png", "objectKey": "files/00000000-0000-0000-0000-000000000001"},
        {"name": "elsewhere", "url": "https://example.org/a?b=1&c=2"},
        {"name": "runs", "url": "javascript:alert(1)"},
    ]
    start = "2025-01-01T00:00:00Z"
    await wire.report({"id": "f", "threadId": "f", "type": "user_message", "startTime": start, "attachments": given})

    for reading in READINGS:
        if reading == "raw":
            continue
        page = (await http.get(f"{threads_page}/f", params={"view": reading, "currentStepId": "f"})).text
        pictures, links = re.findall('<img src="([^"]+)"', page), re.findall('<li><a href="([^"]+)"', page)
        addresses = [urlsplit(one["signedUrl"]) for one in (picture, text_file)]
        own = [f"{one.path}?{one.query}" for one in addresses]
        assert pictures[-1] == own[0], reading
        assert [html.unescape(link) for link in links[-3:]] == [*own, given[3]["url"]], reading
        assert page.count("never arrived") == 1
        assert 'href="javascript' not in page
    shown = await http.get(own[0])
    assert (shown.content, shown.headers["content-type"]) == (b"bytes", "image/png")


async def test_files_are_a_click_away_under_a_path(server_settings: ServerSettings) -> None:
    """Mounted under a path, the pages link files by that path."""
    app = create_app(server_settings.model_copy(update={"mounted_at": "/literal"}))
    async for http in mounted(app, "/literal"):
        http.headers["x-api-key"] = KEY
        answer = await stored(http, b"bytes", "image/png", "/literal")
        steps = [{"id": "f", "threadId": "f", "attachments": [{"objectKey": answer["post"]["fields"]["key"]}]}]
        await http.post("/literal/api/graphql", json={"query": gql.steps_query_builder(steps),
                                                      "variables": gql.steps_variables_builder(steps)})  # fmt: skip
        page = (await http.get(f"/literal/projects/{app.state.api.project}/logs/threads/f")).text
        (picture,) = re.findall('<li><a href="([^"]+)" class="picture"', page)
        assert picture.startswith("/literal/api/verbatim/files/")
        assert (await http.get(picture)).content == b"bytes"


async def stored(http: httpx.AsyncClient, content: bytes, mime: str, root: str = "") -> Any:
    """Upload a file and answer what its signing answered."""
    answer = (await http.post(f"{root}/api/upload/file", json={"contentType": mime})).json()
    post = answer["post"]
    assert (await http.post(post["url"], data=post["fields"], files={"file": content})).status_code == 204
    return answer


async def test_current_step_is_open_and_marked(http: httpx.AsyncClient, thread_page: str) -> None:
    """The step of the address is marked and everything around it is open; an unknown one marks nothing."""
    page = (await http.get(thread_page, params={"currentStepId": "l"})).text
    (marked,) = [line for line in page.splitlines() if 'aria-current="step"' in line]
    assert 'data-step="l"' in marked
    assert marked.rstrip().endswith(" open>")
    assert 'aria-current="step"' not in (await http.get(thread_page, params={"currentStepId": "x"})).text


async def test_list_shows_the_totals(http: httpx.AsyncClient, thread_page: str, threads_page: str) -> None:
    """A line tells user, turns, errors and where the thread is."""
    page = (await http.get(threads_page)).text
    assert f'href="{thread_page}"' in page
    assert "anonymous" in page
    assert '<span class="bad">1</span>' in page


async def test_list_is_paged(http: httpx.AsyncClient, threads_page: str, wire: Wire) -> None:
    """Older and newer threads are a link away, and a wrong cursor is an error page."""
    await wire.report(*({"id": f"s{n}", "threadId": f"t{n:02}"} for n in range(60)))
    first = (await http.get(threads_page)).text
    older = first.split('rel="next" href="')[1].split('"')[0]
    second = (await http.get(threads_page + older)).text
    assert first.count('<th scope="row">') == 50
    assert second.count('<th scope="row">') == 10
    newer = second.split('rel="prev" href="')[1].split('"')[0]
    assert (await http.get(threads_page + newer)).text.count('<th scope="row">') == 50
    assert (await http.get(f"{threads_page}?after=x")).status_code == 400


async def test_a_filter_stays_in_the_address(http: httpx.AsyncClient, threads_page: str, wire: Wire) -> None:
    """The filtered list holds what fits, its pages keep the filter, and the view that it is is marked."""
    await wire.report(*({"id": f"s{n}", "threadId": f"t{n:02}", "error": "x"} for n in range(60)))
    await wire.report({"id": "fine", "threadId": "fine"})
    first = (await http.get(threads_page, params={"q": "errors"})).text
    assert first.count('<th scope="row">') == 50
    assert first.count('aria-current="page"') == 2  # the view, and the menu's own entry
    assert 'value="errors"' in first
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    second = (await http.get(threads_page + older)).text
    assert second.count('<th scope="row">') == 10
    assert "/fine" not in second


async def test_a_wrong_filter_is_shown_with_its_mistake(http: httpx.AsyncClient, threads_page: str) -> None:
    """The sentence says what is wrong, the text is marked from there on, nothing in it runs, and a link leads out."""
    response = await http.get(threads_page, params={"q": "errors > 0 and <script>"})
    assert response.status_code == 400
    assert "was not expected here" in response.text
    assert "<pre>errors &gt; 0 and <mark>&lt;script&gt;</mark></pre>" in response.text
    assert '<a href="?">Show all threads</a>' in response.text
    assert (await http.get(threads_page, params={"q": "x" * 5_000})).status_code == 400
    odd = await http.get(threads_page + "?q=name%20%3D%20%22%ED%A0%80%00%22")  # half a surrogate pair, and NUL
    assert odd.status_code == 200


@pytest.mark.parametrize("query", [*filter(None, VIEWS.values()), *EXAMPLES])
async def test_what_the_help_shows_can_be_asked(http: httpx.AsyncClient, threads_page: str, query: str) -> None:
    """Each view and each example is understood."""
    page = await http.get(threads_page, params={"q": query})
    assert page.status_code == 200
    assert "Nothing was found" in page.text


async def test_the_timeline_shows_every_step_and_the_selected_one(http: httpx.AsyncClient, thread_page: str) -> None:
    """Each step is a row with a bar and a link; the selected one stands beside them; nothing hostile runs there."""
    page = (await http.get(thread_page, params={"view": "timeline", "currentStepId": "tool"})).text
    assert page.count('<rect class="bar"') == 5
    assert page.count("<li class=") == 5
    assert 'aria-current="step"' in page
    assert "Arguments" in page.split("<aside")[1]
    assert "<script>alert" not in page
    assert "style=" not in page  # the policy would drop it


async def test_the_raw_reading_is_the_step_as_stored(http: httpx.AsyncClient, thread_page: str) -> None:
    """The JSON beside the tree is that of the step, its generation as it came and not as clients get it."""
    page = (await http.get(thread_page, params={"view": "raw", "currentStepId": "l"})).text
    coloured = page.split('<pre id="json">')[1].split("</pre>")[0]
    assert '<span class="c-name">' in coloured
    shown = json.loads(html.unescape(re.sub('<span class="c-[a-z]+">|</span>', "", coloured)))
    assert shown["generation"]["messages"] == [{"role": HOSTILE, "content": HOSTILE}, HOSTILE, 7]
    assert shown["startTime"] == "2025-01-01T00:00:05.000000Z"
    assert shown["threadId"] == "t"


async def test_the_readings_keep_the_selection(http: httpx.AsyncClient, thread_page: str) -> None:
    """Each reading links to the others at the same step, and there is no reading but these."""
    for reading in READINGS:
        page = (await http.get(thread_page, params={"view": reading, "currentStepId": "tool"})).text
        assert "<script>alert" not in page
        for other in READINGS:
            assert f'href="?view={other}&amp;currentStepId=tool"' in page
    assert (await http.get(thread_page, params={"view": "upside-down"})).status_code == 400


async def test_missing_pages(http: httpx.AsyncClient, threads_page: str) -> None:
    """What is not there, and any other project, is the same page of our own look."""
    for path in (
        f"{threads_page}/nothing",
        "/projects/other/logs/threads",
        "/projects/other/logs/threads/t",
        "/nothing",
    ):
        response = await http.get(path)
        assert response.status_code == 404
        assert "There is nothing here" in response.text
    assert (await http.get("/api/nothing")).json()["errors"]


async def test_ids_of_any_characters_have_a_page(http: httpx.AsyncClient, threads_page: str, wire: Wire) -> None:
    """The link in the list leads to the thread whatever its id holds."""
    for identity in ("a/b", "a b?c#d", "ä%2F", "...", '"<'):
        await wire.report({"id": f"s{identity}", "threadId": identity, "type": "user_message", "output": identity})
    page = (await http.get(threads_page)).text
    links = [part.split('"')[0] for part in page.split(f'href="{threads_page}/')[1:]]
    assert len(links) == 5
    for link in links:
        assert (await http.get(f"{threads_page}/{link}")).status_code == 200, link


async def test_only_this_machine_reads_without_a_door(tmp_path: Path) -> None:
    """With nothing said about people, a request that came through a proxy is turned away."""
    async for client in mounted(create_app(ServerSettings(data_dir=tmp_path)), ""):
        assert (await client.get("/")).status_code == 307
        refused = await client.get("/", headers={"x-forwarded-for": "1.2.3.4"})
        assert refused.status_code == 401
        assert (await client.get("/sign-in")).status_code == 404
        assert (await client.get("/static/tokens.css")).status_code == 200


async def test_links_honour_the_mount(tmp_path: Path) -> None:
    """Mounted below another application all links stay below the mount."""
    app = create_app(ServerSettings(data_dir=tmp_path, api_key=SecretStr(KEY)), auth.anyone)
    async for client in mounted(app, "/literal"):
        home = await client.get("/literal/")
        assert home.headers["location"].startswith("/literal/projects/")
        page = (await client.get(home.headers["location"])).text
        assert 'href="/literal/static/pages.css"' in page
        assert "LITERAL_API_URL=http://localhost/literal" in page
        assert (await client.get("/literal/static/pages.css")).status_code == 200
        project = await client.post("/literal/api/my-project", json={}, headers={"x-api-key": KEY})
        assert project.json()["projectId"] in home.headers["location"]
        assert (await client.post("/literal/api/nothing")).json()["errors"]


async def mounted(app: Starlette, path: str) -> AsyncIterator[httpx.AsyncClient]:
    outer: Any = Starlette(routes=[Mount(path, app)]) if path else app
    transport = httpx.ASGITransport(outer)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client


async def test_endless_nesting_is_folded_flat() -> None:
    """A thousand steps in each other are shown only so deep, and none is lost."""
    chain = [FullStep(Step(id=f"{n}", type="tool"), f"{n - 1}" if n else None) for n in range(1_000)]
    (node,) = views.nest(chain, "999")
    depth, count = 0, 1
    while node.children:
        depth, count, node = depth + 1, count + len(node.children), node.children[0]
    assert depth == views.DEEPEST
    assert count == 1_000


async def test_tool_calls_read_as_calls() -> None:
    """A call is its name with its arguments; what only looks like one is shown as it is."""
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    assert text.calls([call, call]) == 'add({"a": 1})\nadd({"a": 1})'
    assert text.calls({"name": "add", "arguments": "{}"}) == "add({})"
    assert '"odd"' in text.calls([call, "odd"])
    assert text.calls([{"function": {"name": 1}}]).startswith("[")


async def test_giant_texts_are_cut() -> None:
    """Five megabytes become a readable piece that says how much more there is."""
    assert len(text.plain("x" * 5_000_000)) < 101_000
    assert "more characters are stored" in text.plain("x" * 5_000_000)
    assert len(text.markdown(text.make_markdown(), "* " * 2_500_000)) < 210_000


@pytest.mark.parametrize(
    ("approval", "ended", "shown"),
    [
        ({"decision": "waiting", "until": "2025-01-01T00:10:00Z"}, False, "waiting for consent"),
        ({"decision": "waiting"}, True, None),
        ({"decision": "denied", "by": "ada"}, True, "denied by ada"),
        ({"decision": "timed_out"}, True, "timed out"),
        ({"decision": HOSTILE, "by": HOSTILE}, True, None),
        ({"decision": 7}, True, None),
        ("garbage", True, None),
    ],
)
async def test_consent_to_a_call_stands_in_its_line(
    http: httpx.AsyncClient, wire: Wire, threads_page: str, approval: Any, ended: bool, shown: str | None
) -> None:
    """A call that waits for a person, and what a person decided, are seen without opening the step."""
    end = {"endTime": "2025-01-01T00:00:09Z"} if ended else {}
    await wire.report(
        {"id": "s", "threadId": "t", "type": "tool", "name": "send", "metadata": {"approval": approval}} | end
    )

    page = (await http.get(f"{threads_page}/t")).text

    line = page.partition("<summary>")[2].partition("</summary>")[0]
    assert HOSTILE not in page
    assert (shown in line) if shown else ("waiting" not in line)
