"""Thumbs become scores of the answer they are given to; none is lost while the server is away."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from literal_server.app import create_app
from literal_server.settings import ServerSettings
from recording import feedback as feedback_module
from recording.client import LiteralAPI, RecordingError
from recording.feedback import Feedback, NoSuchAnswerError
from recording.outbox import Outbox

pytestmark = pytest.mark.anyio

RUN, EARLY, LAST = "run", "early answer", "last answer"


class Road(httpx.AsyncBaseTransport):
    """The way to the server, which can be cut."""

    def __init__(self, app: Any) -> None:
        self.open = True
        self._inner = httpx.ASGITransport(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self.open:
            raise httpx.ConnectError("cut")
        return await self._inner.handle_async_request(request)


class Place:
    """A server, the road to it, an outbox, and Ada's thread: a run with two answers."""

    def __init__(self, tmp_path: Path) -> None:
        settings = ServerSettings(data_dir=tmp_path / "server", api_key=SecretStr("key"))
        self.server = create_app(settings)
        self.road = Road(self.server)
        self.api = LiteralAPI("http://literal.test", "key", self.road)
        self.outbox = Outbox(self.api, tmp_path / "outbox.db")
        self.feedback = Feedback(self.api, self.outbox, lambda user, thread: (user, thread) == ("ada", "t"))

    def answer(self) -> None:
        """Put the thread into the outbox, as the recorder does."""
        self.outbox.put_thread("t", name="n", participant="ada")
        self.outbox.put_step({"id": RUN, "threadId": "t", "type": "run", "name": "on_message"})
        for second, name in enumerate((EARLY, LAST)):
            self.outbox.put_step(
                {
                    "id": name,
                    "threadId": "t",
                    "parentId": RUN,
                    "type": "assistant_message",
                    "startTime": f"2026-01-01T00:00:0{second}.000000Z",
                    "output": {"content": name},
                }
            )

    async def scores(self) -> dict[str, Any]:
        """Return by step id what is stored of scores, once all is stored."""
        assert await self.outbox.flush(20)
        query = "{ scores { edges { node { stepId name type value comment scorer } } } }"
        answer = await self.api.make_gql_call("read all scores", query, {})
        scores = [edge["node"] for edge in answer["data"]["scores"]["edges"]]
        return {
            score["stepId"]: (score["name"], score["type"], score["value"], score["comment"] or None, score["scorer"])
            for score in scores
        }


@pytest.fixture
async def place(tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.setattr(feedback_module, "SECONDS_TO_STORE", 0.2)
    made = Place(tmp_path)
    async with made.server.router.lifespan_context(made.server):
        made.outbox.start()
        yield made
        made.road.open = True
        await made.outbox.stop(10)


async def test_a_thumb_is_a_score_of_the_last_answer(place: Place) -> None:
    """Given to a run it goes to its last answer, with its giver; changed it keeps its id, withdrawn it is gone."""
    place.answer()

    score = await place.feedback.give("ada", RUN, 1, "good")
    assert await place.scores() == {LAST: ("user-feedback", "HUMAN", 1, "good", "ada")}
    assert await place.feedback.give("ada", RUN, 0, None) == score
    assert await place.scores() == {LAST: ("user-feedback", "HUMAN", 0, None, "ada")}
    place.answer()  # a late report of the same steps
    assert list(await place.scores()) == [LAST]
    await place.feedback.withdraw("ada", score)
    assert await place.scores() == {}
    again = await place.feedback.give("ada", LAST, 1, None)
    assert again != score
    assert list(await place.scores()) == [LAST]


async def test_an_answer_can_be_named_itself(place: Place) -> None:
    """Given to an answer by its own id, the thumb is that answer's."""
    place.answer()

    await place.feedback.give("ada", EARLY, 1, None)

    assert list(await place.scores()) == [EARLY]


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("waiting", [False, True])
async def test_only_the_owner_of_the_thread_judges(place: Place, away: bool, waiting: bool) -> None:
    """Somebody else, and anybody about what is not there, hears that there is no such answer, stored or on the way."""
    if waiting:
        place.road.open = False
    place.answer()
    await place.outbox.flush(0.5 if waiting else 20)
    place.road.open = not away
    expected: tuple[type[Exception], ...] = (NoSuchAnswerError, RecordingError) if away else (NoSuchAnswerError,)

    for user, step in (("bob", RUN), ("bob", LAST), ("ada", "nothing"), ("", RUN)):
        with pytest.raises(expected):
            await place.feedback.give(user, step, 1, None)
    place.road.open = True

    assert await place.scores() == {}


async def test_a_thumb_of_another_is_not_withdrawn(place: Place) -> None:
    """A score is taken back by who gave it and nobody else; other scores never are."""
    place.answer()
    thumb = await place.feedback.give("ada", RUN, 1, None)
    await place.outbox.flush(20)
    other = await place.api.create_score(name="quality", type="CODE", value=0.5, step_id=LAST)

    for user, score in (("bob", thumb), ("ada", str(other.id)), ("ada", "nothing")):
        with pytest.raises(NoSuchAnswerError):
            await place.feedback.withdraw(user, score)

    assert len((await place.api.get_scores()).data) == 2


async def test_while_the_server_is_away_a_thumb_waits_with_its_answer(place: Place) -> None:
    """Given, changed, withdrawn and given anew on an answer that is still on its way: the last word arrives."""
    place.road.open = False
    place.answer()

    first = await place.feedback.give("ada", RUN, 1, "good")
    assert await place.feedback.give("ada", RUN, 0, "bad") == first
    await place.feedback.withdraw("ada", first)
    second = await place.feedback.give("ada", RUN, 1, None)
    assert second != first
    place.road.open = True

    assert await place.scores() == {LAST: ("user-feedback", "HUMAN", 1, None, "ada")}
