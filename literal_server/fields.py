"""What each list can be filtered by and sorted by: the fields of the contract, and a few more that cost nothing."""

from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, case, func, or_, select

from literal_server.collection_tables import PromptLineage, PromptVersion
from literal_server.filters import (
    DEFAULT_ENVIRONMENT,
    Condition,
    Field,
    OrderColumn,
    either,
    json,
    named_score,
    nullable_number,
    nullable_text,
    number,
    some,
    tags,
    text,
    time,
)
from literal_server.tables import Participant, Score, Step, Thread

_STEP_OF_THREAD: Condition = and_(
    Step.project_id == Thread.project_id, Step.thread_id == Thread.id, Step.deleted_at.is_(None)
)
_SCORE_OF_STEP: Condition = and_(
    Score.project_id == Step.project_id, Score.step_id == Step.id, Score.deleted_at.is_(None)
)
_SCORE_IN_THREAD: Condition = and_(
    Score.project_id == Thread.project_id, Score.counted_thread_id == Thread.id, Score.deleted_at.is_(None)
)
_PARTICIPANT_OF_THREAD: Condition = and_(
    Participant.project_id == Thread.project_id,
    Participant.id == Thread.participant_id,
    Participant.deleted_at.is_(None),
)
_PARTICIPANT_OF_STEP: Condition = and_(
    Thread.project_id == Step.project_id, Thread.id == Step.thread_id, _PARTICIPANT_OF_THREAD
)
_PARTICIPANT_OF_SCORE: Condition = and_(
    Step.project_id == Score.project_id, Step.id == Score.step_id, _PARTICIPANT_OF_STEP
)
_PROMPT_OF_STEP: Condition = and_(
    PromptVersion.project_id == Step.project_id,
    PromptVersion.id == Step.prompt_id,
    PromptLineage.project_id == PromptVersion.project_id,
    PromptLineage.id == PromptVersion.lineage_id,
)

# Where no price is known at all, a cost is unknown, not nothing.
THREAD_COST: ColumnElement[Any] = case((or_(Thread.unpriced_count == 0, Thread.cost > 0), Thread.cost))
THREAD_DURATION: ColumnElement[Any] = (Thread.last_end - Thread.first_start) / 1_000_000.0
# A client measures its model call; where it did not, the step's own times tell.
GENERATION_DURATION: ColumnElement[Any] = func.coalesce(Step.duration, (Step.end_time - Step.start_time) / 1_000_000.0)


def _environment(column: SQLColumnExpression[Any]) -> Field:
    return text(func.coalesce(column, DEFAULT_ENVIRONMENT))


THREADS: dict[str, Field] = {
    "id": text(Thread.id),
    "createdAt": time(Thread.created_at),
    "name": text(Thread.name),
    "stepType": some(text(Step.type), _STEP_OF_THREAD, Thread),
    "stepName": some(text(Step.name), _STEP_OF_THREAD, Thread),
    "stepOutput": some(json(Step.output), _STEP_OF_THREAD, Thread),
    "metadata": json(Thread.metadata_),
    "tokenCount": number(Thread.token_count),
    "tags": tags(Thread.tags),
    "participantId": text(Thread.participant_id),
    "participantIdentifiers": some(text(Participant.identifier), _PARTICIPANT_OF_THREAD, Thread),
    "scoreValue": named_score(Score, _SCORE_IN_THREAD, Thread),
    "duration": number(THREAD_DURATION),
    "environment": _environment(Thread.environment),
}

_PARTICIPANT = some(text(Participant.identifier), _PARTICIPANT_OF_STEP, Step)

