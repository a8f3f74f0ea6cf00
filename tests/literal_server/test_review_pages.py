"""Reviews on the pages: given by forms, shown where they belong, for reviewers alone, and only from our own pages."""

import html
import re

import httpx
import pytest
from starlette.applications import Starlette

from literal_server import reviews
from literal_server.auth import Authenticate
from tests.literal_server.visitors import named_visitor
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

HOSTILE = "<script>alert(1)</script>"
ORIGIN = {"origin": "http://localhost"}


@pytest.fixture
def door() -> Authenticate:
    return named_visitor


@pytest.fixture
async def thread(wire: Wire, server: Starlette) -> str:
    """The path of a thread of ada's below the project's logs."""
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "participantId": "ada", "tags": ["old"]})
    thumb = {"id": "x", "name": "user-feedback", "type": "HUMAN", "value": 0, "comment": "Not it.", "scorer": "ada"}
    await wire.report(
        {"id": "q", "threadId": "t", "type": "user_message", "output": {"content": "Why?"}},
        {"id": "a", "threadId": "t", "parentId": "q", "type": "assistant_message", "output": {"content": "Because."},
         "scores": [thumb]},
    )  # fmt: skip
    return f"/projects/{server.state.api.project}/logs/threads/t"


async def give(http: httpx.AsyncClient, thread: str, who: str = "rea", **form: str) -> httpx.Response:
    return await http.post(thread.replace("/threads/", "/reviews/"), data=form, headers=ORIGIN | {"x-who": who})


async def test_feedback_is_read_on_the_turn(http: httpx.AsyncClient, thread: str) -> None:
    """What the person in the chat thought stands at the answer: value, words and name, as text."""
    page = (await http.get(thread)).text
    answer = page.split('data-step="a"')[1].split("</article>")[0]
    assert "user-feedback <b>0</b>" in answer
    assert ">Not it.<" in answer
    assert ">ada<" in answer


async def test_a_whole_review_by_forms(http: httpx.AsyncClient, thread: str) -> None:
    """Marked, scored, tagged and commented on, the thread shows it all, and each form leads back to its place."""
    back = await give(http, thread, do="score", name="quality", value="0.5", comment=HOSTILE, step="a", view="timeline")
    assert (back.status_code, back.headers["location"]) == (303, f"{thread}?view=timeline&currentStepId=a")
    assert (await give(http, thread, do="score", name="verdict", value="2", view="transcript")).status_code == 303
    assert (await give(http, thread, do="comment", text=f"x {HOSTILE}", step="a")).status_code == 303
    back = await give(http, thread, do="comment", text="Then.", seconds="61.5", view="player", current="a")
    assert back.headers["location"] == f"{thread}?view=player&currentStepId=a&t=61.5#review"
    assert (await give(http, thread, do="tag", name="new")).status_code == 303
    assert (await give(http, thread, do="untag", name="old")).status_code == 303
    assert (await give(http, thread, do="mark")).headers["location"].endswith("?view=transcript#review")

    page = (await http.get(thread, params={"currentStepId": "a"})).text
    assert HOSTILE not in page
    answer, whole = page.split('data-step="a"')[1].split('id="review"')
    assert "quality <b>0.5</b>" in answer
    assert html.escape(HOSTILE) in answer
    assert "verdict <b>2</b>" in whole
    assert "Then." in whole
    assert 'href="?view=player&amp;t=61.5">at 1:01.5' in whole
    assert ">reviewed</span> by rea" in whole
    assert "Remove the tag new" in whole
    assert "Remove the tag old" not in whole
    assert '<option value="quality">' in whole
    assert (await give(http, thread, do="unmark")).status_code == 303
    assert "Not reviewed yet" in (await http.get(thread)).text


async def test_only_the_giver_is_offered_to_withdraw(http: httpx.AsyncClient, thread: str) -> None:
    """One's own scores and comments have a button that takes them back, another's have none."""
    await give(http, thread, do="comment", text="Mine.")
    await give(http, thread, who="rob", do="score", name="verdict", value="1")
    page = (await http.get(thread)).text
    (identity,) = re.findall('name="id" value="([^"]+)"', page)
    assert (await give(http, thread, who="rob", do="withdraw", id=identity)).status_code == 400
    assert "Mine." in (await http.get(thread)).text
    assert (await give(http, thread, do="withdraw", id=identity)).status_code == 303
    assert "Mine." not in (await http.get(thread)).text


async def test_who_sees_the_own_threads_alone_does_not_review(http: httpx.AsyncClient, thread: str) -> None:
    """For ada there is what reviewers said of her thread, no form to add to it, and a refusal if one is sent."""
    await give(http, thread, do="comment", text="Well asked.")
    page = (await http.get(thread, headers={"x-who": "ada"})).text
    assert "Well asked." in page
    assert 'method="post"' not in page.split("<main")[1]
    for form in ({"do": "mark"}, {"do": "comment", "text": "x"}, {"do": "withdraw", "id": "x"}):
        assert (await give(http, thread, who="ada", **form)).status_code == 403
    assert "Not reviewed yet" in (await http.get(thread)).text


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({}, 400),
        ({"do": "erase"}, 400),
        ({"do": "score", "name": "x", "value": "many"}, 400),
        ({"do": "score", "name": "x", "value": "nan"}, 400),
        ({"do": "score", "value": "1"}, 400),
        ({"do": "score", "name": "x", "value": "1", "step": "nothing"}, 400),
        ({"do": "comment", "text": "  "}, 400),
        ({"do": "comment", "text": "x", "seconds": "soon"}, 400),
        ({"do": "comment", "text": "x" * 200_000}, 413),
    ],
)
async def test_what_makes_no_sense_is_refused_in_words(
    http: httpx.AsyncClient, thread: str, form: dict[str, str], status: int
) -> None:
    """A form with something missing or odd is an error page, and nothing is stored."""
    response = await give(http, thread, **form)
    assert response.status_code == status
    assert "<h1>" in response.text
    assert "<b>1</b>" not in (await http.get(thread)).text


async def test_another_page_cannot_review(http: httpx.AsyncClient, thread: str) -> None:
    """A form that no page of ours sent is turned away, whoever's browser it is."""
    address = thread.replace("/threads/", "/reviews/")
    for headers in ({}, {"origin": "http://evil.test"}, {"origin": "null"}):
        assert (await http.post(address, data={"do": "mark"}, headers=headers)).status_code == 403
    assert (await http.get(address)).status_code == 405
    assert (await give(http, "/projects/other/logs/threads/t", do="mark")).status_code == 404


async def test_a_long_comment_fits(http: httpx.AsyncClient, thread: str) -> None:
    """The longest comment that may be is one, in any script."""
    longest = "字" * reviews.LONGEST_TEXT
    assert (await give(http, thread, do="comment", text=longest)).status_code == 303
    assert longest in (await http.get(thread)).text
