"""One conversation per thread, shared by all of a user's tabs: its messages, its running turn and who is watching."""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from agent.approval import Approvals
from agent.errors import InternalError
from agent.events import Event, Message, TextDelta, ToolDelta, TurnFinished, new_id, now
from agent.options import DEFAULTS, Options

logger = logging.getLogger(__name__)

BROKEN = "Something broke on our side and ended this turn; it is in the log. What you wrote is kept; please ask again."

Client = str
"""By which door a question came in: `chat` or `http`."""

Answer = Callable[["Turn"], AsyncIterator[Event]]
"""Makes the events of one turn: from its history and question, as its options have it, until it shall stop."""


class ConversationBusyError(Exception):
    """A question came while the answer to the one before it is still being made."""


class UnknownQuestionError(Exception):
    """A question to put another one in the place of is not, or no longer, part of the conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    """A question was accepted; listeners hear this before any event of the loop."""

    at: datetime = field(default_factory=now)


@dataclass(eq=False, slots=True)
class Exchange:
    """A question and what was said to it, as the conversation holds them from then on.

    `history` is what the question stood on where that was not the exchanges before it. A refused question got no
    turn and is not told to the model. `steps` is the recorder's: what it has recorded of this, ids with metadata.
    """

    question_id: str
    question: Message
    said: Sequence[Message] = ()
    history: Sequence[Message] | None = None
    refused: bool = False
    steps: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def messages_of(exchanges: Iterable[Exchange]) -> list[Message]:
    """Return what exchanges come to as a history for the model, oldest first."""
    messages: list[Message] = []
    for exchange in exchanges:
        if exchange.refused:
            continue
        if exchange.history is not None:
            messages = list(exchange.history)
        messages += [exchange.question, *exchange.said]
    return messages


@dataclass(eq=False, slots=True)
class Turn:
    """One question on its way to an answer.

    `history` is what the model gets before the question. `rebased` tells that it is not what this conversation held
    (an HTTP client may post any history), so that the record must keep it too. `options` are those of the thread as
    they were when it was asked; `approvals` is where its tool calls wait for a person's consent. `cut` are the
    exchanges whose place this turn takes, none for a mere next question. `log` holds every event so far, so that who
    comes in the middle can be told what happened.
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
    cut: Sequence[Exchange] = ()
    exchange: Exchange = field(init=False)
    log: list[Event | TurnStarted] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    finished: "asyncio.Future[TurnFinished]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def __post_init__(self) -> None:
        """Make the exchange that this turn fills."""
        self.exchange = Exchange(self.question_id, self.question, history=self.history if self.rebased else None)

    def stop(self) -> None:
        """Ask the turn to end now; what was said so far is kept and the stream still closes in order."""
        self.stopping.set()


Listener = Callable[[Turn, Event | TurnStarted], Awaitable[None]]


