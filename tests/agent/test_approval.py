"""Tools that need consent: asked for, waited for, decided once, and told to the model."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.approval import UNKNOWN, Approvals, Unasked
from agent.events import ApprovalAsked, ApprovalDecided, Event, ToolFinished, ToolStarted
from agent.loop import run_turn
from agent.offline_replies import Answer, Call
from agent.tool_runs import NEVER_BEGUN
from agent.toolbox import Tool, Toolbox
from tests.agent.turns import QUESTION, check, end_of, of, scripted

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]

CALL = Call("send", {"to": "ada", "text": "hello"})


class Post:
    """A post office whose sending needs consent; `look` does not."""

    def __init__(self, approval_seconds: float = 30.0) -> None:
        self.sent: list[tuple[str, str]] = []
        self.looked = asyncio.Event()

        def send(to: str, text: str) -> str:
            """Send a letter."""
            self.sent.append((to, text))
            return "sent"

        async def look() -> str:
            """Look around."""
            self.looked.set()
            return "nothing"

        self.toolbox = Toolbox([Tool.from_function(send, approval_seconds=approval_seconds), Tool.from_function(look)])


async def play(
    post: Post,
    decide: Callable[[Approvals, ApprovalAsked], Any],
    *calls: Call,
    approvals: Approvals | None = None,
    stop: asyncio.Event | None = None,
) -> list[Event]:
    """Return the events of a turn that makes these calls; `decide` is called when a call waits."""
    approvals, events = approvals or Approvals(), []
    model = scripted(Answer(calls=calls or [CALL]), Answer("Done."))
    async for event in run_turn(model, post.toolbox, QUESTION, approvals=approvals, stop=stop):
        events.append(event)
        if isinstance(event, ApprovalAsked):
            decide(approvals, event)
    check(events, QUESTION)
    return events


def told(events: list[Event]) -> str:
    """Return what the model was told of the one call."""
    [message] = [message for message in end_of(events).messages if message["role"] == "tool"]
    return str(message["content"])


async def test_an_approved_call_runs_as_it_was_asked_for() -> None:
    """The call is shown with its arguments and its time limit, waits, and runs once somebody approves it."""
    post = Post()

    def approve(approvals: Approvals, asked: ApprovalAsked) -> None:
        assert post.sent == []
        approvals.approve(asked.step_id, by="grace")

    events = await play(post, approve)

    [asked], [decided], [started] = of(events, ApprovalAsked), of(events, ApprovalDecided), of(events, ToolStarted)
    assert (asked.name, asked.arguments) == ("send", {"to": "ada", "text": "hello"})
    assert (asked.until - asked.at).total_seconds() == 30
    assert (decided.verdict, decided.by, decided.arguments) == ("approved", "grace", asked.arguments)
    assert asked.at <= decided.at <= started.at
    assert post.sent == [("ada", "hello")]
    assert told(events) == "sent"


async def test_edited_arguments_are_what_runs_and_what_the_model_hears() -> None:
    """A call runs with the arguments that the person wrote; event, record and model know both versions."""
    post = Post()
    edited = {"to": "ada", "text": "good day"}

    events = await play(post, lambda all_, asked: all_.approve(asked.step_id, by="g", arguments=json.dumps(edited)))

    [decided], [started] = of(events, ApprovalDecided), of(events, ToolStarted)
    assert (decided.verdict, decided.arguments, decided.asked) == ("edited", edited, CALL.arguments)
    assert started.arguments == edited
    assert post.sent == [("ada", "good day")]
    assert told(events).endswith("\nsent")
    assert json.dumps(edited) in told(events)


async def test_arguments_written_back_unchanged_are_no_edit() -> None:
    """Whoever opens the editor and changes nothing has simply approved."""
    post = Post()
    same = '{"text": "hello",  "to": "ada"}'

    events = await play(post, lambda all_, asked: all_.approve(asked.step_id, by="g", arguments=same))

    assert of(events, ApprovalDecided)[0].verdict == "approved"
    assert told(events) == "sent"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ('{"to": "ada"}', "text: Field required"),
        ('{"to": "ada", "text": 1}', "text: Input should be a valid string"),
        ("{to: ada}", "not a JSON object"),
        ('["ada"]', "not a JSON object"),
        (" " * 200_001, "longer than 200,000"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_and_the_call_waits_on(written: str, words: str) -> None:
    """The person hears what is wrong, and can still decide."""
    post = Post()
    sentences: list[str | None] = []

    def correct(approvals: Approvals, asked: ApprovalAsked) -> None:
        sentences.append(approvals.approve(asked.step_id, by="g", arguments=written))
        assert post.sent == []
        approvals.approve(asked.step_id, by="g", arguments='{"to": "bob", "text": "hello"}')

    events = await play(post, correct)

    assert words in str(sentences[0])
    assert post.sent == [("bob", "hello")]
    assert of(events, ApprovalDecided)[0].verdict == "edited"


async def test_a_denied_call_never_runs_and_the_model_hears_why() -> None:
    """The tool does not start; its message says that the person denied it, and for what reason; that is no failure."""
    post = Post()

    events = await play(post, lambda all_, asked: all_.deny(asked.step_id, by="grace", reason=" not on \ud800Sundays "))

    [decided], [finished] = of(events, ApprovalDecided), of(events, ToolFinished)
    assert (decided.verdict, decided.by, decided.reason) == ("denied", "grace", "not on ?Sundays")
    assert of(events, ToolStarted) == []
    assert (finished.error, finished.cancelled, finished.duration) == (None, False, 0)
    assert post.sent == []
    assert "denied" in told(events)
    assert "“not on ?Sundays”" in told(events)


async def test_a_call_that_nobody_decides_on_is_not_run() -> None:
    """When the time is over the model hears it, and the turn goes on."""
    post = Post(approval_seconds=0.02)

    events = await play(post, lambda all_, asked: None)

    assert of(events, ApprovalDecided)[0].verdict == "timed_out"
    assert "nobody gave it within 0.02 seconds" in told(events)
    assert (end_of(events).text, post.sent) == ("Done.", [])


async def test_only_the_first_decision_counts() -> None:
    """A second one, one on a call that ran out of time, and one on a call that never waited get a plain sentence."""
    post = Post()
    approvals = Approvals()

    def twice(approvals: Approvals, asked: ApprovalAsked) -> None:
        assert approvals.deny(asked.step_id, by="first") is None
        assert approvals.approve(asked.step_id, by="second") == UNKNOWN

    events = await play(post, twice, approvals=approvals)

    assert of(events, ApprovalDecided)[0].by == "first"
    for late in (of(events, ApprovalAsked)[0].step_id, "unknown"):
        assert approvals.deny(late, by="third") == UNKNOWN
    assert post.sent == []


async def test_stopping_the_turn_ends_the_wait_at_once() -> None:
    """The waiting call is told to have been stopped, nothing runs, and the history is one that the API takes."""
    post, stop = Post(), asyncio.Event()

    events = await asyncio.wait_for(play(post, lambda all_, asked: stop.set(), stop=stop), 5)

    assert of(events, ApprovalDecided)[0].verdict == "stopped"
    [finished] = of(events, ToolFinished)
    assert (finished.content, finished.cancelled) == (NEVER_BEGUN, True)
    assert end_of(events).outcome == "cancelled"
    assert post.sent == []


async def test_other_calls_go_on_while_one_waits() -> None:
    """A call that waits takes no place from those that need no consent."""
    post = Post()
    approvals, places = Approvals(), []
    model = scripted(Answer(calls=[CALL, Call("look", {})]), Answer("Done."))
    events = []

    async def approve_when_looked(asked: ApprovalAsked) -> None:
        await post.looked.wait()
        approvals.approve(asked.step_id, by="g")

    async for event in run_turn(model, post.toolbox, QUESTION, approvals=approvals, max_parallel_tools=1):
        events.append(event)
        if isinstance(event, ApprovalAsked):
            places.append(asyncio.create_task(approve_when_looked(event)))

    check(events, QUESTION)
    assert [event.name for event in of(events, ToolFinished)] == ["look", "send"]
    assert post.sent == [("ada", "hello")]


async def test_waiting_does_not_count_as_the_tools_own_time() -> None:
    """The call starts when it is approved, and its duration is its own."""
    post = Post()

    def approve_later(approvals: Approvals, asked: ApprovalAsked) -> None:
        asyncio.get_running_loop().call_later(0.3, lambda: approvals.approve(asked.step_id, by="g"))

    events = await play(post, approve_later)

    [asked], [started], [finished] = of(events, ApprovalAsked), of(events, ToolStarted), of(events, ToolFinished)
    assert (started.at - asked.at).total_seconds() >= 0.29
    assert finished.duration < 0.29
    assert finished.content == "sent"


async def test_a_call_that_cannot_run_asks_nobody() -> None:
    """Wrong arguments and unknown names fail before a person is bothered."""
    post = Post()

    events = await play(post, lambda all_, asked: None, Call("send", {"to": 1}), Call("shout", {}))

    assert of(events, ApprovalAsked) == []
    assert [event.error is not None for event in of(events, ToolFinished)] == [True, True]


@pytest.mark.parametrize(
    ("unasked", "sent", "words"),
    [
        (
            Unasked("denied", reason="Nobody is here."),
            [],
            "consent of a person. Nobody is here.",
        ),
        (Unasked("approved", by="A_SETTING"), [("ada", "hello")], "sent"),
    ],
)
async def test_where_nobody_can_be_asked_it_is_decided_beforehand(
    unasked: Unasked, sent: list[tuple[str, str]], words: str
) -> None:
    """No call waits; the decision, and the setting that made it, are told all the same."""
    post = Post()

    events = await play(post, lambda all_, asked: None, approvals=Approvals(unasked))

    assert of(events, ApprovalAsked) == []
    [decided] = of(events, ApprovalDecided)
    assert (decided.verdict, decided.by) == (unasked.verdict, unasked.by)
    assert post.sent == sent
    assert words in told(events)


async def test_a_reader_that_goes_away_leaves_no_wait_behind() -> None:
    """Closing the stream while a call waits ends the wait; a decision after that is refused."""
    post, approvals = Post(), Approvals()
    stream: Any = run_turn(scripted(Answer(calls=[CALL])), post.toolbox, QUESTION, approvals=approvals)
    asked = next(event for event in [await anext(stream) for _ in range(3)] if isinstance(event, ApprovalAsked))

    await stream.aclose()

    assert approvals.approve(asked.step_id, by="g") == UNKNOWN
    assert post.sent == []
