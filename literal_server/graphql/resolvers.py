"""One resolver a root field: it takes the arguments apart, calls the floor below and shapes the answer.

Here is what is recorded: participants, threads, steps, generations, scores, attachments.
"""

from collections.abc import Sequence
from typing import Any

from ariadne import MutationType, QueryType

from literal_server import attachments, generation_steps, ingest, participants, scores, steps, threads
from literal_server.errors import Refused
from literal_server.graphql import shapes
from literal_server.graphql.context import (
    Context,
    ResolveInfo,
    listing,
    page_request,
    refused_as_not_ok,
    resolver,
    selects,
)
from literal_server.ingest import StepReport
from literal_server.steps import FullStep
from literal_server.tables import Attachment, Thread
from literal_server.threads import ThreadReport

Arguments = Any
Shape = shapes.Shape

query = QueryType()
mutation = MutationType()


@query.field("participants")
@resolver
async def list_participants(context: Context, **arguments: Arguments) -> Shape:
    """Answer a page of participants with how much they took part."""
    session, project = context.session, context.project
    wanted = {"given_filters": arguments.get("filters"), "anchor": arguments.get("cursor_anchor")}
    page = await participants.list_page(session, project, context.settings, page_request(arguments), **wanted)
    engaged = await participants.engagements(session, project, [row.id for row in page.rows])
    return shapes.connection(page, lambda row: shapes.participant(row, engaged.get(row.id)))


@query.field("participant")
@resolver
async def get_participant(context: Context, id: str | None = None, identifier: str | None = None) -> Shape | None:
    """Answer one participant by id or identifier."""
    if id is None and identifier is None:
        raise Refused("A participant is asked for by id or by identifier.")
    found = await participants.find(context.session, context.project, identity=id, identifier=identifier)
    return shapes.participant(found) if found else None


@mutation.field("createParticipant")
@resolver
async def create_participant(context: Context, identifier: str, metadata: Any = None) -> Shape:
    """Make a participant."""
    return shapes.participant(await participants.create(context.session, context.project, identifier, metadata))


@mutation.field("updateParticipant")
@resolver
async def update_participant(context: Context, id: str, identifier: str | None = None, metadata: Any = None) -> Shape:
    """Change a participant."""
    return shapes.participant(await participants.update(context.session, context.project, id, identifier, metadata))


@mutation.field("deleteParticipant")
@resolver
async def delete_participant(context: Context, id: str) -> Shape | None:
    """Delete a participant."""
    found = await participants.delete(context.session, context.project, id)
    return shapes.participant(found) if found else None


@query.field("threads")
@resolver
async def list_threads(context: Context, info: ResolveInfo, **arguments: Arguments) -> Shape:
    """Answer a page of threads, with their steps if these are asked for."""
    session, project = context.session, context.project
    page = await threads.list_page(session, project, context.settings, page_request(arguments), **listing(arguments))
    users = await threads.participants_of(session, project, page.rows)
    with_steps = selects(info, "edges", "node", "steps")
    trees = await steps.of_threads(session, project, [row.id for row in page.rows]) if with_steps else {}
    kept = arguments.get("step_types_to_keep")

    def shape(row: Thread) -> Shape:
        shown = trees.get(row.id)
        if shown is not None and kept:
            shown = [full for full in shown if full.step.type in kept]
        return shapes.thread(row, users.get(row.participant_id or ""), _shown(context, shown))

    return shapes.connection(page, shape)


@query.field("threadDetail")
@resolver
async def get_thread(context: Context, info: ResolveInfo, id: str) -> Shape | None:
    """Answer one thread with its steps."""
    found = await threads.find(context.session, context.project, id)
    if found is None:
        return None
    trees = await steps.of_threads(context.session, context.project, [id]) if selects(info, "steps") else {}
    users = await threads.participants_of(context.session, context.project, [found])
    return shapes.thread(found, users.get(found.participant_id or ""), _shown(context, trees.get(id)))


def _shown(context: Context, found: Sequence[FullStep] | None) -> list[Shape] | None:
    view = context.view
    return None if found is None else [shapes.step(one, view) for one in found]


def _thread_report(given: dict[str, Any]) -> ThreadReport:
    return ThreadReport(given.get("name"), given.get("metadata"), given.get("participant_id"), given.get("tags"))


async def _shallow(context: Context, thread: Thread) -> Shape:
    users = await threads.participants_of(context.session, context.project, [thread])
    return shapes.thread(thread, users.get(thread.participant_id or ""))


@mutation.field("createThread")
@resolver
async def create_thread(context: Context, **given: Arguments) -> Shape:
    """Make a thread."""
    report = _thread_report(given)
    return await _shallow(context, await threads.create(context.session, context.project, report, context.environment))


@mutation.field("upsertThread")
@resolver
async def upsert_thread(context: Context, id: str, **given: Arguments) -> Shape:
    """Make or change a thread."""
    report = _thread_report(given)
    found = await threads.upsert(context.session, context.project, id, report, context.environment)
    return await _shallow(context, found)


@mutation.field("updateThread")
@resolver
async def update_thread(context: Context, id: str, **given: Arguments) -> Shape:
    """Change a thread."""
    found = await threads.change(context.session, context.project, id, _thread_report(given))
    return await _shallow(context, found)


