"""What one browser tab shows of a conversation: events become messages and nested steps, sent to it directly."""

import asyncio
from datetime import UTC, datetime
from typing import cast

from chainlit.action import Action
from chainlit.emitter import ChainlitEmitter
from chainlit.session import WebsocketSession, ws_sessions_id

from agent.conversation import Conversation, Exchange, Turn, TurnStarted, joined
from agent.events import ApprovalAsked, ApprovalDecided, Event, TextDelta, ToolDelta, TurnFinished, new_id
from chat.approval import card, card_id
from recording.chainlit_shapes import chainlit_step
from recording.steps import ASSISTANT, Step, TurnSteps, message_id, message_step, text_of

AGAIN = "regenerate"
"""The name, and in every tab the only id, of the button that asks for another answer."""


def show(conversation: Conversation, session: WebsocketSession) -> "Screen":
    """Return the session's screen on this conversation, put up now if it is not yet; screens of gone sessions go."""
    conversation.listeners[:] = [screen for screen in conversation.listeners if getattr(screen, "alive", True)]
    for screen in conversation.listeners:
        if getattr(screen, "session", None) is session:
            return cast(Screen, screen)
    screen = Screen(session)
    conversation.listeners.append(screen)
    return screen


class Screen:
    """What one browser tab shows of a conversation's turns, its own and those that another tab asked for.

    It speaks to the browser directly: `cl.Step` and `cl.Message` would write each of these to the data layer again.
    It follows the log of a turn and knows how far it has come, so that it can join a turn at any time. `answered` are
    the ids of the last question and answer of the thread that the tab was shown.
    """

    def __init__(self, session: WebsocketSession) -> None:
        self.session = session
        self.asking: str | None = None
        self.answered: tuple[str, str] | None = None
        self._emitter = ChainlitEmitter(session)
        self._lock = asyncio.Lock()
        self._turn: Turn | None = None
        self._steps: TurnSteps | None = None
        self._shown: dict[str, Step] = {}
        self._heard = 0
        self._waits = False

    @property
    def alive(self) -> bool:
        """Whether Chainlit still knows the session; it keeps one for a while after the tab is closed."""
        return ws_sessions_id.get(self.session.id) is self.session

    async def __call__(self, turn: Turn, _event: Event | TurnStarted) -> None:
        """Show what is new in the turn."""
        async with self._lock:
            await self._follow(turn)

    async def join(self, conversation: Conversation) -> None:
        """Show the turn that began last from its beginning, whatever the tab has seen of it."""
        async with self._lock:
            self._turn = self.asking = None
            if conversation.latest:  # asked only now: while this waited for its place, another may have begun
                await self._follow(conversation.latest)
            elif self.answered:
                await self.offer_another(*self.answered)

    async def put(self, exchange: Exchange, author: str) -> None:
        """Show a question that the page has not drawn by itself."""
        at, text = datetime.now(UTC), text_of(exchange.question)
        step = message_step(self.session.thread_id, exchange.question_id, "user_message", author, text, at)
        await self._emitter.send_step(chainlit_step(step))

    async def say(self, sentence: str, step_id: str | None = None, parent: str | None = None) -> None:
        """Show a sentence of ours that is not part of an answer."""
        at = datetime.now(UTC)
        step = message_step(self.session.thread_id, step_id or new_id(), "assistant_message", ASSISTANT, sentence, at)
        await self._emitter.send_step(chainlit_step(step | {"parentId": parent}))

    async def offer_another(self, question_id: str, answer_id: str) -> None:
        """Put the button for another answer under this one, and under no other."""
        await self._take_offer_back()
        button = Action(
            name=AGAIN,
            id=AGAIN,
            payload={"question": question_id},
            icon="refresh-cw",
            tooltip="Ask again for another answer",
            forId=answer_id,
        )
        await self._emitter.emit("action", button.to_dict())

    async def _take_offer_back(self) -> None:
        await self._emitter.emit("remove_action", {"id": AGAIN})

    async def _follow(self, turn: Turn) -> None:
        if turn is not self._turn:
            self._turn, self._steps, self._shown, self._heard = turn, TurnSteps(turn), {}, 0
        log = turn.log
        while self._heard < len(log):
            news = joined(log[self._heard :])
            self._heard = len(log)
            for event in news:
                await self._show_event(turn, event)

    async def _show_event(self, turn: Turn, event: Event | TurnStarted) -> None:
        """Show one event. In the tab that asked, Chainlit itself shows the question, the run and the waiting state."""
        elsewhere = turn.question_id != self.asking
        if isinstance(event, TurnStarted):
            await self._begin(turn, elsewhere)
        if isinstance(event, TextDelta):
            await self._stream(turn, event)
        if isinstance(event, ToolDelta):
            await self._emitter.send_token(id=event.step_id, token=event.text)
        for step in self._steps.of(event) if self._steps else ():
            if elsewhere or step["id"] not in (turn.question_id, turn.run_id):
                await self._show(step)
        if isinstance(event, ApprovalAsked):
            await self._emitter.emit("element", card(event, turn.thread_id))
        if isinstance(event, ApprovalDecided):
            await self._emitter.emit("remove_element", {"id": card_id(event.step_id)})
        if isinstance(event, TurnFinished):
            await self._end(turn)

    async def _begin(self, turn: Turn, elsewhere: bool) -> None:
        await self._take_offer_back()
        for exchange in turn.cut:
            await self._drop(exchange)
        self._waits = elsewhere and not turn.finished.done()
        if self._waits:
            await self._emitter.task_start()

    async def _end(self, turn: Turn) -> None:
        answers = [step_id for step_id, step in self._shown.items() if step["type"] == "assistant_message"]
        if answers:
            await self.offer_another(turn.question_id, answers[-1])
        if self._waits:
            await self._emitter.task_end()

    async def _drop(self, exchange: Exchange) -> None:
        """Take a question off the screen with all that is below it, and the notice beside it if it was refused."""
        for step_id in (exchange.question_id, message_id(exchange.question_id)):
            await self._emitter.emit("delete_message", {"id": step_id})

    async def _stream(self, turn: Turn, event: TextDelta) -> None:
        answer = message_id(event.step_id)
        if answer in self._shown:
            await self._emitter.send_token(id=answer, token=event.text)
            return
        at = datetime.now(UTC)
        step = message_step(turn.thread_id, answer, "assistant_message", ASSISTANT, event.text, at)
        self._shown[answer] = step | {"parentId": turn.run_id}
        await self._emitter.stream_start(chainlit_step(self._shown[answer]) | {"streaming": True})

    async def _show(self, step: Step) -> None:
        known = self._shown.get(step["id"])
        self._shown[step["id"]] = merged = {**(known or {}), **step}
        if known:
            await self._emitter.update_step(chainlit_step(merged))
        else:
            await self._emitter.send_step(chainlit_step(merged))
