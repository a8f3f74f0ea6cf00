"""A batch of steps in the SDKs' own document has a way of its own, which differs from the general one in nothing."""

import json
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from graphql import parse
from hypothesis import given
from hypothesis import strategies as st
from literalai.api.helpers.gql import steps_query_builder
from pydantic import SecretStr
from sqlalchemy import select

from literal_server import clock, generations
from literal_server.app import create_app
from literal_server.graphql import add_step, service
from literal_server.graphql.service import Caller, make_schema
from literal_server.plain_rows import PlainStep, PlainThread
from literal_server.rest import Api
from literal_server.rows import purged_digest
from literal_server.settings import ServerSettings
from literal_server.tables import Attachment, PurgedId, Score, Step, Thread
from tests.literal_server.fuzz import examples
from tests.literal_server.wire import KEY

pytestmark = pytest.mark.anyio

NOW = clock.parse_time("2026-01-01T12:00:00Z")
SCHEMA = make_schema()
MARKS = count()
MOMENT = [NOW]  # at which a request is answered

TEXTS = st.sampled_from(["", "hello", "héllo \ud800", "x" * 60, None])
ANYTHING = st.sampled_from([{}, {"content": "hi"}, {"content": ""}, "text", "y" * 300, [1, None], 0, False, None])
ODD = st.sampled_from([7, True, ["a"], {"a": 1}])
SCORE = st.sampled_from(
    [
        {"name": "quality", "type": "AI", "value": 1},
        {"id": "score", "name": "quality", "type": "HUMAN", "value": 0.5, "comment": "ok"},
        {"name": "", "value": 1},
        "no score",
    ]
)
FILE = st.sampled_from(
    [{"id": "file", "name": "a.png", "objectKey": "files/1"}, {"name": "b", "url": "https://x.test"}, 1]
)
GENERATION = st.sampled_from(
    [{}, {"model": "m", "tokenCount": 5, "messages": [{"role": "user", "content": "z" * 300}]}, {"id": "i" * 50}, "odd"]
)
TIMES = st.sampled_from(["2026-01-01T10:00:00Z", "2026-01-01T10:00:05.5", "2026-01-01T13:00:00+00:00", None])
USUAL: dict[str, st.SearchStrategy[Any]] = {
    "id": st.sampled_from(["one", "one", "two", "three", "i" * 50, ""]),
    "threadId": st.sampled_from(["thread", "thread", "other", "deleted", "purged", None, "i" * 50]),
    "rootRunId": TEXTS,
    "parentId": TEXTS,
    "name": TEXTS,
    "error": TEXTS,
    "type": st.sampled_from(["run", "llm", "user_message", "undefined", None]),
    "startTime": TIMES,
    "endTime": TIMES,
    "input": ANYTHING,
    "output": ANYTHING,
    "metadata": ANYTHING,
    "tags": st.sampled_from([[], ["a", "b"], None]),
    "generation": st.none() | GENERATION,
    # Most are empty: what brings scores and files along goes the general way in both.
    "scores": st.sampled_from([None, []]) | st.lists(SCORE, max_size=2),
    "attachments": st.sampled_from([None, []]) | st.lists(FILE, max_size=2),
}
UNUSUAL: dict[str, st.SearchStrategy[Any]] = {
    "id": ODD | st.none(),
    "type": st.sampled_from(["no such type", 1]),
    "startTime": st.sampled_from(["yesterday", 12, ""]),
    "tags": st.sampled_from(["alone", [1], [None]]),
    "scores": st.sampled_from([[None], {"name": "alone", "value": 1}]),
    "attachments": st.sampled_from([[None], {"id": "alone"}]),
} | dict.fromkeys(("threadId", "rootRunId", "parentId", "name", "error", "endTime"), ODD)


@st.composite
def variables_of(draw: st.DrawFn, number: int) -> dict[str, Any]:
    """The variables of one step: some are not sent, now and then one is not what was declared."""
    names = {"id", "threadId"} | draw(st.sets(st.sampled_from(sorted(USUAL)), max_size=8))
    values = {name: draw(USUAL[name]) for name in sorted(names)}
    if draw(st.integers(0, 15)) == 0:
        name = draw(st.sampled_from(sorted(UNUSUAL)))
        values[name] = draw(UNUSUAL[name])
    if draw(st.integers(0, 30)) == 0:
        del values["id"]
    return {f"{name}_{number}": value for name, value in values.items()}