@mutation.field("deleteThread")
@resolver
async def delete_thread(context: Context, id: str) -> Shape | None:
    """Delete a thread with its steps."""
    found = await threads.delete(context.session, context.project, id, context.client_name)
    return shapes.thread(found) if found else None


@query.field("steps")
@resolver
async def list_steps(context: Context, **arguments: Arguments) -> Shape:
    """Answer a page of steps."""
    session, project = context.session, context.project
    page = await steps.list_page(session, project, context.settings, page_request(arguments), **listing(arguments))
    view = context.view
    return shapes.connection(page, lambda full: shapes.step(full, view))


@query.field("step")
@resolver
async def get_step(context: Context, id: str) -> Shape | None:
    """Answer one step."""
    found = await steps.find(context.session, context.project, id)
    return shapes.step(found, context.view) if found else None


@mutation.field("ingestStep")
@refused_as_not_ok
@resolver
async def ingest_step(context: Context, **report: Arguments) -> Shape:
    """Take in what a client reports about a step."""
    taken = StepReport(**report)
    await ingest.ingest_step(context.session, context.project, taken, environment=context.environment)
    return {"ok": True, "message": None}


@mutation.field("createStep")
@resolver
async def create_step(context: Context, **report: Arguments) -> Shape:
    """Make a step."""
    taken = StepReport(id="", **report)
    made = await steps.create(context.session, context.project, taken, context.environment)
    return shapes.step(made, context.view)


@mutation.field("updateStep")
@resolver
async def update_step(context: Context, **report: Arguments) -> Shape:
    """Change a step."""
    changed = await steps.change(context.session, context.project, StepReport(**report))
    return shapes.step(changed, context.view)


@mutation.field("deleteStep")
@resolver
async def delete_step(context: Context, id: str) -> Shape | None:
    """Delete a step."""
    found = await steps.delete(context.session, context.project, id)
    return {"id": found.id, "type": found.type} if found else None


@query.field("scores")
@resolver
async def list_scores(context: Context, **arguments: Arguments) -> Shape:
    """Answer a page of scores with the way to their threads."""
    session, project = context.session, context.project
    page = await scores.list_page(session, project, context.settings, page_request(arguments), **listing(arguments))
    owners = await steps.owners(session, project, (row.step_id for row in page.rows))
    return shapes.connection(page, lambda row: shapes.score(row, owners.get(row.step_id or "")))


@mutation.field("createScore")
@resolver
async def create_score(context: Context, **given: Arguments) -> Shape:
    """Make a score."""
    wire = {"stepId": "step_id", "generationId": "generation_id"}
    wire |= {"datasetExperimentItemId": "dataset_experiment_item_id"}
    payload = given | {name: given.get(argument) for name, argument in wire.items()}
    return shapes.score(await scores.create(context.session, context.project, payload))


@mutation.field("updateScore")
@resolver
async def update_score(context: Context, id: str, **changes: Arguments) -> Shape:
    """Change a score."""
    return shapes.score(await scores.change(context.session, context.project, id, changes))


@mutation.field("deleteScore")
@resolver
async def delete_score(context: Context, id: str) -> Shape | None:
    """Delete a score."""
    found = await scores.delete(context.session, context.project, id)
    return shapes.score(found) if found else None


@query.field("generations")
@resolver
async def list_generations(context: Context, **arguments: Arguments) -> Shape:
    """Answer a page of generations with the way to their threads."""
    session, project, view = context.session, context.project, context.view
    page = await generation_steps.list_page(
        session, project, context.settings, page_request(arguments), **listing(arguments)
    )
    owners = await steps.owners(session, project, (row.id for row in page.rows))
    return shapes.connection(page, lambda row: shapes.listed_generation(row, view, owners.get(row.id)))


@mutation.field("createGeneration")
@resolver
async def create_generation(context: Context, generation: Any) -> Shape:
    """Store a generation without a step of its own."""
    made = await generation_steps.create(context.session, context.project, generation, context.environment)
    return shapes.listed_generation(made, context.view, None)


@query.field("attachment")
@resolver
async def get_attachment(context: Context, id: str) -> Shape | None:
    """Answer one attachment."""
    found = await attachments.find(context.session, context.project, id)
    return await _attachment(context, found) if found else None


async def _attachment(context: Context, row: Attachment) -> Shape:
    return shapes.attachment(row, context.view, await attachments.thread_of(context.session, context.project, row))


@mutation.field("createAttachment")
@resolver
async def create_attachment(context: Context, step_id: str, **given: Arguments) -> Shape:
    """Add an attachment to a step."""
    return await _attachment(context, await attachments.create(context.session, context.project, step_id, given))


@mutation.field("updateAttachment")
@resolver
async def update_attachment(context: Context, id: str, **changes: Arguments) -> Shape:
    """Change an attachment."""
    return await _attachment(context, await attachments.change(context.session, context.project, id, changes))


@mutation.field("deleteAttachment")
@resolver
async def delete_attachment(context: Context, id: str) -> Shape | None:
    """Delete an attachment."""
    found = await attachments.delete(context.session, context.project, id)
    return await _attachment(context, found) if found else None
