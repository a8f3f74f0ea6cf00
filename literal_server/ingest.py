"""The merge rules: whatever the order and number in which reports of a step arrive, the same step is stored.

A report is as old as the end that it tells; one that tells a start and no end is older than all of these, one without
any time is as new as the newest. Word by word (a field, or a key of the generation) the newest report stands, of two
equally old ones that which arrived later; but a word that says nothing never covers one that says something.
The earliest start and the latest end stand. A deleted step stays deleted.

`Step.stamps` holds the end of the report that told a word, for the words that are not of the latest end.
The caller holds the writing session, so nothing changes between a read here and the write that follows it.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, generations, json_text, payloads, prices
from literal_server.errors import Refused, ThreadDeleted
from literal_server.payloads import GENERATION
from literal_server.plain_rows import NotPlain, PlainRows, PlainStep
from literal_server.rows import add, deletion_before_purge, find
from literal_server.tables import Attachment, Score, Step, Thread
from literal_server.totals import Standing, account, add_up, begins_earlier, chosen, lift_mark, share

# The words of a step by their names in a report, with the columns they are kept in.
_COLUMNS = {
    name: name for name in ("thread_id", "parent_id", "root_run_id", "type", "name", "error", "input", "output", "tags")
} | {"metadata": "metadata_"}

SCORE_TYPES = ("HUMAN", "CODE", "AI")


@dataclass(frozen=True)
class StepReport:
    """What a client says about a step at one moment; None means not said. Moments are microseconds."""

    id: str
    thread_id: str | None = None
    root_run_id: str | None = None
    parent_id: str | None = None
    type: str | None = None
    name: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    error: str | None = None
    input: Any = None
    output: Any = None
    metadata: Any = None
    tags: list[str] | None = None
    generation: Any = None
    scores: Sequence[Any] | None = None
    attachments: Sequence[Any] | None = None


async def ingest_step(
    session: AsyncSession, project: str, report: StepReport, *, environment: str | None = None, edit: bool = False
) -> Step | None:
    """Merge a report into its step, making the step and its thread when they are new; answers the step.

    `edit` is a person's change of one step: it is never taken for an older report. A report of what is
    purged is dropped: None. Raises ThreadDeleted for a step that began after its thread was deleted.
    """
    known = await find(session, Step, project, report.id)
    if await _is_purged(session, project, known, report):
        return None
    step = known or _new(session, project, report.id)
    await _merge(session, step, report, environment, is_new=known is None, edit=edit)
    return step


def ingest_plainly(rows: PlainRows, project: str, report: StepReport, environment: str | None = None) -> None:
    """Merge a report as `ingest_step` does, where its step and its thread are all that it takes.

    Raises NotPlain where more is needed: scores and attachments, a thread that is deleted or has to be counted anew,
    values that lie in files. Then nothing of the transaction may stay.
    """
    known = rows.steps.get(project, report.id)
    if report.scores or report.attachments or (known is not None and (known.purged_at or known.payloads)):
        raise NotPlain
    now = clock.now()
    step = known or rows.steps.add(PlainStep(project, report.id, created_at=now, updated_at=now))
    before = Standing(step.thread_id, step.start_time, share(step))
    if words := merge_step(step, report):
        lay(step, payloads.spill_at_once(rows.info, step, words), rows.info)
    step.environment = step.environment or environment
    if rows.steps.is_changed(step):
        step.updated_at = now
    if step.thread_id is not None:
        thread = rows.thread(project, step.thread_id)
        if (known is not None and before.thread_id != step.thread_id) or begins_earlier(step, before):
            raise NotPlain
        thread.environment = thread.environment or environment
        lift_mark(thread, step, before)
        add_up(thread, step, before)


def _new(session: AsyncSession, project: str, identity: str) -> Step:
    now = clock.now()
    step = Step(project_id=project, id=identity, type="undefined", created_at=now, updated_at=now, is_error=False)
    add(session, step)
    return step


async def _merge(
    session: AsyncSession,
    step: Step,
    report: StepReport,
    environment: str | None,
    *,
    is_new: bool,
    edit: bool = False,
) -> None:
    await payloads.fill(session, [step], limited=False)
    before = Standing(step.thread_id, step.start_time, share(step))
    if words := merge_step(step, report, edit=edit):
        lay(step, await payloads.spill(session, step, words), session.info)
    step.environment = step.environment or environment
    if session.is_modified(step):
        step.updated_at = clock.now()
    await account(session, step, before, environment, anew=edit)
    project = step.project_id
    if not is_new and step.thread_id != before.thread_id:
        step.writer = step.sequence = None  # its place was one in the other thread
        files = (Attachment.project_id == project, Attachment.step_id == step.id)
        await session.execute(update(Attachment).where(*files).values(thread_id=step.thread_id))
    for given in report.scores or ():
        await merge_score(session, project, given, step_id=step.id)
    for given in report.attachments or ():
        await merge_attachment(session, project, given, step=step)


async def _is_purged(session: AsyncSession, project: str, step: Step | None, report: StepReport) -> bool:
    if step is not None and step.purged_at is not None:
        return True
    thread_id = report.thread_id or (step.thread_id if step is not None else None)
    if thread_id is None:
        return False
    thread = await find(session, Thread, project, thread_id)
    if thread is not None:
        deleted_at = thread.deleted_at
    else:
        deleted_at = await deletion_before_purge(session, project, "thread", thread_id)
    began = chosen(min, step.start_time if step is not None else None, report.start_time)
    if deleted_at is not None and began is not None and began > deleted_at:
        raise ThreadDeleted
    return thread is None and deleted_at is not None


def merge_step(step: Step | PlainStep, report: StepReport, *, edit: bool = False) -> dict[str, Any]:
    """Lay the times of a report over a step, and answer, by name, the words of the report that stand.

    Where a key of the generation is among them, all the other keys are too.
    """
    latest = step.end_time
    timeless = edit or (report.start_time is None and report.end_time is None)
    told_at = latest if timeless else report.end_time
    _lay_times(step, report, edit=edit)
    words = _words(step, step.metadata_, step.generation)
    stamps = {name: (step.stamps or {}).get(name, latest) for name in words}
    changed = set()
    for name, value in _words(report, report.metadata, report.generation).items():
        if name not in words or _stands(name, value, told_at, words[name], stamps[name]):
            if words.get(name) != value:
                words[name] = value
                changed.add(name)
            stamps[name] = told_at
    step.stamps = {name: stamp for name, stamp in stamps.items() if stamp != step.end_time} or None
    if any(name.startswith(GENERATION) for name in changed):
        changed |= {name for name in words if name.startswith(GENERATION)}
    return {name: words[name] for name in changed}


def lay(step: Step | PlainStep, words: Mapping[str, Any], info: Mapping[Any, Any]) -> None:
    """Lay words that stand over a step; `info` is that of its session."""
    for name, column in _COLUMNS.items():
        if name in words:
            setattr(step, column, words[name])
    step.is_error = bool(step.error)
    if generation := {k.removeprefix(GENERATION): value for k, value in words.items() if k.startswith(GENERATION)}:
        _lay_generation(step, generation)
        prices.lay_cost(info, step)


def _words(source: Step | PlainStep | StepReport, metadata: Any, generation: Any) -> dict[str, Any]:
    """What a step or a report says, by name, the keys of a generation apart; what is null says nothing."""
    found = {name: getattr(source, name) for name in _COLUMNS if name != "metadata"} | {"metadata": metadata}
    if isinstance(generation, Mapping):
        found |= {f"{GENERATION}{key}": value for key, value in generation.items()}
    return {name: value for name, value in found.items() if value is not None}


def _stands(name: str, value: Any, told_at: int | None, stored: Any, stored_at: int | None) -> bool:
    """Say whether a word of a report takes the place of the stored one; a moment of None is before any end."""
    blank, stored_blank = _says_nothing(name, value), _says_nothing(name, stored)
    if blank != stored_blank:
        return stored_blank
    return stored_at is None or (told_at is not None and told_at >= stored_at)


def _says_nothing(name: str, value: Any) -> bool:
    if name == "tags":  # an empty list is a word about tags
        return False
    return json_text.is_blank(value) or (name == "type" and value == "undefined")


def _lay_times(step: Step | PlainStep, report: StepReport, *, edit: bool) -> None:
    if edit:
        step.start_time = step.start_time if report.start_time is None else report.start_time
        step.end_time = step.end_time if report.end_time is None else report.end_time
    else:
        step.start_time = chosen(min, step.start_time, report.start_time)
        step.end_time = chosen(max, step.end_time, report.end_time)


def _lay_generation(step: Step | PlainStep, generation: dict[str, Any]) -> None:
    step.generation = generation
    step.model = json_text.as_text(generation.get("model"))
    step.provider = json_text.as_text(generation.get("provider"))
    step.input_tokens = json_text.as_whole_number(generation.get("inputTokenCount"))
    step.output_tokens = json_text.as_whole_number(generation.get("outputTokenCount"))
    step.token_count = generations.token_count(generation)
    step.duration = json_text.as_number(generation.get("duration"))
    step.prompt_id = json_text.as_text(generation.get("promptId"))


async def merge_score(session: AsyncSession, project: str, given: Any, *, step_id: str | None = None) -> Score:
    """Store a score of a step's report: by its id, else as the same judgement when it is repeated. Raises Refused."""
    fields = as_score(given)
    fields["step_id"] = fields["step_id"] or step_id or fields["generation_id"]
    identity = given.get("id")
    score = (
        await find(session, Score, project, str(identity)) if identity else await _same_score(session, project, fields)
    )
    if score is None:
        return await new_score(session, project, fields, str(identity) if identity else None)
    for name, value in fields.items():
        if value is not None:
            setattr(score, name, value)
    if session.is_modified(score):
        score.updated_at = clock.now()
    return score