def stamp_of(number: int) -> st.SearchStrategy[dict[str, Any]]:
    """The stamp that our own recorder sends along, none, or nonsense."""
    told = {"told": {"writer": [9, [[number + 1, number + 1]]]}, "place": ["writer", number + 1]}
    stamp = {"thread": "thread", "at": NOW, **told}
    return st.sampled_from([{}, {f"stamp_{number}": stamp}, {f"stamp_{number}": ["nonsense"]}])


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A request as the SDKs write it."""
    steps = draw(st.integers(1, 4))
    values: dict[str, Any] = {}
    for number in range(steps):
        values |= draw(variables_of(number)) | draw(stamp_of(number))
    required = draw(st.sampled_from(["$id_0: String", "$id_0: String", "$name_0: String"]))
    return steps_query_builder([{}] * steps).replace(f"{required}\n", f"{required}!\n"), values


@pytest.fixture
async def ways(
    tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> AsyncIterator[tuple[Api, Api]]:
    """Two servers at one moment: one that recognises the document, one that does not."""
    monkeypatch.setattr(clock, "now", lambda: MOMENT[0])
    async with AsyncExitStack() as stack:
        found = []
        for name in ("own", "general"):
            folder = tmp_path / name
            folder.mkdir()
            shutil.copy(migrated, folder)
            limits: dict[str, int] = {"max_id_length": 40, "max_payload_bytes": 200, "max_metadata_bytes": 200}
            app = create_app(ServerSettings(data_dir=folder, api_key=SecretStr(KEY), **limits))
            await stack.enter_async_context(app.router.lifespan_context(app))
            found.append(app.state.api)
        general = found[1].graph
        monkeypatch.setattr(general, "_parsed", _unrecognised(general._parsed))
        yield found[0], found[1]


def _unrecognised(parsed: Any) -> Any:
    def parsed_only(text: str) -> Any:
        known = parsed(text)
        return known if isinstance(known, list) else replace(known, add_step=None)

    return parsed_only


async def stored(api: Api, mark: str) -> list[str]:
    """Every row of the ids with this mark, without the ids that are made up at random."""
    lines = []
    async with api.database.reading() as session:
        for table in (Step, Thread, Score, Attachment):
            random = {"project_id"} | ({"id"} if table in (Score, Attachment) else set())
            columns = [column for column in table.__table__.columns if column.name not in random]
            rows = await session.execute(select(*columns).where(table.project_id == api.project))
            lines += [json.dumps([table.__name__, *map(str, row)]) for row in rows]
    return sorted(line for line in lines if mark in line)


def marked(values: dict[str, Any], mark: str) -> dict[str, Any]:
    """The variables with ids of their own, so that all examples can use one database."""

    def own(name: str, value: Any) -> Any:
        return f"{mark}{value}" if name.startswith(("id_", "threadId_")) and isinstance(value, str) and value else value

    text = json.dumps({name: own(name, value) for name, value in values.items()})
    return dict(json.loads(text.replace('"id": "', f'"id": "{mark}').replace('"thread": "', f'"thread": "{mark}')))


@pytest.mark.usefixtures("no_fsync")
@examples(40)
@given(st.lists(requests(), min_size=1, max_size=3))
async def test_both_ways_answer_and_store_the_same(
    ways: tuple[Api, Api], sent: list[tuple[str, dict[str, Any]]]
) -> None:
    """Whatever is sent in the SDKs' document, unusual variables too, both answer alike and store the same rows."""
    mark = f"#{next(MARKS)}#"
    told = []
    for api in ways:
        caller = Caller(api.project, environment="staging")
        MOMENT[0] = NOW
        await lay_deleted_threads(api, caller, mark)
        answers = []
        for number, (text, values) in enumerate(sent):
            MOMENT[0] = NOW + number
            answers.append(json.dumps(await api.graph.answer(text, marked(values, mark), caller)))
        told.append((answers, await stored(api, mark)))
    assert told[0] == told[1]


