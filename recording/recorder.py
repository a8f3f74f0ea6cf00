"""The one writer of turns: it hears each event and puts what changed into the outbox."""

from datetime import UTC, datetime

from agent.conversation import Turn, TurnStarted
from agent.events import Event, TurnFinished
from recording.outbox import Outbox
from recording.steps import ASSISTANT, TurnSteps, message_id, message_step, text_of

THREAD_NAME_CHARACTERS = 200


class Recorder:
    """A listener that never waits; between events it holds nothing but the turns that run."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._running: dict[str, TurnSteps] = {}

    async def __call__(self, turn: Turn, event: Event | TurnStarted) -> None:
        """Record one event of `turn`; the thread is named after its first question."""
        if isinstance(event, TurnStarted):
            self._running[turn.run_id] = TurnSteps(turn)
            if turn.first:
                name = " ".join(text_of(turn.question).split())[:THREAD_NAME_CHARACTERS]
                self._outbox.put_thread(turn.thread_id, name=name, participant=turn.user)
        for step in self._running[turn.run_id].of(event):
            self._outbox.put_step(step)
        if isinstance(event, TurnFinished):
            del self._running[turn.run_id]

    def refused(self, *, thread_id: str, user: str, question_id: str, question: str, sentence: str) -> None:
        """Record a question that was not taken, and what the person was told instead: what is typed is kept."""
        at = datetime.now(UTC)
        asked = message_step(thread_id, question_id, "user_message", user, question, at)
        told = message_step(thread_id, message_id(question_id), "assistant_message", ASSISTANT, sentence, at)
        self._outbox.put_step(asked | {"metadata": {"refused": True}})
        self._outbox.put_step(told | {"error": sentence})