async def new_score(
    session: AsyncSession, project: str, fields: Mapping[str, Any], identity: str | None = None
) -> Score:
    """Add a score with these fields (those of `as_score`), deleted if its step is; a new id unless one is given."""
    now = clock.now()
    step = await find(session, Step, project, fields["step_id"]) if fields["step_id"] else None
    score = Score(
        project_id=project,
        id=identity or str(uuid.uuid4()),
        created_at=now,
        updated_at=now,
        deleted_at=step.deleted_at if step is not None else None,
        **fields,
    )
    add(session, score)
    return score


def as_score(given: Any) -> dict[str, Any]:
    """Take the fields of a score from its payload. Raises Refused when name or value is missing."""
    if not isinstance(given, Mapping):
        raise Refused("A score is an object with name, type and value.")
    value = json_text.as_number(given.get("value"))
    name = json_text.as_text(given.get("name"))
    if value is None or not name:
        raise Refused("A score needs a name and a finite number as its value.")
    kind = given.get("type")
    tags = given.get("tags")
    texts = {
        column: json_text.as_text(given.get(key))
        for column, key in (
            ("step_id", "stepId"),
            ("generation_id", "generationId"),
            ("dataset_experiment_item_id", "datasetExperimentItemId"),
            ("label", "label"),
            ("scorer", "scorer"),
            ("comment", "comment"),
        )
    }
    return {
        **texts,
        "name": name,
        "type": kind if kind in SCORE_TYPES else "HUMAN",
        "value": value,
        "tags": [json_text.as_text(tag) or "" for tag in tags] if isinstance(tags, list) else None,
    }


