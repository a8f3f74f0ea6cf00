"""The one writer of turns: it hears each event and puts what changed into the outbox."""

import asyncio
from datetime import UTC, datetime

from agent.conversation import Exchange, Turn, TurnStarted
from agent.events import Event, ModelFinished, ModelStarted, TextDelta, TurnFinished
from agent.options import as_stored
from recording.branches import superseded
from recording.reports import Reports
from recording.steps import ASSISTANT, Step, TurnSteps, message_id, message_step, text_of

THREAD_NAME_CHARACTERS = 200
SECONDS_OF_UNKEPT_TEXT = 1.0


class Recorder:
    """A listener that goes on when what it heard is on disk; between events it holds nothing but the turns that run.

    Pieces of text do not wait: of an answer that is being given, the text so far is kept once a second. Nor does a
    model call wait for its own beginning and its question's: only what comes of it does, so that the disk has the time
    that the model takes.
    """

    def __init__(self, outbox: Reports) -> None:
        self._outbox = outbox
        self._running: dict[str, TurnSteps] = {}
        self._unkept: dict[str, asyncio.TimerHandle] = {}
        self._being_written: set[str] = set()

    async def __call__(self, turn: Turn, event: Event | TurnStarted) -> None:
        """Record one event of `turn`; the thread is named after its first question and keeps the settings of that."""
        if isinstance(event, TextDelta):
            if turn.run_id in self._being_written:
                self._being_written.discard(turn.run_id)
                await self._outbox.written()
            self._running[turn.run_id].of(event)
            if turn.run_id not in self._unkept:
                loop = asyncio.get_running_loop()
                self._unkept[turn.run_id] = loop.call_later(SECONDS_OF_UNKEPT_TEXT, self._keep_text, turn.run_id)
            return
        if isinstance(event, TurnStarted):
            self._running[turn.run_id] = TurnSteps(turn)
            if turn.first:
                name = " ".join(text_of(turn.question).split())[:THREAD_NAME_CHARACTERS]
                chosen = as_stored(turn.options)
                metadata = {"chat_settings": chosen} if chosen else None
                self._outbox.put_thread(turn.thread_id, name=name, participant=turn.user, metadata=metadata)
        for step in self._running[turn.run_id].of(event):
            self._put(step, turn.exchange)
        if isinstance(event, TurnStarted):
            for exchange in turn.cut:
                for mark in superseded(exchange, turn.thread_id, turn.question_id, event.at, turn.user):
                    self._outbox.put_step(mark)
        if isinstance(event, ModelFinished | TurnFinished) and (timer := self._unkept.pop(turn.run_id, None)):
            timer.cancel()
        if isinstance(event, TurnFinished):
            del self._running[turn.run_id]
        if isinstance(event, TurnStarted | ModelStarted):
            self._being_written.add(turn.run_id)
            return
        self._being_written.discard(turn.run_id)
        await self._outbox.written()

    def _keep_text(self, run_id: str) -> None:
        del self._unkept[run_id]
        for step in self._running[run_id].being_said():
            self._outbox.put_step(step)

    async def refused(self, exchange: Exchange, *, thread_id: str, user: str, sentence: str) -> None:
        """Record a question that was not taken, and what the person is told instead; on disk before they read it."""
        at, question_id = datetime.now(UTC), exchange.question_id
        self._outbox.put_thread(thread_id, participant=user)  # it may be the first thing that is asked there
        asked = message_step(thread_id, question_id, "user_message", user, text_of(exchange.question), at)
        told = message_step(thread_id, message_id(question_id), "assistant_message", ASSISTANT, sentence, at)
        self._put(asked | {"metadata": {"refused": True}}, exchange)
        self._put(told | {"error": sentence}, exchange)
        await self._outbox.written()

    def _put(self, step: Step, exchange: Exchange) -> None:
        """Queue a step, and note in its exchange what to say of it should that be cut off one day."""
        exchange.steps[step["id"]] = step.get("metadata") or exchange.steps.get(step["id"]) or {}
        self._outbox.put_step(step, in_order=True)
