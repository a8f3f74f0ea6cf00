"""What a person can do in a tab: ask, stop, edit a question, ask for another answer, come back after a lost line."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from chainlit.data import get_data_layer
from chainlit.emitter import ChainlitEmitter
from chainlit.session import WebsocketSession
from chainlit.types import ThreadDict

from agent.conversation import (
    Answer,
    Conversation,
    ConversationBusyError,
    Conversations,
    Exchange,
    Turn,
    UnknownQuestionError,
)
from agent.events import Message, new_id
from agent.json_text import whole_characters
from chat.screen import Screen, show
from chat.settings import KEPT_AS, Panel
from pace import Questions, RefusedQuestionError
from recording.history import RecordedThread, find_own
from recording.recorder import Recorder
from recording.steps import message_id, text_of

logger = logging.getLogger(__name__)

BUSY = "I am still answering the question before this one. Please ask again when I am done, or stop me first."
BROKEN = "Something broke on our side, and it is in the log. What you wrote is kept; please ask again."
UNREADABLE = (
    "The record of this conversation cannot be read at the moment, and without it I would not know what was said. "
    "What you wrote is kept; please ask again in a moment."
)
CUT_OFF = "That question is not part of this conversation any more. What you wrote is kept; please ask it as a new one."
NOT_SET = "These settings could not be taken; what was set before stays. Please try again in a moment."
MOVED = "The thread you were in was deleted, so your question begins a new one."
STOPPED_EARLY = "Stopped before I had begun. What you wrote is kept."
OPENED = "verbatimThread"
"""Under this name public/verbatim.js hears which thread a question has opened."""
NOT_RECORDED = "Recording is off (RECORDING=off): nothing of this conversation is kept."


@dataclass(frozen=True)
class Tabs:
    """Connects the sessions of browser tabs with the conversations they look at.

    Args:
        conversations: all open ones.
        answer: the agent.
        recorder: hears every turn; None where recording is off.
        lookup: finds a thread in the record; raises ConnectionError when the record cannot be read.
        questions: how many a person may ask, and how long.
        panel: the settings of a thread.
    """

    conversations: Conversations
    answer: Answer
    recorder: Recorder | None
    lookup: Callable[[str], Awaitable[RecordedThread | None]]
    questions: Questions
    panel: Panel

    async def conversation_of(self, session: WebsocketSession) -> Conversation:
        """Return the conversation of a session's thread with its settings, from the record where it is not open.

        A thread that was deleted takes nothing new, so the session is given another one. Raises ConnectionError when
        the record cannot be read: to go on without it would forget what was said.
        """
        user, thread_id = user_of(session), session.thread_id
        conversation = self.conversations.find(user, thread_id)
        if conversation is None:
            recorded = None
            if session.thread_id_to_resume or thread_id in self.conversations.deleted:
                thread_id, recorded = await find_own(self.lookup, user, thread_id)
                session.thread_id = session.thread_id_to_resume = thread_id
            conversation = self.conversations.open(user, thread_id, recorded.exchanges if recorded else None)
        await self.panel.settle(conversation, session)
        return conversation

    async def begin(self, session: WebsocketSession) -> None:
        """Offer a tab with a new chat its settings."""
        await self.panel.show(await self.conversation_of(session), session)

    async def set_options(self, session: WebsocketSession, values: dict[str, Any]) -> None:
        """Take over what a person has set for the thread, for its next turns and in all its tabs."""
        try:
            await self.panel.change(await self.conversation_of(session), session, values)
        except Exception as error:
            logger.error("Settings were not taken", exc_info=error)
            await ChainlitEmitter(session).send_toast(NOT_SET, "error")

    async def ask(self, session: WebsocketSession, question_id: str, text: str, run_id: str) -> None:
        """Answer a question; the turn lives in the conversation and goes on when this tab is closed."""
        asked, thread_id = Exchange(question_id, user_message(text)), session.thread_id
        try:
            turn = await self._begin(session, asked, run_id)
        except asyncio.CancelledError:  # stopped, while the record was being read
            await self.refuse(session, asked, STOPPED_EARLY)
        except Exception as error:  # noqa: BLE001 - whatever it is, a person is told and what was typed is kept
            await self.refuse(session, asked, _in_words(error), kept=getattr(error, "kept", True))
        else:
            if session.thread_id != thread_id:
                await self._move(session)
            if self.recorder:
                await ChainlitEmitter(session).send_window_message({OPENED: session.thread_id})
            await _end_of(turn)

    async def _begin(self, session: WebsocketSession, asked: Exchange, run_id: str) -> Turn:
        self.questions.admit(user_of(session), text_of(asked.question))
        conversation = await self.conversation_of(session)
        screen = show(conversation, session)
        if self.recorder is None and not conversation.exchanges:
            await screen.say(NOT_RECORDED, parent=run_id)
        turn = await conversation.ask(
            asked.question,
            self.answer,
            self.recorder,
            client="chat",
            question_id=asked.question_id,
            run_id=run_id,
        )
        screen.asking = asked.question_id  # before any event of the turn: asking has started it, but not yet run it
        return turn

    async def _move(self, session: WebsocketSession) -> None:
        """Show a tab the thread that its question has begun in the place of a deleted one: the page goes there."""
        await ChainlitEmitter(session).send_toast(MOVED, "info")
        await self.catch_up(session)

    async def edit(self, session: WebsocketSession, question_id: str, text: str) -> None:
        """Put another question in the place of one; every tab on the thread drops what is cut and shows the branch."""
        question = user_message(text)
        try:
            self.questions.admit(user_of(session), text)
            conversation = await self.conversation_of(session)
            show(conversation, session)
            await conversation.branch(question_id, self.answer, self.recorder, question=question)
        except Exception as error:  # noqa: BLE001 - as above
            await self.catch_up(session)  # the page has cut its messages already
            asked = Exchange(new_id(), question)
            await Screen(session).put(asked, user_of(session))
            await self.refuse(session, asked, _in_words(error), kept=getattr(error, "kept", True))

    async def ask_again(self, session: WebsocketSession, question_id: str) -> None:
        """Give another answer to the last question; a click that comes late, on one that no longer is, does nothing."""
        conversation = await self.conversation_of(session)
        show(conversation, session)
        last = [exchange.question_id for exchange in conversation.exchanges if not exchange.refused][-1:]
        if conversation.turn is None and last == [question_id]:
            try:
                self.questions.admit(user_of(session), "")
            except RefusedQuestionError as error:
                await ChainlitEmitter(session).send_toast(str(error), "warning")
                return
            await conversation.branch(question_id, self.answer, self.recorder)

    def stop(self, session: WebsocketSession) -> None:
        """Stop the turn that the tab shows, whichever tab has asked for it and however it began."""
        conversation = self.conversations.find(user_of(session), session.thread_id)
        if conversation and conversation.turn:
            conversation.turn.stop()
        elif session.current_task:  # a question that has not become a turn yet
            session.current_task.cancel()

    async def refuse(self, session: WebsocketSession, asked: Exchange, sentence: str, *, kept: bool = True) -> None:
        """Tell why a question is not answered; it is recorded all the same, unless `kept` says otherwise."""
        if not kept:
            await Screen(session).say(sentence, message_id(asked.question_id))
            return
        user, thread_id = user_of(session), session.thread_id
        conversation = self.conversations.find(user, thread_id)
        if conversation:
            asked = conversation.refuse(asked.question_id, asked.question)
        if self.recorder:
            await self.recorder.refused(asked, thread_id=thread_id, user=user, sentence=sentence)
        await Screen(session).say(sentence, message_id(asked.question_id))

    async def resumed(self, session: WebsocketSession, thread: ThreadDict) -> None:
        """Put up a screen for a tab that is about to be shown this thread, and with it the settings it has now."""
        conversation = await self.conversation_of(session)
        show(conversation, session).answered = _last_answer(conversation, thread)
        thread["metadata"] = {**(thread["metadata"] or {}), KEPT_AS: await self.panel.show(conversation, session)}

    async def join(self, session: WebsocketSession) -> None:
        """Show a tab, after all else, the turn that runs or ran last: what it missed, and what is still to come."""
        conversation = self.conversations.find(user_of(session), session.thread_id)
        if conversation:
            await show(conversation, session).join(conversation)

    async def come_back(self, session: WebsocketSession) -> None:
        """Bring a tab up to date whose line was lost for a while; its session and its thread are what they were."""
        emitter = ChainlitEmitter(session)
        await emitter.task_end()
        await emitter.clear("clear_ask")
        await emitter.clear("clear_call_fn")
        await self.catch_up(session)

    async def catch_up(self, session: WebsocketSession) -> None:
        """Show a tab its thread anew, as far as the record can be read, and then the turn that runs."""
        layer = get_data_layer()
        try:
            thread = await layer.get_thread(session.thread_id) if layer else None
            if thread and thread["userIdentifier"] == user_of(session):
                await self.resumed(session, thread)
                await ChainlitEmitter(session).resume_thread(thread)
        except ConnectionError as error:
            logger.warning("A tab on thread %s is shown the latest turn only: %s", session.thread_id, error)
        await self.join(session)


def user_message(text: str) -> Message:
    """Return a question as the model API has it."""
    return {"role": "user", "content": whole_characters(text)}


def user_of(session: WebsocketSession) -> str:
    """Return the name of the person behind a session."""
    if session.user is None:
        raise RuntimeError("A session without a user: a login is always configured, so Chainlit lets none in.")
    return session.user.identifier


async def _end_of(turn: Turn) -> None:
    """Wait for a turn's end, however it comes."""
    await asyncio.wait([turn.finished])


def _in_words(error: Exception) -> str:
    """Say why a question is not answered."""
    match error:
        case ConversationBusyError():
            return BUSY
        case UnknownQuestionError():
            return CUT_OFF
        case RefusedQuestionError():
            return str(error)
        case ConnectionError():
            logger.warning("A question was refused: %s", error)
            return UNREADABLE
    logger.error("A question was refused because of a bug", exc_info=error)
    return BROKEN


def _last_answer(conversation: Conversation, thread: ThreadDict) -> tuple[str, str] | None:
    """Return the ids of the last question that had a turn and of its last answer on the screen, if it has one."""
    asked = [exchange for exchange in conversation.exchanges if not exchange.refused][-1:]
    answers = [step["id"] for step in thread["steps"] if step["type"] == "assistant_message"]
    found = [(asked[0].question_id, answer) for answer in answers if asked and answer in asked[0].steps]
    return found[-1] if found else None