async def _same_score(session: AsyncSession, project: str, fields: Mapping[str, Any]) -> Score | None:
    same = ("step_id", "name", "type", "value", "comment")
    matches = (getattr(Score, name).is_not_distinct_from(fields[name]) for name in same)
    return await session.scalar(select(Score).where(Score.project_id == project, *matches).limit(1))


async def merge_attachment(session: AsyncSession, project: str, given: Any, *, step: Step) -> Attachment:
    """Add an attachment to a step, or change the one that has its id; the others stay. Raises Refused."""
    if not isinstance(given, Mapping):
        raise Refused("An attachment is an object with id, name and an address or an object key.")
    names = (("name", "name"), ("mime", "mime"), ("object_key", "objectKey"), ("url", "url"))
    fields: dict[str, Any] = {column: json_text.as_text(given.get(key)) for column, key in names}
    identity = given.get("id")
    # Without an id the same file of the same step gets the same id, so that a repeated report adds nothing.
    identity = str(identity or uuid.uuid5(uuid.NAMESPACE_OID, json_text.dumps([project, step.id, fields])))
    attachment = await find(session, Attachment, project, identity)
    if attachment is None:
        attachment = Attachment(project_id=project, id=identity, created_at=clock.now(), deleted_at=step.deleted_at)
        add(session, attachment)
    fields |= {"metadata_": given.get("metadata"), "step_id": step.id, "thread_id": step.thread_id}
    for name, value in fields.items():
        if value is not None:
            setattr(attachment, name, value)
    return attachment
