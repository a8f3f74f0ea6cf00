"""Rows as the contract shows them: null where something is absent, never an empty text, and kinds that hold."""

from collections.abc import Callable, Sequence
from typing import Any

from literal_server import generations, json_text, threads
from literal_server.filters import DEFAULT_ENVIRONMENT
from literal_server.paging import Page
from literal_server.participants import Engagement
from literal_server.scores import Owner
from literal_server.steps import FullStep
from literal_server.tables import Attachment, Participant, Score, Step, Thread

Shape = dict[str, Any]


def connection(page: Page[Any], shape: Callable[[Any], Shape]) -> Shape:
    """A page as a Relay connection."""
    edges = [{"cursor": cursor, "node": shape(row)} for row, cursor in zip(page.rows, page.cursors, strict=True)]
    return {
        "page_info": {
            "start_cursor": page.cursors[0] if page.cursors else None,
            "end_cursor": page.cursors[-1] if page.cursors else None,
            "has_next_page": page.has_next,
            "has_previous_page": page.has_previous,
        },
        "total_count": page.total,
        "edges": edges,
    }


def participant(row: Participant, engagement: Engagement | None = None) -> Shape:
    """A participant, with how much it took part where that was asked for."""
    return {
        "id": row.id,
        "identifier": row.identifier,
        "metadata": row.metadata_ or {},
        "created_at": row.created_at,
        "last_engaged": engagement.last_engaged if engagement else None,
        "thread_count": engagement.thread_count if engagement else None,
        "token_count": json_text.as_whole_number(engagement.token_count) if engagement else None,
    }


def thread(
    row: Thread, user: Participant | None = None, steps: Sequence[FullStep] | None = None, *, strict: bool = False
) -> Shape:
    """A thread with its participant and, where they were asked for, its steps."""
    return {
        "id": row.id,
        "name": row.name or None,
        "metadata": row.metadata_ or {},
        "tags": row.tags or [],
        "created_at": row.created_at,
        "token_count": json_text.as_whole_number(row.token_count),
        "duration": threads.duration(row),
        "environment": row.environment or DEFAULT_ENVIRONMENT,
        "participant": participant(user) if user else None,
        "participant_id": user.id if user else None,
        "steps": None if steps is None else [step(one, strict=strict) for one in steps],
    }


def step(full: FullStep, *, strict: bool = False) -> Shape:
    """A step with its generation, scores and attachments; a strict client gets objects where it demands them."""
    row = full.step
    fit: Callable[[Any], Any] = _content_object if strict else _unchanged
    return {
        "id": row.id,
        "thread_id": row.thread_id or None,
        "root_run_id": row.root_run_id or None,
        "parent_id": full.parent_id or None,
        "start_time": row.start_time,
        "end_time": row.end_time,
        "created_at": row.created_at,
        "type": row.type,
        "name": row.name,
        "error": row.error or None,
        "input": fit(row.input),
        "output": fit(row.output),
        "metadata": generations.as_object(row.metadata_) if strict else row.metadata_,
        "environment": row.environment or DEFAULT_ENVIRONMENT,
        "tags": row.tags or [],
        "scores": [score(one) for one in full.scores],
        "generation": generation(row, strict=strict),
        "attachments": [attachment(one, strict=strict) for one in full.attachments],
    }


def _unchanged(value: Any) -> Any:
    return value


def _content_object(value: Any) -> Any:
    return value if value is None or isinstance(value, dict) else {"content": value}


def generation(row: Step, *, strict: bool = False) -> Shape | None:
    """The generation of a step: its id is the step's."""
    if not row.generation:
        return None
    shown = generations.readable(row.generation, strict=strict)
    own = {"id": row.id, "step_id": row.id, "created_at": row.created_at, "error": shown["error"] or row.error or None}
    return {snake_case(key): value for key, value in shown.items()} | own


def snake_case(name: str) -> str:
    """A wire name as a Python name."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def score(row: Score, owner: Owner | None = None) -> Shape:
    """A score; with its owner known, also the way to its thread and participant."""
    names = ("id", "name", "type", "value", "label", "scorer", "comment", "step_id", "generation_id", "created_at")
    shape = {name: getattr(row, name) for name in (*names, "updated_at", "dataset_experiment_item_id", "project_id")}
    shape |= {"tags": row.tags or [], "step": None}
    if owner is not None:
        user = {"identifier": owner.participant_identifier} if owner.participant_identifier else None
        on_thread = {"id": owner.thread_id, "participant": user} if owner.thread_id else None
        shape["step"] = {"id": row.step_id, "thread_id": owner.thread_id, "thread": on_thread}
    return shape


def attachment(row: Attachment, *, strict: bool = False) -> Shape:
    """An attachment."""
    names = ("id", "step_id", "thread_id", "mime", "name", "object_key", "url")
    metadata = generations.as_object(row.metadata_) if strict else row.metadata_
    return {name: getattr(row, name) for name in names} | {"metadata": metadata}
