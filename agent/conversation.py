"""One conversation per thread, shared by all of a user's tabs: its messages, its running turn and who is watching."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agent.approval import Approvals
from agent.events import Event, Message, TurnFinished, new_id, now
from agent.options import DEFAULTS, Options

logger = logging.getLogger(__name__)

Client = str
"""By which door a question came in: `chat` or `http`."""

Answer = Callable[["Turn"], AsyncIterator[Event]]
"""Makes the events of one turn: from its history and question, as its options have it, until it shall stop."""


class ConversationBusyError(Exception):
    """A question came while the answer to the one before it is still being made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    """A question was accepted; listeners hear this before any event of the loop."""

    at: datetime = field(default_factory=now)


@dataclass(eq=False, slots=True)
class Turn:
    """One question on its way to an answer.

    `history` is what the model gets before the question. `rebased` tells that it is not what this conversation held
    (an HTTP client may post any history), so that the record must keep it too. `options` are those of the thread as
    they were when it was asked; `approvals` is where its tool calls wait for a person's consent.
    """

    thread_id: str
    user: str
    client: Client
    question: Message
    history: list[Message]
    rebased: bool
    first: bool
    question_id: str
    run_id: str
    options: Options = DEFAULTS
    approvals: Approvals = field(default_factory=Approvals)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    finished: "asyncio.Future[TurnFinished]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def stop(self) -> None:
        """Ask the turn to end now; what was said so far is kept and the stream still closes in order."""
        self.stopping.set()


Listener = Callable[[Turn, Event | TurnStarted], Awaitable[None]]


class Conversation:
    """The state of one thread; all changes happen on the event loop that runs its turns."""

    def __init__(self, thread_id: str, user: str, messages: Sequence[Message] = (), recorded: bool = False) -> None:
        self.thread_id = thread_id
        self.user = user
        self.messages: list[Message] = list(messages)
        self.recorded = recorded
        self.options = DEFAULTS
        self.turn: Turn | None = None
        self.listeners: list[Listener] = []
        self._queue = asyncio.Lock()
        self._drivers: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether nobody would miss this object: no turn runs or waits, and nobody watches."""
        watched = any(getattr(listener, "alive", True) for listener in self.listeners)
        return self.turn is None and not self._queue.locked() and not watched

    async def ask(
        self,
        question: Message,
        answer: Answer,
        recorder: Listener | None,
        *,
        client: Client,
        history: Sequence[Message] | None = None,
        question_id: str | None = None,
        run_id: str | None = None,
        options: Options | None = None,
        approvals: Approvals | None = None,
    ) -> Turn:
        """Start a turn and return it at once; its `finished` future holds the last event.

        With a `history` given, this turn waits for the running one and then stands on that history; without one it
        stands on the conversation, and raises ConversationBusyError while another turn runs. It has the options of the
        conversation unless others are given. The recorder hears each event before the other listeners do.
        """
        if history is None and (self.turn or self._queue.locked()):
            raise ConversationBusyError
        await self._queue.acquire()
        if self.turn:  # one that older code has started, before a save of the source
            await asyncio.wait([self.turn.finished])
        past = list(self.messages if history is None else history)
        turn = Turn(
            thread_id=self.thread_id,
            user=self.user,
            client=client,
            question=question,
            history=past,
            rebased=past != self.messages,
            first=not self.recorded,
            question_id=question_id or new_id(),
            run_id=run_id or new_id(),
            options=self.options if options is None else options,
            approvals=approvals or Approvals(),
        )
        self.turn, self.recorded = turn, True
        driver = asyncio.create_task(self._drive(turn, answer, recorder), name=f"turn {turn.run_id}")
        self._drivers.add(driver)
        driver.add_done_callback(self._drivers.discard)
        return turn

    def go_on_after(self, older: "Conversation") -> None:
        """Take over from a conversation of older code: its messages now, and those of its running turn at its end.

        The two are of different classes when the source was saved and imported anew, so only attributes are read.
        """
        self.turn = older.turn
        self.options = older.options
        if older.turn:
            older.turn.finished.add_done_callback(lambda _: self._older_turn_ended(older))

    def _older_turn_ended(self, older: "Conversation") -> None:
        self.turn = None
        self.messages = list(older.messages)

    async def _drive(self, turn: Turn, answer: Answer, recorder: Listener | None) -> None:
        """Read the turn to its end in a task of its own, so that a closed tab or a lost socket does not end it."""
        last: TurnFinished | None = None
        try:
            await self._tell(turn, TurnStarted(), recorder)
            async for event in answer(turn):
                if isinstance(event, TurnFinished):
                    last = event
                    self.messages = [*turn.history, turn.question, *event.messages]
                await self._tell(turn, event, recorder)
        finally:
            self.turn = None
            self._queue.release()
            if not turn.finished.done():
                if last is None:
                    turn.finished.cancel()
                else:
                    turn.finished.set_result(last)

    async def _tell(self, turn: Turn, event: Event | TurnStarted, recorder: Listener | None) -> None:
        for listener in [recorder, *self.listeners]:
            if listener is None:
                continue
            try:
                await listener(turn, event)
            except Exception:  # a broken screen or recorder must not end somebody's turn
                logger.exception("A listener failed on %s of thread %s", type(event).__name__, turn.thread_id)


class Conversations:
    """All open conversations of this process, by user and thread; idle ones beyond `keep` are let go, oldest first."""

    def __init__(self, keep: int = 1000) -> None:
        self._keep = keep
        self.by_thread: OrderedDict[tuple[str, str], Conversation] = OrderedDict()

    def take_over(self, older: "Conversations") -> None:
        """Go on with the conversations of older code, which finishes the turns it has begun."""
        for (user, thread_id), conversation in older.by_thread.items():
            recorded = conversation.messages if conversation.recorded else None
            self.open(user, thread_id, recorded).go_on_after(conversation)

    def find(self, user: str, thread_id: str) -> Conversation | None:
        """Return the conversation if it is open."""
        return self.by_thread.get((user, thread_id))

    def open(self, user: str, thread_id: str, recorded: Sequence[Message] | None = None) -> Conversation:
        """Return the open conversation, or open one with the messages that the record holds (None: a new thread)."""
        key = (user, thread_id)
        if key not in self.by_thread:
            self.by_thread[key] = Conversation(thread_id, user, recorded or (), recorded=recorded is not None)
        self.by_thread.move_to_end(key)
        self._let_go(besides=key)
        return self.by_thread[key]

    def forget(self, thread_id: str) -> None:
        """Drop a deleted thread's conversations and stop what runs in them."""
        for key in [key for key in self.by_thread if key[1] == thread_id]:
            conversation = self.by_thread.pop(key)
            if conversation.turn:
                conversation.turn.stop()

    async def stop_all(self, seconds: float) -> None:
        """Stop every running turn and wait for their orderly ends, at most `seconds`."""
        turns = [conversation.turn for conversation in self.by_thread.values() if conversation.turn]
        for turn in turns:
            turn.stop()
        if turns:
            await asyncio.wait([turn.finished for turn in turns], timeout=seconds)

    def _let_go(self, besides: tuple[str, str]) -> None:
        for key in list(self.by_thread):
            if len(self.by_thread) <= self._keep:
                return
            if key != besides and self.by_thread[key].idle:
                del self.by_thread[key]
