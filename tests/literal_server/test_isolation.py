"""A key reaches its own project only: whatever is asked about another project's things is answered as about nothing.

Every root field of the schema has its cases here, and a field without one fails. A case names things as `<thread>`; it
is sent twice with the key of one project, once with the ids of another project's things and once with ids that nobody
has. Both answers must be the same but for the ids themselves, and nothing of the other project may change.
"""

import json
import re
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from starlette.applications import Starlette

from literal_server import keys, projects
from literal_server.tables import Base, SearchChange
from tests.literal_server.documents import document, root_fields
from tests.literal_server.wire import Wire, gql

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_fsync")]

FIELDS = {name: document(operation, name, field) for operation, name, field in root_fields()}
SCORE = {"name": "quality", "type": "AI", "value": 1}
PROMPT = {"templateMessages": [{"role": "user", "content": "hello", "uuid": "u"}], "settings": {}, "tools": []}


def by(field: str, kind: str) -> dict[str, Any]:
    return {"filters": [{"field": field, "operator": "eq", "value": f"<{kind}>"}]}


FOREIGN_PROJECT = {"projectId": "<project>"}

CASES: dict[str, list[dict[str, Any]]] = {
    "participants": [by("id", "participant"), by("identifier", "identifier"), FOREIGN_PROJECT],
    "participant": [{"id": "<participant>"}, {"identifier": "<identifier>"}],
    "threads": [by("id", "thread"), by("participantId", "participant"), by("participantIdentifiers", "identifier"),
                by("stepName", "step"), FOREIGN_PROJECT],
    "threadDetail": [{"id": "<thread>"}],
    "steps": [by("id", "step"), by("threadId", "thread"), by("parentId", "step"), FOREIGN_PROJECT],
    "step": [{"id": "<step>"}],
    "generations": [by("id", "step"), by("promptLineage", "lineage_name"), FOREIGN_PROJECT],
    "scores": [by("id", "score"), by("stepId", "step"), FOREIGN_PROJECT],
    "attachment": [{"id": "<attachment>"}],
    "datasets": [FOREIGN_PROJECT],
    "datasetItem": [{"id": "<dataset_item>"}],
    "promptLineage": [{"name": "<lineage_name>"}],
    "promptVersion": [{"id": "<version>"}, {"name": "<lineage_name>"}, {"name": "<lineage_name>", "version": 0}],
    "promptLineageRollout": [{"lineageName": "<lineage_name>"}, {"lineageName": "<lineage_name>", **FOREIGN_PROJECT}],
    "createParticipant": [{"identifier": "<identifier>"}],
    "updateParticipant": [{"id": "<participant>", "metadata": {"a": 1}}],
    "deleteParticipant": [{"id": "<participant>"}],
    "createThread": [{"participantId": "<participant>"}, {"participantId": "<identifier>"}],
    "upsertThread": [{"id": "<thread>", "name": "taken"}, {"id": "own", "participantId": "<participant>"}],
    "updateThread": [{"id": "<thread>", "name": "taken"}],
    "deleteThread": [{"id": "<thread>"}],
    "ingestStep": [{"id": "<step>", "threadId": "<thread>", "parentId": "<step>", "output": {"content": "taken"}},
                   {"id": "own", "scores": [{**SCORE, "id": "<score>", "stepId": "<step>"}]},
                   {"id": "own", "attachments": [{"id": "<attachment>", "name": "taken", "objectKey": "<file>"}]}],
    "createStep": [{"threadId": "<thread>", "parentId": "<step>", "rootRunId": "<step>"}],
    "updateStep": [{"id": "<step>", "name": "taken"}],
    "deleteStep": [{"id": "<step>"}],
    "createGeneration": [{"generation": {"promptId": "<version>", "id": "<step>", "stepId": "<step>"}}],
    "createScore": [{**SCORE, "stepId": "<step>"}, {**SCORE, "generationId": "<step>"},
                    {**SCORE, "datasetExperimentItemId": "<experiment_item>"}],
    "updateScore": [{"id": "<score>", "value": 0}],
    "deleteScore": [{"id": "<score>"}],
    "createAttachment": [{"name": "x", "stepId": "<step>", "objectKey": "<file>"}],
    "updateAttachment": [{"id": "<attachment>", "name": "taken"}, {"id": "<attachment>", **FOREIGN_PROJECT}],
    "deleteAttachment": [{"id": "<attachment>"}],
    "createDataset": [{"name": "<dataset_name>"}],
    "updateDataset": [{"id": "<dataset>", "name": "taken"}],
    "deleteDataset": [{"id": "<dataset>"}],
    "createDatasetItem": [{"datasetId": "<dataset>", "input": {}},
                          {"datasetId": "<own_dataset>", "input": {}, "generationId": "<step>"}],
    "deleteDatasetItem": [{"id": "<dataset_item>"}],
    "addStepToDataset": [{"datasetId": "<dataset>", "stepId": "<step>"},
                         {"datasetId": "<own_dataset>", "stepId": "<step>"}],
    "addGenerationToDataset": [{"datasetId": "<dataset>", "generationId": "<step>"},
                               {"datasetId": "<own_dataset>", "generationId": "<step>"}],
    "createDatasetExperiment": [{"name": "x", "datasetId": "<dataset>"},
                                {"name": "x", "promptExperimentId": "<variant>"}],
    "createDatasetExperimentItem": [{"datasetExperimentId": "<experiment>", "experimentRunId": "<step>"},
                                    {"datasetExperimentId": "<own_experiment>", "datasetItemId": "<dataset_item>"}],
    "createPromptLineage": [{"name": "<lineage_name>"}],
    "createPromptVersion": [{"lineageId": "<lineage>", **PROMPT}],
    "createPromptExperiment": [{"fromLineageId": "<lineage>", **PROMPT}],
    "updatePromptLineageRollout": [{"name": "<lineage_name>", "rollouts": [{"version": 0, "rollout": 1}]}],
}  # fmt: skip