async def lay_deleted_threads(api: Api, caller: Caller, mark: str) -> None:
    """Make a thread that is deleted and the memory of one that is purged."""
    for mutation in ("upsertThread", "deleteThread"):
        text = f"mutation ($id: String!) {{ {mutation}(id: $id) {{ id }} }}"
        await api.graph.answer(text, {"id": f"{mark}deleted"}, caller)
    async with api.database.writing() as session:
        digest = purged_digest("thread", f"{mark}purged")
        session.add(PurgedId(project_id=api.project, digest=digest, deleted_at=NOW))


async def test_a_fault_of_ours_is_told_alike(ways: tuple[Api, Api], monkeypatch: pytest.MonkeyPatch) -> None:
    """When a step of a batch meets an unexpected error nothing of the batch is stored, and both ways say so alike."""

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(generations, "token_count", broken)
    values = {"id_0": "#f#1", "id_1": "#f#2", "generation_1": {"model": "m"}}
    told = []
    for api in ways:
        answer = await api.graph.answer(steps_query_builder([{}, {}]), values, Caller(api.project))
        told.append((answer, await stored(api, "#f#")))
    assert told[0] == told[1]
    assert told[0][0]["errors"][0]["path"] == ["step1"]
    assert told[0][1] == []


async def test_the_way_of_its_own_is_taken(ways: tuple[Api, Api], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the SDK sends for a batch is never executed field by field: not a step's start, nor its end later on."""
    monkeypatch.setattr(service, "execute", None)
    start = {"id_0": "a", "threadId_0": "t", "startTime_0": "2026-01-01T10:00:00Z", "id_1": "a"}
    end = {"id_0": "a", "threadId_0": "t", "endTime_0": "2026-01-01T10:00:05Z", "id_1": "b", "scores_1": []}
    for values in (start, end):
        answer = await ways[0].graph.answer(steps_query_builder([{}, {}]), values, Caller(ways[0].project))
        assert answer == {"data": {name: {"ok": True, "message": None} for name in ("step0", "step1")}}


def documents(*changes: tuple[str, str]) -> Iterable[str]:
    text = steps_query_builder([{}, {}])
    for old, new in changes:
        assert old in text
        yield text.replace(old, new)


def test_the_documents_of_the_sdks_are_recognised() -> None:
    """What the SDKs send is, whatever its names, and so is each with the parts of its answer in another order."""
    for text in documents(
        ("AddStep", "Other"), ("step1:", "second:"), ("message", ""), ("ok\n        message", "message ok")
    ):
        assert add_step.recognised(parse(text), SCHEMA) is not None


def test_whatever_is_unusual_is_not_recognised() -> None:
    """Defaults, directives, literals, aliases, fragments and other fields are executed in general."""
    for text in documents(
        ("$name_0: String", '$name_0: String = "x"'),
        ("name: $name_0", 'name: "x"'),
        ("ok\n", "fine: ok\n"),
        ("ok\n", "ok @include(if: true)\n"),
        ("ok\n", "ok __typename\n"),
        ("ok\n", "... on IngestStepResponse { ok }\n"),
        ("attachments: $attachments_0\n      )", "attachments: $attachments_0\n      ) @skip(if: false)"),
        ("step1: ingestStep", 'x: deleteStep(id: "x") { id } step1: ingestStep'),
    ):
        assert add_step.recognised(parse(text), SCHEMA) is None
    two = f"{steps_query_builder([{}])} query Q {{ steps {{ totalCount }} }}"
    assert add_step.recognised(parse(two), SCHEMA) is None


def test_it_knows_the_contract() -> None:
    """The step types and the types of the arguments are those of the schema, a new one has to be thought of here."""
    assert SCHEMA.mutation_type is not None
    arguments = SCHEMA.mutation_type.fields["ingestStep"].args
    assert {str(argument.type) for argument in arguments.values()} == set(add_step._TAKE)
    enum: Any = SCHEMA.type_map["StepType"]
    assert set(enum.values) == set(add_step.STEP_TYPES)


def test_plain_rows_have_what_the_mapped_ones_have() -> None:
    """Each column of a step and of a thread is read and written, a new one too."""
    for mapped, plain in ((Step, PlainStep), (Thread, PlainThread)):
        assert set(plain.__dataclass_fields__) == {attribute.key for attribute in mapped.__mapper__.column_attrs}
