"""What one browser tab shows of a conversation: events become messages and nested steps, sent to it directly."""

from datetime import UTC, datetime
from typing import cast

from chainlit.emitter import ChainlitEmitter
from chainlit.session import WebsocketSession, ws_sessions_id

from agent.conversation import Conversation, Turn, TurnStarted
from agent.events import ApprovalAsked, ApprovalDecided, Event, TextDelta, ToolDelta, TurnFinished, new_id
from chat.approval import card, card_id
from recording.chainlit_layer import chainlit_step
from recording.steps import ASSISTANT, Step, TurnSteps, message_id, message_step


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
    """

    def __init__(self, session: WebsocketSession) -> None:
        self.session = session
        self.asking: str | None = None
        self._emitter = ChainlitEmitter(session)
        self._steps: TurnSteps | None = None
        self._shown: dict[str, Step] = {}

    @property
    def alive(self) -> bool:
        """Whether Chainlit still knows the session; it keeps one for a while after the tab is closed."""
        return ws_sessions_id.get(self.session.id) is self.session

    async def __call__(self, turn: Turn, event: Event | TurnStarted) -> None:
        """Show one event. In the tab that asked, Chainlit itself shows the question, the run and the waiting state."""
        elsewhere = turn.question_id != self.asking
        if isinstance(event, TurnStarted):
            self._steps, self._shown = TurnSteps(turn), {}
            if elsewhere:
                await self._emitter.task_start()
        if self._steps is None:
            return  # this tab came in the middle of a turn; it sees the next one
        if isinstance(event, TextDelta):
            await self._stream(turn, event)
        if isinstance(event, ToolDelta):
            await self._emitter.send_token(id=event.step_id, token=event.text)
        for step in self._steps.of(event):
            if elsewhere or step["id"] not in (turn.question_id, turn.run_id):
                await self._show(step)
        if isinstance(event, ApprovalAsked):
            await self._emitter.emit("element", card(event, turn.thread_id))
        if isinstance(event, ApprovalDecided):
            await self._emitter.emit("remove_element", {"id": card_id(event.step_id)})
        if isinstance(event, TurnFinished) and elsewhere:
            await self._emitter.task_end()

    async def say(self, sentence: str, step_id: str | None = None, parent: str | None = None) -> None:
        """Show a sentence of ours that is not part of an answer."""
        at = datetime.now(UTC)
        step = message_step(self.session.thread_id, step_id or new_id(), "assistant_message", ASSISTANT, sentence, at)
        await self._emitter.send_step(chainlit_step(step | {"parentId": parent}))

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
