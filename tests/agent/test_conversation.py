"""One conversation, many listeners: turns run one at a time and outlive the one who asked."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent.conversation import (
    Answer,
    Conversation,
    ConversationBusyError,
    Conversations,
    Exchange,
    Turn,
    TurnStarted,
    UnknownQuestionError,
    joined,
)
from agent.events import Event, Message, TextDelta, TurnFinished, new_id
from agent.options import DEFAULTS, Options

pytestmark = pytest.mark.anyio


def asked(text: str) -> Message:
    return {"role": "user", "content": text}


def said(text: str) -> Message:
    return {"role": "assistant", "content": text}


async def echo(turn: Turn) -> AsyncIterator[Event]:
    """Answer with the number of messages seen and the question itself."""
    text = f"{len(turn.history) + 1}: {turn.question['content']}"
    yield TextDelta(step_id="s", text=text)
    yield TurnFinished(step_id=new_id(), outcome="answered", messages=[said(text)], text=text)


async def ask(conversation: Conversation, text: str) -> Turn:
    """Ask a question and wait for its answer."""
    turn = await conversation.ask(asked(text), echo, None, client="chat")
    await turn.finished
    return turn


async def until_stopped(turn: Turn) -> AsyncIterator[Event]:
    """Say nothing before being stopped."""
    await turn.stopping.wait()
    yield TurnFinished(step_id=new_id(), outcome="cancelled", messages=[], text="")


async def test_a_turn_adds_question_and_answer_to_the_messages() -> None:
    """After a turn the conversation holds the question and what was answered, and the next turn stands on both."""
    conversation = Conversation("t", "u")

    await (await conversation.ask(asked("a"), echo, None, client="chat")).finished
    await (await conversation.ask(asked("b"), echo, None, client="chat")).finished

    assert conversation.messages == [asked("a"), said("1: a"), asked("b"), said("3: b")]
    assert conversation.idle


async def test_a_question_during_a_turn_is_refused() -> None:
    """A second question of the chat raises while the first is being answered, and the first is not disturbed."""
    conversation = Conversation("t", "u")
    turn = await conversation.ask(asked("a"), until_stopped, None, client="chat")

    with pytest.raises(ConversationBusyError):
        await conversation.ask(asked("b"), echo, None, client="chat")

    turn.stop()
    assert (await turn.finished).outcome == "cancelled"


async def test_http_requests_for_one_thread_wait_for_each_other() -> None:
    """Two requests with histories of their own run one after the other, each on its own history."""
    conversation = Conversation("t", "u")
    seen: list[str] = []

    async def watch(turn: Turn, event: object) -> None:
        seen.append(f"{turn.question['content']} {type(event).__name__}")

    asks = [conversation.ask(asked(text), echo, watch, client="http", history=[]) for text in ("a", "b")]
    turns = await asyncio.gather(*asks)
    ends = [await turn.finished for turn in turns]

    assert [end.text for end in ends] == ["1: a", "1: b"]
    assert seen == [f"{who} {what}" for who in "ab" for what in ("TurnStarted", "TextDelta", "TurnFinished")]


async def test_only_a_foreign_history_counts_as_rebased() -> None:
    """A client that posts back what it was given continues the conversation; any other history is marked."""
    conversation = Conversation("t", "u")
    first = await conversation.ask(asked("a"), echo, None, client="http", history=[])
    await first.finished
    same = await conversation.ask(asked("b"), echo, None, client="http", history=list(conversation.messages))
    await same.finished
    other = await conversation.ask(asked("c"), echo, None, client="http", history=[said("made up")])
    await other.finished

    assert (first.rebased, same.rebased, other.rebased) == (False, False, True)
    assert (first.first, same.first) == (True, False)
    assert conversation.messages == [said("made up"), asked("c"), said("2: c")]


async def test_a_broken_listener_does_not_end_the_turn() -> None:
    """A screen that raises is logged; recorder and other screens still hear every event."""
    conversation = Conversation("t", "u")
    heard: list[type] = []

    async def broken(turn: Turn, event: object) -> None:
        raise RuntimeError("no screen")

    async def hear(turn: Turn, event: object) -> None:
        heard.append(type(event))

    conversation.listeners += [broken, hear]
    await (await conversation.ask(asked("a"), echo, broken, client="chat")).finished

    assert heard == [TurnStarted, TextDelta, TurnFinished]


async def test_the_turn_outlives_the_task_that_asked() -> None:
    """When the asking task is cancelled, the turn still runs to its end."""
    conversation = Conversation("t", "u")
    go, begun = asyncio.Event(), asyncio.Event()
    turns: list[Turn] = []

    async def slow(turn: Turn) -> AsyncIterator[Event]:
        begun.set()
        await go.wait()
        async for event in echo(turn):
            yield event

    async def ask() -> None:
        turns.append(await conversation.ask(asked("a"), slow, None, client="chat"))
        await asyncio.shield(turns[0].finished)

    asking = asyncio.create_task(ask())
    await begun.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    go.set()

    assert (await turns[0].finished).text == "1: a"


async def test_a_turn_keeps_the_options_it_was_asked_with() -> None:
    """A turn has the options of its conversation, or those given with the question, whatever is set afterwards."""
    conversation = Conversation("t", "u")
    conversation.options = Options(model="thread's")

    ours = await conversation.ask(asked("a"), until_stopped, None, client="chat")
    conversation.options = Options(model="later")
    ours.stop()
    await ours.finished
    given = await conversation.ask(asked("b"), echo, None, client="http", history=[], options=DEFAULTS)

    assert (ours.options.model, given.options) == ("thread's", DEFAULTS)


async def silent(turn: Turn) -> AsyncIterator[Event]:
    """End without a last event."""
    return
    yield


async def broken(turn: Turn) -> AsyncIterator[Event]:
    """Break in the middle of an answer."""
    yield TextDelta(step_id="s", text="Well, ")
    raise RuntimeError("a bug")


@pytest.mark.parametrize("answer", [silent, broken])
async def test_a_crash_of_the_loop_ends_the_turn_in_words(answer: Answer) -> None:
    """Whatever the loop does, everybody hears of an end, and the conversation goes on."""
    conversation = Conversation("t", "u")
    heard: list[object] = []

    async def hear(turn: Turn, event: object) -> None:
        heard.append(event)

    turn = await conversation.ask(asked("a"), answer, hear, client="chat")
    end = await turn.finished

    assert (end.outcome, end.said_by_us, bool(end.error)) == ("failed", True, True)
    assert heard[-1] is end
    assert conversation.idle


async def test_an_edit_stands_on_what_was_before_it() -> None:
    """The branch knows the exchanges before the edited question and none after; the cut ones are handed over."""
    conversation = Conversation("t", "u")
    turns = [await ask(conversation, text) for text in "abc"]

    branch = await conversation.branch(turns[1].question_id, echo, None, question=asked("B"))
    await branch.finished

    assert conversation.messages == [asked("a"), said("1: a"), asked("B"), said("3: B")]
    assert [exchange.question["content"] for exchange in branch.cut] == ["b", "c"]
    assert branch.question_id not in {turn.question_id for turn in turns}


async def test_another_answer_is_asked_for_on_the_same_ground() -> None:
    """The same question is asked again without its first answer, on a posted history if it stood on one."""
    conversation = Conversation("t", "u")
    await ask(conversation, "a")
    posted = await conversation.ask(asked("b"), echo, None, client="http", history=[said("made up")])
    await posted.finished

    branch = await conversation.branch(posted.question_id, echo, None)
    await branch.finished

    assert (branch.question, branch.history, branch.rebased) == (asked("b"), [said("made up")], True)
    assert conversation.messages == [said("made up"), asked("b"), said("2: b")]


async def test_an_edit_during_a_turn_stops_it_first() -> None:
    """The running turn ends in order before the branch begins, and is part of what is cut."""
    conversation = Conversation("t", "u")
    running = await conversation.ask(asked("a"), until_stopped, None, client="chat")

    branch = await conversation.branch(running.question_id, echo, None, question=asked("b"))

    assert (await running.finished).outcome == "cancelled"
    assert (await branch.finished).text == "1: b"
    assert branch.cut == [running.exchange]


async def test_of_two_edits_at_once_one_is_refused() -> None:
    """Two tabs edit the same question: the first wins, and the other learns that the question is gone."""
    conversation = Conversation("t", "u")
    turn = await ask(conversation, "a")

    edits = [conversation.branch(turn.question_id, echo, None, question=asked(text)) for text in ("b", "c")]
    first, second = await asyncio.gather(*edits, return_exceptions=True)

    assert isinstance(first, Turn)
    assert isinstance(second, UnknownQuestionError)
    await first.finished
    assert conversation.messages == [asked("b"), said("1: b")]
    assert conversation.idle


async def test_an_edited_question_can_be_edited_again() -> None:
    """The branch's question is a question like any other; the one it replaced is no longer there."""
    conversation = Conversation("t", "u")
    turn = await ask(conversation, "a")
    second = await conversation.branch(turn.question_id, echo, None, question=asked("b"))
    await second.finished

    with pytest.raises(UnknownQuestionError):
        await conversation.branch(turn.question_id, echo, None, question=asked("c"))
    third = await conversation.branch(second.question_id, echo, None, question=asked("c"))
    await third.finished

    assert conversation.messages == [asked("c"), said("1: c")]


