"""The import of one row: added where it is missing, its gaps filled where it is there; what is there always stands.

Rows are lines of an export, or threads and steps as the SDKs' `to_dict()` writes them: the names are the same.
Each function answers whether the row is new and raises Refused with the reason when it cannot be taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import ingest, json_text, participants, payloads, rows, totals
from literal_server.collection_tables import PromptLineage, PromptVersion
from literal_server.errors import Refused
from literal_server.exchange import lines
from literal_server.exchange.lines import moment, text
from literal_server.exchange.stored import own_key
from literal_server.review_tables import Comment
from literal_server.tables import Attachment, Participant, Score, Step, Thread

STEP_TYPES = {
    "run", "tool", "llm", "embedding", "retrieval", "rerank", "undefined", "user_message", "assistant_message",
    "system_message",
}  # fmt: skip

_WORDS = ("thread_id", "parent_id", "root_run_id", "type", "name", "error", "input", "output", "metadata", "tags")

Line = Mapping[str, Any]


async def take(session: AsyncSession, project: str, kind: str, line: Line) -> bool:
    """Take a row of this kind."""
    if kind == "participant":
        return await _take_participant(session, project, line)
    if kind == "thread":
        return await _take_thread(session, project, line)
    if kind == "step":
        return await _take_step(session, project, line)
    if kind in ("score", "attachment"):
        return await _take_belonging(session, project, lines.KINDS[kind], line)
    return await _take_plain(session, project, kind, line)


async def _take_participant(session: AsyncSession, project: str, line: Line) -> bool:
    values = lines.read_row(Participant, {"metadata": {}, **line})
    if await _is_purged(session, project, "participant", values["id"]):
        raise Refused("This user was deleted here for good.")
    found = await _known_participant(session, project, values["id"], values["identifier"])
    if found is None:
        session.add(Participant(project_id=project, **values))
        return True
    if found.deleted_at is not None and values["deleted_at"] is None:
        raise Refused("This user is deleted here: restore it first.")
    found.metadata_ = {**values["metadata_"], **found.metadata_}
    found.created_at = min(found.created_at, values["created_at"])
    return False


async def _known_participant(session: AsyncSession, project: str, identity: str, identifier: str) -> Participant | None:
    found = await session.get(Participant, (project, identity))
    return found or await participants.find(session, project, identifier=identifier)


async def _participant_of(session: AsyncSession, project: str, line: Line) -> str | None:
    given = line.get("participant")
    if not given and line.get("participantId"):
        return text(line, "participantId")
    if not given:
        return None
    if not isinstance(given, dict):
        raise Refused("participant is no object.")
    identity, identifier = text(given, "id"), text(given, "identifier")
    if not identity or not identifier:
        name = identity or identifier
        return await participants.resolve(session, project, name) if name else None
    if await _is_purged(session, project, "participant", identity):
        return None
    found = await _known_participant(session, project, identity, identifier)
    if found is None:
        found = await participants.create(session, project, identifier, given.get("metadata"))
        found.id = identity
    return found.id


async def _take_thread(session: AsyncSession, project: str, line: Line) -> bool:
    identity = text(line, "id", required=True) or ""
    created_at, deleted_at = moment(line, "createdAt"), moment(line, "deletedAt")
    mark_of(line)
    metadata, tags = _of_kind(line, "metadata", dict) or {}, _tags(line)
    known = await rows.find(session, Thread, project, identity)
    if known is None and await _is_purged(session, project, "thread", identity):
        raise Refused("This thread was deleted here for good.")
    if known is not None and known.deleted_at is not None and deleted_at is None:
        raise Refused("This thread is deleted here: restore it first.")
    environment = text(line, "environment")
    thread = await totals.ensure_thread(session, project, identity, environment)
    is_new = known is None
    thread.name = thread.name or text(line, "name")
    await payloads.fill(session, [thread], limited=False)
    merged = {"metadata": {**metadata, **thread.metadata_}}
    thread.metadata_ = (await payloads.spill(session, thread, merged))["metadata"]
    thread.tags = thread.tags or tags or []
    thread.participant_id = thread.participant_id or await _participant_of(session, project, line)
    if is_new:
        thread.deleted_at, thread.deleted_by = deleted_at, text(line, "deletedBy")
    if created_at is not None:
        thread.created_at = created_at if is_new else min(thread.created_at, created_at)
        if thread.first_start is None and thread.last_end is None:
            thread.last_activity = thread.created_at
    await _take_review(session, project, line, identity)
    return is_new


def mark_of(line: Line) -> tuple[int, str] | None:
    """Answer when a thread was reviewed and by whom, None when its line does not say both."""
    reviewed_at, reviewed_by = moment(line, "reviewedAt"), text(line, "reviewedBy")
    return (reviewed_at, reviewed_by) if reviewed_at is not None and reviewed_by else None


async def take_mark(session: AsyncSession, project: str, thread_id: str, mark: tuple[int, str]) -> None:
    """Mark a thread as reviewed, unless it was reviewed here: when its steps are taken, as each new one lifts it."""
    thread = await rows.find(session, Thread, project, thread_id)
    if thread is not None and thread.reviewed_by is None:
        thread.reviewed_at, thread.reviewed_by = mark


async def _take_review(session: AsyncSession, project: str, line: Line, thread_id: str) -> None:
    for one in _of_kind(line, "scores", list) or []:
        await _take_belonging(session, project, Score, {**one, "threadId": thread_id} if isinstance(one, dict) else one)
    for one in _of_kind(line, "comments", list) or []:
        if not isinstance(one, dict):
            raise Refused("A comment is no object.")
        values = lines.read_row(Comment, {**one, "threadId": thread_id})
        if await session.get(Comment, (project, values["id"])) is None:
            session.add(Comment(project_id=project, **values))


async def _take_step(session: AsyncSession, project: str, line: Line) -> bool:
    report, deleted_at = _step_report(line), moment(line, "deletedAt")
    known = await rows.find(session, Step, project, report.id)
    if known is not None and known.deleted_at is not None and deleted_at is None:
        raise Refused("This step is deleted here: restore it first.")
    thread = await rows.find(session, Thread, project, report.thread_id) if report.thread_id else None
    if thread is not None and thread.deleted_at is not None and deleted_at is None:
        raise Refused("The thread of this step is deleted here: restore it first.")
    scores, attachments = _of_kind(line, "scores", list) or [], _of_kind(line, "attachments", list) or []
    environment = text(line, "environment")
    fills = report if known is None else _gaps_only(known, report)
    step = await ingest.ingest_step(session, project, fills, environment=environment)
    if step is None:
        raise Refused("The thread of this step was deleted here for good.")
    if known is None:
        await _backdate(session, step, line, deleted_at)
    for table, belongings in ((Score, scores), (Attachment, attachments)):
        for one in belongings:
            await _take_belonging(session, project, table, one, step)
    return known is None


def _step_report(line: Line) -> ingest.StepReport:
    kind = text(line, "type") or "undefined"
    if kind not in STEP_TYPES:
        raise Refused(f"There is no type of step {kind[:80]!r}.")
    return ingest.StepReport(
        id=text(line, "id", required=True) or "",
        thread_id=text(line, "threadId") or None,
        root_run_id=text(line, "rootRunId") or None,
        parent_id=text(line, "parentId") or None,
        type=kind,
        name=text(line, "name"),
        start_time=moment(line, "startTime"),
        end_time=moment(line, "endTime"),
        error=text(line, "error"),
        input=line.get("input"),
        output=line.get("output"),
        metadata=line.get("metadata"),
        tags=_tags(line),
        generation=_of_kind(line, "generation", dict),
    )


def _gaps_only(step: Step, report: ingest.StepReport) -> ingest.StepReport:
    """Leave of a report what the step says nothing about yet."""
    said = {name: getattr(step, "metadata_" if name == "metadata" else name) for name in _WORDS}
    gaps: dict[str, Any] = {name: None for name, value in said.items() if not _fills(value, getattr(report, name))}
    stored = step.generation or {}
    generation = {name: value for name, value in (report.generation or {}).items() if _fills(stored.get(name), value)}
    return replace(report, **gaps, generation=generation or None)


def _fills(stored: Any, given: Any) -> bool:
    if json_text.is_blank(given):
        return stored is None and given is not None
    return json_text.is_blank(stored) or stored == "undefined"


async def _backdate(session: AsyncSession, step: Step, line: Line, deleted_at: int | None) -> None:
    """Give a new step the moments of its first record."""
    created_at = moment(line, "createdAt") or step.start_time
    step.created_at = created_at or step.created_at
    step.stamps = _stamps(line)
    step.updated_at = moment(line, "updatedAt") or created_at or step.updated_at
    if deleted_at is not None:
        step.deleted_at = deleted_at
        if step.thread_id is not None:
            await totals.recount(session, await totals.ensure_thread(session, step.project_id, step.thread_id))


async def _take_belonging(session: AsyncSession, project: str, table: Any, line: Any, step: Step | None = None) -> bool:
    """Take a score or an attachment, which may come without an id of its own."""
    if not isinstance(line, Mapping):
        raise Refused(f"{table.__name__} is no object.")
    if table is Attachment:
        line = {**line, "objectKey": await own_key(session, project, line.get("objectKey"))}
    identity = text(line, "id")
    if identity and await rows.find(session, table, project, identity) is not None:
        return False
    if table is Score:
        ingest.as_score(line)
    if line.get("createdAt") is not None:
        values = lines.read_row(table, {"updatedAt": line["createdAt"], **line})
        values["step_id"] = values["step_id"] or (step.id if step else None)
        values["deleted_at"] = values["deleted_at"] or (step.deleted_at if step else None)
        rows.add(session, table(project_id=project, **values))
        return True
    if table is Attachment and step is None:
        raise Refused("An attachment belongs to a step.")
    made: Any = (
        await ingest.merge_score(session, project, line, step_id=step.id if step else None)
        if step is None or table is Score
        else await ingest.merge_attachment(session, project, line, step=step)
    )
    is_new = made in session.new
    if is_new and step is not None:
        made.created_at = step.created_at
    return is_new


async def _take_plain(session: AsyncSession, project: str, kind: str, line: Line) -> bool:
    """Take a row that no client reports piece by piece: it is there, or it is not."""
    table: Any = lines.KINDS[kind]
    values = lines.read_row(table, line)
    if await session.get(table, (project, values["id"])) is not None:
        return False
    if table is PromptLineage:
        same = select(PromptLineage).where(PromptLineage.project_id == project, PromptLineage.name == values["name"])
        if await session.scalar(same) is not None:
            raise Refused(f"Another prompt is named {values['name'][:80]!r} here; its versions stay as they are.")
    if table is PromptVersion:
        place = (PromptVersion.lineage_id == values["lineage_id"], PromptVersion.version == values["version"])
        if await session.scalar(select(PromptVersion).where(PromptVersion.project_id == project, *place)) is not None:
            raise Refused(f"The prompt has another version {values['version']} here.")
        if await session.get(PromptLineage, (project, values["lineage_id"])) is None:
            raise Refused("The prompt of this version is not here.")
    session.add(table(project_id=project, **values))
    return True


async def _is_purged(session: AsyncSession, project: str, kind: str, identity: str) -> bool:
    return await rows.deletion_before_purge(session, project, kind, identity) is not None


def _stamps(line: Line) -> dict[str, Any] | None:
    stamps: dict[str, Any] | None = _of_kind(line, "stamps", dict)
    if not all(stamp is None or (type(stamp) is int and abs(stamp) < 2**63) for stamp in (stamps or {}).values()):
        raise Refused("stamps holds something else than microseconds.")
    return stamps


def _tags(line: Line) -> list[str] | None:
    tags: Sequence[Any] | None = _of_kind(line, "tags", list)
    if tags is not None and not all(isinstance(tag, str) for tag in tags):
        raise Refused("tags holds something else than texts.")
    return list(tags) if tags is not None else None


def _of_kind(line: Line, name: str, kind: type[Any]) -> Any:
    value = line.get(name)
    if value is not None and not isinstance(value, kind):
        raise Refused(f"{name} has a value of the wrong kind.")
    return value