STEPS: dict[str, Field] = {
    "id": text(Step.id),
    "name": text(Step.name),
    "type": text(Step.type),
    "input": json(Step.input),
    "output": json(Step.output),
    "participantIdentifier": _PARTICIPANT,
    "participantIdentifiers": _PARTICIPANT,
    "createdAt": time(Step.created_at),
    "startTime": time(Step.start_time),
    "endTime": time(Step.end_time),
    "metadata": json(Step.metadata_),
    "parentId": text(Step.parent_id),
    "threadId": text(Step.thread_id),
    "rootRunId": text(Step.root_run_id),
    "error": text(Step.error),
    "tags": tags(Step.tags),
    "tokenCount": number(Step.token_count),
    "environment": _environment(Step.environment),
    "scoreValue": named_score(Score, _SCORE_OF_STEP, Step),
}

GENERATIONS: dict[str, Field] = {
    "id": text(Step.id),
    "createdAt": time(Step.created_at),
    "model": text(Step.model),
    "provider": text(Step.provider),
    "duration": number(GENERATION_DURATION),
    "promptLineage": some(text(PromptLineage.name), _PROMPT_OF_STEP, Step),
    "promptVersion": some(number(PromptVersion.version), _PROMPT_OF_STEP, Step),
    "tags": either(tags(Step.tags), tags(Step.generation["tags"])),
    "score": named_score(Score, _SCORE_OF_STEP, Step),
    "participant": _PARTICIPANT,
    "tokenCount": number(Step.token_count),
    "error": text(func.coalesce(Step.error, Step.generation["error"].as_string())),
}

SCORES: dict[str, Field] = {
    "id": text(Score.id),
    "createdAt": time(Score.created_at),
    "participant": some(text(Participant.identifier), _PARTICIPANT_OF_SCORE, Score),
    "name": text(Score.name),
    "tags": tags(Score.tags),
    "value": number(Score.value),
    "type": text(Score.type),
    "comment": text(Score.comment),
    "stepId": text(Score.step_id),
}

_THREADS_OF_PARTICIPANT = (
    select(Thread)
    .where(
        Thread.project_id == Participant.project_id,
        Thread.participant_id == Participant.id,
        Thread.deleted_at.is_(None),
    )
    .correlate(Participant)
)
LAST_ENGAGED = _THREADS_OF_PARTICIPANT.with_only_columns(func.max(Thread.last_activity)).scalar_subquery()
THREAD_COUNT = _THREADS_OF_PARTICIPANT.with_only_columns(func.count()).scalar_subquery()
TOKEN_COUNT = _THREADS_OF_PARTICIPANT.with_only_columns(
    func.coalesce(func.sum(Thread.token_count), 0)
).scalar_subquery()

PARTICIPANTS: dict[str, Field] = {
    "id": text(Participant.id),
    "createdAt": time(Participant.created_at),
    "identifier": text(Participant.identifier),
    "lastEngaged": time(LAST_ENGAGED),
    "threadCount": number(THREAD_COUNT),
    "tokenCount": number(TOKEN_COUNT),
    "metadata": json(Participant.metadata_),
}


def _identifier(link: Condition, outer: type[Any]) -> OrderColumn:
    return nullable_text(select(Participant.identifier).where(link).correlate(outer).scalar_subquery())


THREAD_ORDERS = {
    "createdAt": OrderColumn(Thread.created_at),
    "tokenCount": OrderColumn(Thread.token_count),
    "lastActivity": OrderColumn(Thread.last_activity),
    "duration": nullable_number(THREAD_DURATION),
    "participant": _identifier(_PARTICIPANT_OF_THREAD, Thread),
}
STEP_ORDERS = {"createdAt": OrderColumn(Step.created_at)}
GENERATION_ORDERS = {
    "createdAt": OrderColumn(Step.created_at),
    "tokenCount": nullable_number(Step.token_count),
    "model": nullable_text(Step.model),
    "provider": nullable_text(Step.provider),
    "duration": nullable_number(GENERATION_DURATION),
    "participant": _identifier(_PARTICIPANT_OF_STEP, Step),
}
SCORE_ORDERS = {"createdAt": OrderColumn(Score.created_at)}