async def test_a_refused_question_can_be_asked_again_in_its_place() -> None:
    """What was typed during an answer is kept beside it, is not told to the model, and an edit makes it a turn."""
    conversation = Conversation("t", "u")
    await ask(conversation, "a")
    refused = conversation.refuse("busy", asked("b"))
    assert conversation.messages == [asked("a"), said("1: a")]

    branch = await conversation.branch(refused.question_id, echo, None)
    await branch.finished

    assert conversation.messages == [asked("a"), said("1: a"), asked("b"), said("3: b")]


async def test_the_log_of_a_turn_holds_all_and_is_shortened_at_the_end() -> None:
    """Who comes in the middle can read every event so far; afterwards the pieces of a text are one."""
    conversation = Conversation("t", "u")
    middle = asyncio.Event()
    go = asyncio.Event()

    async def in_pieces(turn: Turn) -> AsyncIterator[Event]:
        for text in "abc":
            yield TextDelta(step_id="s", text=text)
        middle.set()
        await go.wait()
        yield TextDelta(step_id="other", text="d")
        yield TurnFinished(step_id=new_id(), outcome="answered", messages=[said("abc")], text="abc")

    turn = await conversation.ask(asked("a"), in_pieces, None, client="chat")
    await middle.wait()
    pieces = joined(turn.log)
    go.set()
    await turn.finished

    assert [type(event) for event in pieces] == [TurnStarted, TextDelta]
    assert pieces[1] == TextDelta(step_id="s", text="abc")
    assert [event.text for event in turn.log if isinstance(event, TextDelta)] == ["abc", "d"]
    assert conversation.latest is turn


