"""Rows as the contract shows them: null where something is absent, never an empty text, and kinds that hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from literal_server import files, generations, json_text, threads
from literal_server.filters import DEFAULT_ENVIRONMENT
from literal_server.paging import Page
from literal_server.participants import Engagement
from literal_server.steps import FullStep, Owner
from literal_server.tables import Attachment, Participant, Score, Step, Thread

Shape = dict[str, Any]


@dataclass(frozen=True)
class View:
    """For whom rows are shown: a client that validates gets fitted values; `link` makes addresses of stored files."""

    strict: bool
    link: Callable[[str | None], str | None]


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


def thread(row: Thread, user: Participant | None = None, steps: Sequence[Shape] | None = None) -> Shape:
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
        "steps": steps,
    }


def step(full: FullStep, view: View) -> Shape:
    """A step with its generation, scores and attachments; a strict client gets objects where it demands them."""
    row = full.step
    fit: Callable[[Any], Any] = _content_object if view.strict else _unchanged
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
        "metadata": generations.as_object(row.metadata_) if view.strict else row.metadata_,
        "environment": row.environment or DEFAULT_ENVIRONMENT,
        "tags": row.tags or [],
        "scores": [score(one) for one in full.scores],
        "generation": generation(row, view),
        "attachments": [attachment(one, view, row.thread_id) for one in full.attachments],
    }


def _unchanged(value: Any) -> Any:
    return value


def _content_object(value: Any) -> Any:
    return value if value is None or isinstance(value, dict) else {"content": value}


def generation(row: Step, view: View) -> Shape | None:
    """The generation of a step: its id is the step's."""
    if not row.generation:
        return None
    shown = generations.readable(row.generation, strict=view.strict)
    own = {"id": row.id, "step_id": row.id, "created_at": row.created_at, "error": shown["error"] or row.error or None}
    if shown["duration"] is None and row.start_time is not None and row.end_time is not None:
        own["duration"] = (row.end_time - row.start_time) / 1_000_000  # by which lists sort and filter as well
    return {snake_case(key): value for key, value in shown.items()} | own


def listed_generation(row: Step, view: View, owner: Owner | None) -> Shape:
    """A generation in a list, with what is said of its step and the way to its thread."""
    told = row.generation or {}
    said = told.get("tags") if isinstance(told.get("tags"), list) else []
    tags = [*(row.tags or []), *(json_text.as_text(tag) or "" for tag in said or [])]
    metadata = (generations.as_object(row.metadata_) or {}) | (generations.as_object(told.get("metadata")) or {})
    return {
        **(generation(row, view) or {}),
        "project_id": row.project_id,
        "tags": list(dict.fromkeys(tags)),
        "metadata": metadata,
        "step": owned_step(row.id, owner) if owner else None,
    }


def owned_step(identity: str | None, owner: Owner) -> Shape:
    """A step by its kind and the way to its thread and participant."""
    on_thread = thread(owner.thread, owner.participant) if owner.thread else None
    thread_id = owner.thread.id if owner.thread else None
    return {"id": identity, "type": owner.type, "name": owner.name, "thread_id": thread_id, "thread": on_thread}


def snake_case(name: str) -> str:
    """A wire name as a Python name."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def score(row: Score, owner: Owner | None = None) -> Shape:
    """A score; with its owner known, also the way to its thread and participant."""
    names = ("id", "name", "type", "value", "label", "scorer", "comment", "step_id", "generation_id", "created_at")
    shape = {name: getattr(row, name) for name in (*names, "updated_at", "dataset_experiment_item_id", "project_id")}
    return shape | {"tags": row.tags or [], "step": owned_step(row.step_id, owner) if owner else None}


def attachment(row: Attachment, view: View, thread_id: str | None = None) -> Shape:
    """An attachment: where its file is kept here, with an address of ours, else with the one that it came with.

    A file that never arrived has neither. A client that validates cannot open the whole thread without an address, so
    it gets one that answers that there is no such file.
    """
    url = view.link(row.object_key) or row.url or (view.link(files.MISSING_KEY) if view.strict else None)
    return {
        "id": row.id,
        "step_id": row.step_id,
        "thread_id": row.thread_id or thread_id,
        "mime": row.mime,
        "name": row.name,
        "object_key": row.object_key,
        "url": url,
        "metadata": generations.as_object(row.metadata_) if view.strict else row.metadata_,
    }