Things = dict[str, str]


class Neighbours:
    """Two projects of one server: `ours`, whose key is used, and `theirs`, whose things are asked for."""

    def __init__(self, ours: Wire, theirs: Wire, server: Starlette, things: Things) -> None:
        self.ours = ours
        self.theirs = theirs
        self.server = server
        self.things = things

    async def rows(self) -> dict[str, list[Any]]:
        """All that is stored of their project."""
        found: dict[str, list[Any]] = {}
        async with self.server.state.api.database.reading() as session:
            # The notes for the index of full text are written anew whenever it begins.
            for table in (one for one in Base.metadata.sorted_tables if one is not SearchChange.__table__):
                if "project_id" in table.c:
                    query = select(table).where(table.c.project_id == self.things["project"])
                    found[table.name] = sorted(map(repr, (await session.execute(query)).all()))
        return found


@pytest.fixture
async def neighbours(http: httpx.AsyncClient, server: Starlette) -> Neighbours:
    api = server.state.api
    async with api.database.writing() as session:
        project = await projects.create(session, "theirs")
        key = await keys.create(session, project, "their program")
    async with api.database.reading() as session:
        api.keys.projects = (await keys.KeyRing.load(session)).projects
    ours = Wire(http)
    theirs = Wire(httpx.AsyncClient(transport=http._transport, base_url=http.base_url, headers={"x-api-key": key}))
    things = {"project": project.id, **await furnished(theirs)}
    if "createDataset" in FIELDS:
        things["own_dataset"] = (await ours.send(FIELDS["createDataset"], {"name": "our dataset"}))["id"]
        things["own_experiment"] = (await ours.send(FIELDS["createDatasetExperiment"], {"name": "our trial"}))["id"]
    return Neighbours(ours, theirs, server, things)