class Conversation:
    """The state of one thread; all changes happen on the event loop that runs its turns.

    `exchanges` are those of the branch that is open, the running one included; `latest` is the turn that began last.
    `options` are those of the next turns, None as long as nobody has said what the thread is kept with.
    """

    def __init__(self, thread_id: str, user: str, exchanges: Sequence[Exchange] = (), recorded: bool = False) -> None:
        self.thread_id = thread_id
        self.user = user
        self.exchanges: list[Exchange] = list(exchanges)
        self.recorded = recorded
        self.options: Options | None = None
        self.turn: Turn | None = None
        self.latest: Turn | None = None
        self.listeners: list[Listener] = []
        self._queue = asyncio.Lock()
        self._drivers: set[asyncio.Task[None]] = set()

    @property
    def messages(self) -> list[Message]:
        """All that was said, as a history for the model."""
        return messages_of(self.exchanges)

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
        past = self.messages
        turn = Turn(
            thread_id=self.thread_id,
            user=self.user,
            client=client,
            question=question,
            history=past if history is None else list(history),
            rebased=history is not None and list(history) != past,
            first=not self.recorded,
            question_id=question_id or new_id(),
            run_id=run_id or new_id(),
            options=options or self.options or DEFAULTS,
            approvals=approvals or Approvals(),
        )
        return self._begin(turn, answer, recorder)

    async def branch(
        self, question_id: str, answer: Answer, recorder: Listener | None, *, question: Message | None = None
    ) -> Turn:
        """Start a turn in the place of an earlier question, with another one or with the same again (None).

        What came after that question is cut off, and the running turn is stopped first, as it is part of that.
        Raises UnknownQuestionError when there is no such question (any more).
        """
        self._place_of(question_id)
        while self.turn:
            self.turn.stop()
            await asyncio.wait([self.turn.finished])
        await self._queue.acquire()
        try:
            place = self._place_of(question_id)
        except UnknownQuestionError:
            self._queue.release()
            raise
        cut = self.exchanges[place:]
        del self.exchanges[place:]
        turn = Turn(
            thread_id=self.thread_id,
            user=self.user,
            client="chat",
            question=question or cut[0].question,
            history=self.messages if cut[0].history is None else list(cut[0].history),
            rebased=cut[0].history is not None,
            first=not self.recorded,
            question_id=new_id(),
            run_id=new_id(),
            options=self.options or DEFAULTS,
            cut=cut,
        )
        return self._begin(turn, answer, recorder)

    def _place_of(self, question_id: str) -> int:
        for place, exchange in enumerate(self.exchanges):
            if exchange.question_id == question_id:
                return place
        raise UnknownQuestionError(question_id)

    def refuse(self, question_id: str, question: Message) -> Exchange:
        """Keep a question that gets no turn in its place of the conversation; return what the recorder is to fill."""
        self.exchanges.append(Exchange(question_id, question, refused=True))
        return self.exchanges[-1]

    def _begin(self, turn: Turn, answer: Answer, recorder: Listener | None) -> Turn:
        """Set a turn going; the queue is held until its end."""
        self.turn = self.latest = turn
        self.recorded = True
        self.exchanges.append(turn.exchange)
        driver = asyncio.create_task(self._drive(turn, answer, recorder), name=f"turn {turn.run_id}")
        self._drivers.add(driver)
        driver.add_done_callback(self._drivers.discard)
        return turn

    def go_on_after(self, older: "Conversation") -> None:
        """Take over from a conversation of older code, with what its running turn will still add to the exchanges.

        The two are of different classes when the source was saved and imported anew, so only attributes are read.
        """
        self.exchanges = older.exchanges
        self.turn = older.turn
        self.options = older.options
        if older.turn:
            older.turn.finished.add_done_callback(lambda _: self._older_turn_ended())

    def _older_turn_ended(self) -> None:
        self.turn = None

    async def _drive(self, turn: Turn, answer: Answer, recorder: Listener | None) -> None:
        """Read the turn to its end in a task of its own, so that a closed tab or a lost socket does not end it."""
        last: TurnFinished | None = None
        try:
            await self._tell(turn, TurnStarted(), recorder)
            try:
                async for event in answer(turn):
                    last = event if isinstance(event, TurnFinished) else last
                    await self._tell(turn, event, recorder)
            except Exception:  # the loop promises none; should there be one, people must hear of an end all the same
                logger.exception("The turn %s broke", turn.run_id)
            if last is None:
                error = InternalError(BROKEN)
                last = TurnFinished(
                    step_id=new_id(), outcome="failed", messages=[], text=BROKEN, said_by_us=True, error=error
                )
                await self._tell(turn, last, recorder)
        finally:
            turn.log = joined(turn.log)
            self.turn = None
            self._queue.release()
            if not turn.finished.done():
                if last is None:
                    turn.finished.cancel()
                else:
                    turn.finished.set_result(last)

    async def _tell(self, turn: Turn, event: Event | TurnStarted, recorder: Listener | None) -> None:
        turn.log.append(event)
        if isinstance(event, TurnFinished):
            turn.exchange.said = event.messages
        for listener in [recorder, *self.listeners]:
            if listener is None:
                continue
            try:
                await listener(turn, event)
            except Exception:  # a broken screen or recorder must not end somebody's turn
                logger.exception("A listener failed on %s of thread %s", type(event).__name__, turn.thread_id)


def joined(log: Iterable[Event | TurnStarted]) -> list[Event | TurnStarted]:
    """Return events with the pieces of one text in a row made one."""
    short: list[Event | TurnStarted] = []
    for _, group in groupby(log, _piece_of):
        events = list(group)
        if isinstance(events[0], TextDelta | ToolDelta):
            text = "".join(piece.text for piece in events if isinstance(piece, TextDelta | ToolDelta))
            events = [replace(events[0], text=text)]
        short += events
    return short


def _piece_of(event: Event | TurnStarted) -> tuple[type, str] | None:
    return (type(event), event.step_id) if isinstance(event, TextDelta | ToolDelta) else None


class Conversations:
    """All open conversations of this process, by user and thread; idle ones beyond `keep` are let go, oldest first."""

    def __init__(self, keep: int = 1000) -> None:
        self._keep = keep
        self.deleted: deque[str] = deque(maxlen=keep)  # the last ones, for tabs that still show one of them
        self.by_thread: OrderedDict[tuple[str, str], Conversation] = OrderedDict()

    def take_over(self, older: "Conversations") -> None:
        """Go on with the conversations of older code, which finishes the turns it has begun."""
        self.deleted.extend(older.deleted)
        for (user, thread_id), conversation in older.by_thread.items():
            recorded = conversation.exchanges if conversation.recorded else None
            self.open(user, thread_id, recorded).go_on_after(conversation)

    def find(self, user: str, thread_id: str) -> Conversation | None:
        """Return the conversation if it is open."""
        return self.by_thread.get((user, thread_id))

    def open(self, user: str, thread_id: str, recorded: Sequence[Exchange] | None = None) -> Conversation:
        """Return the open conversation, or open one with the exchanges that the record holds (None: a new thread)."""
        key = (user, thread_id)
        if key not in self.by_thread:
            self.by_thread[key] = Conversation(thread_id, user, recorded or (), recorded=recorded is not None)
        self.by_thread.move_to_end(key)
        self._let_go(besides=key)
        return self.by_thread[key]

    def forget(self, thread_id: str) -> None:
        """Drop a deleted thread's conversations and stop what runs in them."""
        self.deleted.append(thread_id)
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
