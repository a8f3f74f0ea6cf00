"""Thumbs: `user-feedback` scores that people give to the answers in their own conversations."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.events import new_id
from recording.client import LiteralAPI, RecordingError
from recording.reports import Reports

logger = logging.getLogger(__name__)

NAME = "user-feedback"
SECONDS_TO_STORE = 2.0
SECONDS_TO_ASK = 3.0

_STEP = """
query FeedbackTarget($id: String!, $filters: [stepsInputType!]) {
  step(id: $id) { id type threadId scores { id name scorer } }
  steps(first: 100, filters: $filters) { edges { node { id startTime scores { id name scorer } } } }
}
"""
_SCORE = """
query FeedbackScore($filters: [scoresInputType!]) {
  scores(first: 1, filters: $filters) {
    edges { node { id name scorer step { thread { id participant { identifier } } } } }
  }
}
"""


class NoSuchAnswerError(Exception):
    """There is no such answer, or not in a thread of this person's: which of the two is not told."""


@dataclass(frozen=True, slots=True)
class _Answer:
    message_id: str
    thread_id: str
    score_ids: frozenset[str]


class Feedback:
    """Gives and takes back thumbs. What is given waits in the outbox like all else while the server is away.

    Args:
        api: the Literal server.
        outbox: where the writes go, and where an answer may still be that is judged already.
        owns: tells by user and thread whether this process knows the thread as the user's own.
    """

    def __init__(self, api: LiteralAPI, outbox: Reports, owns: Callable[[str, str], bool]) -> None:
        self._api = api
        self._outbox = outbox
        self._owns = owns
        self._one_by_one = asyncio.Lock()

    async def give(self, user: str, step_id: str, value: int, comment: str | None) -> str:
        """Store a thumb (1 up, 0 down) on an answer and return the score's id; an earlier one is changed.

        `step_id` names the answer, or the run whose last answer is meant: that is what the browser knows.
        Raises NoSuchAnswerError, and RecordingError where neither the record nor this process knows whose it is.
        """
        async with self._one_by_one:
            answer = await self._answer(user, step_id)
            score_id = min(answer.score_ids, default=new_id())
            score = {
                "id": score_id,
                "name": NAME,
                "type": "HUMAN",
                "value": value,
                "comment": comment or "",  # an absent one would keep what is stored
                "scorer": user,
                "stepId": answer.message_id,
            }
            self._outbox.put_step({"id": answer.message_id, "threadId": answer.thread_id, "scores": [score]})
        await self._outbox.flush(SECONDS_TO_STORE, answer.thread_id)
        return score_id

    async def withdraw(self, user: str, score_id: str) -> None:
        """Take a thumb back. Raises as `give` does."""
        async with self._one_by_one:
            thread_id = await self._thread_of_thumb(user, score_id)
            self._outbox.put_score_deletion(score_id, thread_id)
        await self._outbox.flush(SECONDS_TO_STORE, thread_id)

    async def _answer(self, user: str, step_id: str) -> _Answer:
        """Return the answer that is meant, from what is stored and what is still on its way there."""
        waits_in = {step.get("threadId") for step in await self._outbox.waiting_steps() if _is_at(step, step_id)}
        for thread_id in waits_in:  # what waits in other threads has nothing to do with it
            await self._outbox.flush(SECONDS_TO_STORE, thread_id)
        reports = await self._outbox.waiting_steps()
        on_the_way: dict[str, dict[str, Any]] = {}
        for step in reports:
            on_the_way.setdefault(step["id"], {}).update({key: value for key, value in step.items() if value})
        waiting = on_the_way.get(step_id, {})
        stored, answers = await self._stored(user, step_id, waiting)
        target = {**stored, **waiting}
        if target.get("type") == "assistant_message":
            answers = [target]
        else:
            answers += [step for step in on_the_way.values() if _is_answer_of(step, step_id)]
        if not answers:
            raise NoSuchAnswerError
        last = max(answers, key=lambda step: str(step.get("startTime") or ""))
        waiting_scores = [score for step in reports if step["id"] == last["id"] for score in step.get("scores") or ()]
        scores = [*(last.get("scores") or ()), *waiting_scores]
        thumbs = {str(score["id"]) for score in scores if _is_thumb_of(score, user)}
        gone = await self._outbox.waiting_score_deletions()
        return _Answer(last["id"], str(target["threadId"]), frozenset(thumbs - gone))

    async def _stored(
        self, user: str, step_id: str, waiting: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
        """Return the step and the answers below it as they are stored; nothing where the server is away.

        Raises NoSuchAnswerError unless the step is in a thread of the user's, and RecordingError where that cannot be
        found out.
        """
        known = bool(waiting) and self._owns(user, str(waiting.get("threadId")))
        filters = _equal(parentId=step_id, type="assistant_message")
        try:
            found = await self._ask("find an answer", _STEP, {"id": step_id, "filters": filters})
            step = found.get("step") or {}
            if step.get("threadId"):
                known = await self._api.owner_of_thread(step["threadId"]) == user
        except RecordingError:
            if not known:
                raise
            return {}, []
        if not known:
            raise NoSuchAnswerError
        return step, [edge["node"] for edge in (found.get("steps") or {}).get("edges", ())]

    async def _thread_of_thumb(self, user: str, score_id: str) -> str:
        """Return the id of the thread in which the user has given this thumb. Raises as `give` does."""
        for step in await self._outbox.waiting_steps():
            if any(score["id"] == score_id and score.get("scorer") == user for score in step.get("scores") or ()):
                return str(step["threadId"])  # given here, a moment ago
        stored = await self._ask("take a judgement back", _SCORE, {"filters": _equal(id=score_id)})
        edges = (stored.get("scores") or {}).get("edges", ())
        for score in (edge["node"] for edge in edges):
            thread = (score["step"] or {}).get("thread") or {}
            if _is_thumb_of(score, user) and (thread.get("participant") or {}).get("identifier") == user:
                return str(thread["id"])
        raise NoSuchAnswerError

    async def _ask(self, what: str, query: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await self._api.make_gql_call(what, query, variables, timeout=SECONDS_TO_ASK)
        return answer.get("data") or {}


def _is_at(step: Mapping[str, Any], step_id: str) -> bool:
    """Tell whether a report is about this step or one below it."""
    return step_id in (step["id"], step.get("parentId"))


def _is_answer_of(step: Mapping[str, Any], run_id: str) -> bool:
    return step.get("parentId") == run_id and step.get("type") == "assistant_message"


def _equal(**fields: str) -> list[dict[str, str]]:
    """Return filters for what has these values."""
    return [{"field": name, "operator": "eq", "value": value} for name, value in fields.items()]


def _is_thumb_of(score: Mapping[str, Any], user: str) -> bool:
    """Tell whether a score is this person's thumb; those of other programs do not say whose they are."""
    return score.get("name") == NAME and score.get("scorer") in (None, "", user)