async def furnished(wire: Wire) -> Things:
    """Fill a project with one thing of each kind, and answer their ids."""
    user = await wire.send(gql.CREATE_PARTICIPANT, {"identifier": "their-ada"})
    await wire.send(gql.UPSERT_THREAD, {"id": "their-thread", "participantId": user["id"], "name": "secret"})
    step = {"id": "their-step", "threadId": "their-thread", "type": "llm", "name": "their-step"}
    await wire.report(
        step | {"generation": {"model": "secret"}, "output": {"content": "secret"},
                "scores": [{**SCORE, "id": "their-score"}],
                "attachments": [{"id": "their-attachment", "name": "x", "objectKey": "files/their-file"}]}
    )  # fmt: skip
    things = {"participant": user["id"], "identifier": "their-ada", "thread": "their-thread", "step": "their-step",
              "score": "their-score", "attachment": "their-attachment", "file": "files/their-file"}  # fmt: skip
    if "createDataset" not in FIELDS:
        return things | {"dataset": "their-dataset", "dataset_name": "their dataset", "experiment_item": "their-item"}
    dataset = await wire.send(FIELDS["createDataset"], {"name": "their dataset"})
    item = await wire.send(FIELDS["createDatasetItem"], {"datasetId": dataset["id"], "input": {"secret": 1}})
    lineage = await wire.send(FIELDS["createPromptLineage"], {"name": "their prompt"})
    version = await wire.send(FIELDS["createPromptVersion"], {"lineageId": lineage["id"], **PROMPT})
    variant = await wire.send(FIELDS["createPromptExperiment"], {"fromLineageId": lineage["id"], **PROMPT})
    trial = await wire.send(FIELDS["createDatasetExperiment"], {"name": "x", "datasetId": dataset["id"]})
    tried = await wire.send(FIELDS["createDatasetExperimentItem"], {"datasetExperimentId": trial["id"]})
    return things | {
        "dataset": dataset["id"], "dataset_name": "their dataset", "dataset_item": item["id"],
        "lineage": lineage["id"], "lineage_name": "their prompt", "version": version["id"], "variant": variant["id"],
        "experiment": trial["id"], "experiment_item": tried["id"],
    }  # fmt: skip


def named(value: Any, things: Things) -> Any:
    """Put ids in the place of `<kind>`."""
    text = json.dumps(value)
    for kind, identity in things.items():
        text = text.replace(f"<{kind}>", identity)
    return json.loads(text)


def told(body: Any, things: Things) -> str:
    """An answer without the ids that were asked for, the ids that were made, and moments."""
    text = json.dumps(body)
    for identity in sorted(set(things.values()), key=len, reverse=True):
        text = text.replace(identity, "ID")
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "MOMENT", text)


def nobodys(things: Things) -> Things:
    """Ids like these that nobody has."""
    return {kind: name if kind.startswith("own_") else f"nobodys-{kind}" for kind, name in things.items()}


@pytest.mark.parametrize("field", FIELDS)
async def test_foreign_is_unknown(field: str, neighbours: Neighbours) -> None:
    """For each root field another project's id is answered as an unknown one, and their project stays as it was."""
    assert field in CASES, f"{field} is new: say here how it could be asked for another project's things"
    before = await neighbours.rows()
    unknown = nobodys(neighbours.things)
    for case in CASES[field]:
        answers = []
        for things in (unknown, neighbours.things):
            assert "<" not in json.dumps(named(case, things))
            answers.append(told(await neighbours.ours.post(FIELDS[field], named(case, things)), things))
        assert answers[1] == answers[0]
        assert "secret" not in answers[1]
        assert await neighbours.rows() == before


async def test_the_cases_would_tell(neighbours: Neighbours) -> None:
    """The same questions with their own key are answered otherwise: the comparison can fail."""
    for field in ("threadDetail", "step", "attachment", "participant"):
        answers = [
            told(await neighbours.theirs.post(FIELDS[field], named(CASES[field][0], things)), things)
            for things in (neighbours.things, nobodys(neighbours.things))
        ]
        assert answers[0] != answers[1]


async def test_cursors_do_not_lead_over_the_border(neighbours: Neighbours) -> None:
    """A cursor made for another project pages through one's own."""
    page = await neighbours.theirs.send(gql.GET_STEPS, {"first": 1})
    for where in ("after", "before"):
        body = await neighbours.ours.post(gql.GET_STEPS, {where: page["pageInfo"]["endCursor"]})
        assert body["data"]["steps"]["edges"] == []


RESTS: dict[str, list[dict[str, Any]]] = {
    "/api/my-project": [{}, {"projectId": "<project>"}],
    "/api/export/dataset": [{"id": "<dataset>"}, {"name": "<dataset_name>"}, {"id": "<dataset>", "name": "x"}],
}


@pytest.mark.parametrize("path", RESTS)
async def test_foreign_is_unknown_to_rest(path: str, neighbours: Neighbours) -> None:
    """The REST side knows no other project either."""
    before = await neighbours.rows()
    for case in RESTS[path]:
        answers = [
            (await neighbours.ours.http.post(path, json=named(case, things))).text
            for things in (nobodys(neighbours.things), neighbours.things)
        ]
        assert answers[0] == answers[1]
    assert await neighbours.rows() == before