async def test_one_object_per_user_and_thread() -> None:
    """Two tabs of one user share a conversation; another user's is not it, even with the same thread id."""
    conversations = Conversations()

    mine = conversations.open("ada", "t", [Exchange("q", asked("a"))])

    assert conversations.open("ada", "t") is mine
    assert conversations.open("eve", "t") is not mine
    assert conversations.open("eve", "t").messages == []


async def test_idle_conversations_are_let_go_oldest_first() -> None:
    """Beyond the limit the oldest idle ones go; one with a turn running or a tab open stays."""
    conversations = Conversations(keep=2)
    busy = conversations.open("u", "busy")
    turn = await busy.ask(asked("a"), until_stopped, None, client="chat")
    for thread in ("old", "new", "newest"):
        conversations.open("u", thread)

    assert conversations.find("u", "busy") is busy
    assert conversations.find("u", "old") is None
    assert conversations.find("u", "newest") is not None
    turn.stop()
    await turn.finished


async def test_screens_of_gone_tabs_do_not_keep_a_conversation() -> None:
    """A conversation whose tabs are all gone is let go like any other."""

    class Screen:
        alive = True

        async def __call__(self, turn: Turn, event: object) -> None:
            """Show nothing."""

    conversations = Conversations(keep=1)
    screen = Screen()
    conversations.open("u", "watched").listeners.append(screen)
    conversations.open("u", "other")
    assert conversations.find("u", "watched") is not None

    screen.alive = False
    conversations.open("u", "another")

    assert conversations.find("u", "watched") is None


async def test_a_deleted_thread_stops_its_turn() -> None:
    """Forgetting a thread stops what runs in it."""
    conversations = Conversations()
    turn = await conversations.open("u", "t").ask(asked("a"), until_stopped, None, client="chat")

    conversations.forget("t")

    assert (await turn.finished).outcome == "cancelled"
    assert conversations.find("u", "t") is None


async def test_stop_all_waits_for_orderly_ends() -> None:
    """At shutdown every running turn is stopped and has ended when the call returns."""
    conversations = Conversations()
    turns = [
        await conversations.open("u", str(i)).ask(asked("a"), until_stopped, None, client="chat") for i in range(3)
    ]

    await conversations.stop_all(5)

    assert all(turn.finished.done() for turn in turns)


async def test_newer_code_takes_over_conversations_and_waits_for_their_turns() -> None:
    """After a save new objects go on where the old ones are: busy until the old turn ends, then with its messages."""
    older, newer = Conversations(), Conversations()
    quiet = older.open("u", "quiet", [Exchange("q", asked("a"))])
    busy = older.open("u", "busy")
    turn = await busy.ask(asked("b"), until_stopped, None, client="chat")

    newer.take_over(older)

    assert newer.open("u", "quiet").messages == quiet.messages
    with pytest.raises(ConversationBusyError):
        await newer.open("u", "busy").ask(asked("c"), echo, None, client="chat")
    waiting = asyncio.create_task(newer.open("u", "busy").ask(asked("d"), echo, None, client="http", history=[]))
    turn.stop()
    await (await waiting).finished
    assert [message["content"] for message in newer.open("u", "busy").messages] == ["d", "1: d"]


async def test_newer_code_has_the_messages_of_a_turn_that_ended_meanwhile() -> None:
    """What the older code's last turn said is part of the conversation when the next question comes."""
    older, newer = Conversations(), Conversations()
    turn = await older.open("u", "t").ask(asked("a"), echo, None, client="chat")
    newer.take_over(older)
    await turn.finished

    following = await newer.open("u", "t").ask(asked("b"), echo, None, client="chat")

    assert (await following.finished).text == "3: b"
    assert not following.first
