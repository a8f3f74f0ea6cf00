"""Export and import: nothing is lost on the way, twice is once, what is there stands, and bad rows are named."""

import io
import json
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from literal_server import deletions, files, ingest, payloads, reviews, steps, threads
from literal_server.collection_tables import (
    Dataset,
    DatasetItem,
    Experiment,
    ExperimentItem,
    PromptLineage,
    PromptVariant,
    PromptVersion,
)
from literal_server.db import Database
from literal_server.errors import Refused
from literal_server.exchange.messages import messages_of
from literal_server.exchange.source import Limits
from literal_server.tables import Project, Score, Step
from literal_server.threads import ThreadReport
from tests.literal_server.exchange_help import PROJECT, everything, export_all, store_of, take_in

pytestmark = pytest.mark.anyio

MOMENT = 1_700_000_000_000_001
NO_MOMENT = "A moment is a text such as 2025-01-31T12:00:00.000Z"
ODD = "a\u0000b \ud800 \U0001f600 \u2028 </script>"


@pytest.fixture
async def make_store(tmp_path: Path, migrated: Path, anyio_backend: str) -> AsyncIterator[Callable[[], Database]]:
    opened: list[Database] = []

    def make() -> Database:
        path = tmp_path / f"{len(opened)}.db"
        shutil.copy(migrated, path)
        store = payloads.PayloadStore(tmp_path / f"{len(opened)}", 400, 600, 10**9)
        opened.append(Database(path, session_info={payloads.STORE: store}))
        return opened[-1]

    yield make
    for database in opened:
        await database.close()


async def fill(database: Database) -> None:
    """Record threads as clients do, odd ones too, and lists and prompts beside them."""
    report = ingest.StepReport
    async with database.writing() as session:
        await threads.upsert(
            session, PROJECT.id, "t", ThreadReport(ODD, {"a": {"b": [1, 2.5, None]}}, "ada", ["x", ODD]), "dev"
        )
        await threads.upsert(
            session, PROJECT.id, "empty", ThreadReport(metadata={"k": ODD, "large": "w" * 999}, participant="bob")
        )
        for one in (
            report(id="child", thread_id="t", parent_id="run", root_run_id="run", type="tool", name="", input=[1],
                   output={"content": ODD}, error="it broke", start_time=MOMENT + 5, end_time=MOMENT + 9),
            report(id="run", thread_id="t", type="run", start_time=MOMENT, end_time=MOMENT + 3_000_000,
                   input={"content": "q"}, output={"content": ""}, metadata={"superseded": {"by": "z"}}, tags=[]),
            report(id="llm", thread_id="t", parent_id="child", type="llm", input="text", output=0, metadata=[],
                   generation={"model": "m", "provider": "p", "tokenCount": 7, "inputTokenCount": 3, "promptId": "v0",
                               "duration": 1.25, "messages": [{"role": "user", "content": ODD, "extra": {"deep": []}}]},
                   scores=[{"id": "s1", "name": "ok", "type": "AI", "value": 0.1, "tags": ["t"], "scorer": "judge"}],
                   attachments=[{"id": "a1", "name": "a.txt", "mime": "text/plain", "url": "https://x.test/a"}]),
            report(id="large", thread_id="t", type="tool", output={"content": "x" * 3_000}, metadata={"m": "y" * 900},
                   generation={"messages": [{"role": "user", "content": "z" * 2_000}]}),
            report(id="open", thread_id="t", type="run", start_time=MOMENT + 20),
            report(id="ü/ä ?", thread_id="id with blanks/and#more", type="user_message", output={"content": "hi"}),
            report(id="alone", type="run", input=False, output=None, start_time=1, end_time=-1),
            report(id="cut", thread_id="t", parent_id="run", type="tool"),
            report(id="below", thread_id="t", parent_id="cut", type="tool"),
            report(id="late", thread_id="gone", type="user_message", output={"content": "private"}),
        ):  # fmt: skip
            await ingest.ingest_step(session, PROJECT.id, one, environment="staging")
        await ingest.merge_score(
            session, PROJECT.id, {"name": "of an item", "value": 1, "datasetExperimentItemId": "ei"}
        )
        await ingest.merge_score(session, PROJECT.id, {"name": "early", "value": -2.5, "stepId": "not yet here"})
        session.add_all(_lists_and_prompts())
        whole, one_step = reviews.Target(PROJECT.id, "t"), reviews.Target(PROJECT.id, "t", "llm")
        await reviews.score(session, whole, reviews.Judgement("verdict", 2.5, ODD), "ada")
        await reviews.score(session, one_step, reviews.Judgement("verdict", 1), "ada")
        await reviews.comment(session, one_step, ODD, "ada", 1.5)
        await reviews.mark(session, PROJECT.id, "t", "ada")
    async with database.writing() as session:
        await steps.delete(session, PROJECT.id, "cut")
        await threads.delete(session, PROJECT.id, "gone")


def _lists_and_prompts() -> list[Any]:
    own: dict[str, Any] = {"project_id": PROJECT.id, "created_at": MOMENT}
    template = [{"role": "user", "content": ODD, "uuid": "u"}]
    prompt: dict[str, Any] = {
        "template_messages": template, "tools": None, "settings": {"provider": "openai"}, "variables": [],
    }  # fmt: skip
    return [
        Dataset(id="d", name=ODD, type="key_value", metadata_={"a": None}, updated_at=MOMENT, **own),
        Dataset(id="d-gone", name="x", type="generation", metadata_={}, updated_at=MOMENT, deleted_at=MOMENT, **own),
        DatasetItem(id="i", dataset_id="d", metadata_={}, input={"q": ODD}, expected_output=0, **own),
        DatasetItem(id="i-gone", dataset_id="d-gone", metadata_={}, input=[], **own),
        Experiment(id="e", name="e", dataset_id="d", params=[{"a": 1}], **own),
        ExperimentItem(id="ei", experiment_id="e", run_id="alone", dataset_item_id="i", input={"a": 1}, **own),
        PromptLineage(id="l", name="Default", description=None, **own),
        PromptVersion(id="v0", lineage_id="l", version=0, type="CHAT", tags=["t"], variables_default_values={"a": "b"},
                      rollout=100.0, fingerprint="f", updated_at=MOMENT, **prompt, **own),
        PromptVariant(id="pv", from_lineage_id="l", from_version=0, **prompt, **own),
    ]  # fmt: skip


async def test_a_round_trip_loses_nothing(make_store: Callable[[], Database]) -> None:
    """Exported, imported into an empty store and exported again, every field is the same, totals and moments too."""
    first, second = make_store(), make_store()
    await fill(first)
    told = await export_all(first, deleted=True)
    report, words = await take_in(second, told)
    again = await export_all(second, deleted=True)

    assert words == []
    assert {line["kind"] for line in told} == {
        "export", "participant", "thread", "step", "score", "dataset", "dataset_item", "prompt",
        "prompt_version", "prompt_variant", "experiment", "experiment_item", "end",
    }  # fmt: skip
    assert again[1:] == told[1:]
    assert await everything(second) == await everything(first)
    assert report.added.total() == sum(told[-1]["counts"].values())


async def test_twice_is_once(make_store: Callable[[], Database]) -> None:
    """A second import of the same file finds everything there and changes nothing."""
    store = make_store()
    await fill(store)
    told = await export_all(store, deleted=True)
    before = await everything(store)
    report, words = await take_in(store, told)

    assert words == []
    assert report.added.total() == 0
    assert report.there.total() == sum(told[-1]["counts"].values())
    assert await everything(store) == before


async def test_deleted_things_stay_behind_unless_asked_for(make_store: Callable[[], Database]) -> None:
    """An export holds nothing that is deleted, and hangs the children of a deleted step where readers see them."""
    store = make_store()
    await fill(store)
    told = await export_all(store)

    assert not any("deletedAt" in line for line in told)
    assert "private" not in json.dumps(told)
    assert {line["id"] for line in told if line["kind"] == "dataset_item"} == {"i"}
    assert {line["id"]: line.get("parentId") for line in told if line["kind"] == "step"}["below"] == "run"


async def test_a_filter_takes_some_threads(make_store: Callable[[], Database]) -> None:
    """The API's filters choose threads; with them come their steps and users, and nothing else of the project."""
    store = make_store()
    await fill(store)
    told = await export_all(store, filters=[{"field": "tags", "operator": "in", "value": ["x"]}])

    assert told[0]["filters"] == [{"field": "tags", "operator": "in", "value": ["x"]}]
    assert [line["id"] for line in told if line["kind"] == "thread"] == ["t"]
    assert [line["identifier"] for line in told if line["kind"] == "participant"] == ["ada"]
    assert told[-1]["counts"] == {"participant": 1, "thread": 1, "step": 6}
    with pytest.raises(Refused, match="no filter field"):
        await export_all(store, filters=[{"field": "colour", "operator": "eq", "value": 1}])


async def test_what_is_there_stands(make_store: Callable[[], Database]) -> None:
    """An import fills gaps and never replaces: neither texts nor names nor scores, whatever the file says."""
    old, new = make_store(), make_store()
    await fill(old)
    told = await export_all(old)
    async with new.writing() as session:
        await threads.upsert(session, PROJECT.id, "t", ThreadReport("renamed", {"a": "mine"}, None, None))
        newer = ingest.StepReport(
            id="run", thread_id="t", type="run", output={"content": "mine"}, start_time=MOMENT + 50
        )
        await ingest.ingest_step(session, PROJECT.id, newer)
        session.add(Score(project_id=PROJECT.id, id="s1", name="ok", type="AI", value=1, created_at=5, updated_at=5))
    _, words = await take_in(new, told)
    stored = await everything(new)
    thread = next(row for row in stored["thread"] if row["id"] == "t")
    run = next(row for row in stored["step"] if row["id"] == "run")

    assert words == []
    assert (thread["name"], thread["metadata_"]["a"], thread["tags"]) == (
        "renamed",
        "mine",
        ["x", "a\0b \ufffd \U0001f600 \u2028 </script>"],
    ) or (thread["tags"][0] == "x")
    assert (run["output"], run["input"], run["start_time"]) == ({"content": "mine"}, {"content": "q"}, MOMENT)
    assert [row["value"] for row in stored["score"] if row["id"] == "s1"] == [1]


async def test_nobody_comes_back_by_an_import(make_store: Callable[[], Database]) -> None:
    """What is deleted here is not revived by a file; each such row is named."""
    old, new = make_store(), make_store()
    await fill(old)
    told = await export_all(old)
    await take_in(new, told)
    async with new.writing() as session:
        await threads.delete(session, PROJECT.id, "t")
    before = await everything(new)
    report, words = await take_in(new, told)

    assert report.refused == 7
    assert sum("restore it first" in word for word in words) == 7
    assert await everything(new) == before
    async with new.writing() as session:
        await deletions.restore(session, PROJECT.id, "thread", "t")
    assert (await take_in(new, told))[1] == []


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.text(max_size=5), JSON, max_size=3)
MOMENTS = st.none() | st.integers(-(10**15), 10**16)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=JSON, metadata=JSON, generation=OBJECT, identity=st.text(min_size=1, max_size=8), start=MOMENTS,
    end=MOMENTS,
    thread_metadata=OBJECT, tags=st.lists(st.text(max_size=4), max_size=2),
)  # fmt: skip
async def test_odd_payloads_survive(
    make_store: Callable[[], Database], content: Any, metadata: Any, generation: Any, identity: str,
    start: int | None, end: int | None, thread_metadata: Any, tags: list[str],
) -> None:  # fmt: skip
    """Whatever a client records comes out of the second store as it came out of the first."""
    first, second = make_store(), make_store()
    report = ingest.StepReport(
        id=identity, thread_id=identity, type="llm", input=content, output=content, metadata=metadata,
        generation=generation, tags=tags, start_time=start, end_time=end,
    )  # fmt: skip
    async with first.writing() as session:
        await threads.upsert(session, PROJECT.id, identity, ThreadReport(identity, thread_metadata, identity, tags))
        await ingest.ingest_step(session, PROJECT.id, report)
    _, words = await take_in(second, await export_all(first))

    assert words == []
    assert await everything(second) == await everything(first)
    await first.close()
    await second.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"no json\n", ["line 1: It is not JSON."]),
        (b'{"kind": "step"\n{"id": "s", "type": "run"}\n', ["line 1: It is not JSON."]),
        (b"\xff\xfe\n", ["line 1: It is not JSON."]),
        (b"[" * 100_000, ["line 1: It is nested more than 50 levels deep."]),
        (b"[" * 60 + b"]" * 60, ["line 1: It is nested more than 50 levels deep."]),
        (b'"a"\n7\n', ["line 1: It is no object.", "line 2: It is no object."]),
        (b"[]", ["line 1: It is an empty list."]),
        (b'{"kind": "bomb", "id": "x"}', ["line 1: It is neither a line of an export nor a thread or a step."]),
        (b'{"type": "run", "id": 7}', ["line 1: id is missing or no text."]),
        (b'{"type": "run", "id": ""}', ["line 1: id is missing or no text."]),
        (b'[{"type": "run", "id": "' + b"x" * 1_001 + b'"}]', ["line 1, item 1: An id has at most 1000 characters."]),
        (b'{"type": "sleep", "id": "s"}', ["line 1: There is no type of step 'sleep'."]),
        (b'{"type": "run", "id": "s", "startTime": 5}', [f"line 1: startTime: {NO_MOMENT}, not 5."]),
        (b'{"type": "run", "id": "s", "tags": [1]}', ["line 1: tags holds something else than texts."]),
        (b'{"type": "run", "id": "s", "stamps": {"name": "x"}}',
         ["line 1: stamps holds something else than microseconds."]),
        (b'{"type": "run", "id": "s", "generation": []}', ["line 1: generation has a value of the wrong kind."]),
        (b'{"type": "run", "id": "s", "scores": [{"value": 1}]}',
         ["line 1: A score needs a name and a finite number as its value."]),
        (b'{"kind": "prompt", "id": "l", "name": "x"}', [f"line 1: createdAt: {NO_MOMENT}, not None."]),
        (b'{"kind": "prompt_version", "id": "v"}', ["line 1: lineageId is missing or no text."]),
        (b'{"kind": "export", "schema": 1}', ["line 1: The export is cut short: its last line is missing."]),
        (b'{"kind": "export", "schema": 1}\n{"kind": "end", "counts": {"thread": 1}}',
         ["line 2: The export is not whole: this line, its last, counts other rows than there are."]),
        (b'{"id": "t", "steps": [5, {"id": "s", "type": "x"}]}',
         ["line 1, step 1: It is no object.", "line 1, step 2: There is no type of step 'x'."]),
        (b'{"id": "s", "type": "run", "input": "' + b"x" * 2_000_000 + b'"}\n7',
         ["line 1: It is longer than 2000000 bytes.", "line 2: It is no object."]),
    ],
)  # fmt: skip
async def test_rows_that_cannot_be_taken_are_named(
    make_store: Callable[[], Database], content: bytes, words: list[str]
) -> None:
    """Every line that is no good is told with its place and the reason; the good ones beside it are taken."""
    store = make_store()
    good = b'{"id": "good", "type": "run"}\n'
    whole = content if not content.strip() or content.endswith((b"]", b"[")) else content.rstrip(b"\n") + b"\n" + good
    report, told = await take_in(store, whole)

    assert told == words
    assert report.refused == len(words)
    if whole.endswith(good):
        assert "good" in [row["id"] for row in (await everything(store))["step"]]


async def test_an_export_of_tomorrow_is_refused(make_store: Callable[[], Database]) -> None:
    """A file of a newer schema is not half understood: nothing of it is taken."""
    store = make_store()
    with pytest.raises(Refused, match="schema '2'; this version reads up to 1"):
        await take_in(store, [{"kind": "export", "schema": 2}, {"kind": "step", "id": "s", "type": "run"}])
    assert (await everything(store))["step"] == []


@pytest.mark.parametrize("given", [{"reviewedAt": "2026-01-01T00:00:00Z"}, {"reviewedBy": "ada"}])
async def test_half_a_review_is_none(make_store: Callable[[], Database], given: dict[str, str]) -> None:
    """A mark says who and when; of one that lacks either nothing is taken, and the thread counts as not reviewed."""
    store = make_store()
    report, words = await take_in(store, [{"kind": "thread", "id": "t", **given}])

    assert (report.added["thread"], words) == (1, [])
    (thread,) = (await everything(store))["thread"]
    assert (thread["reviewed_at"], thread["reviewed_by"]) == (None, None)


async def test_an_imported_step_lifts_the_mark_of_a_review_here(make_store: Callable[[], Database]) -> None:
    """What was reviewed here and gets a step from an export that says it was reviewed there is to be read anew."""
    store = make_store()
    old = {"kind": "step", "id": "old", "threadId": "t", "type": "run", "startTime": "2025-12-31T00:00:00Z"}
    await take_in(store, [old])
    async with store.writing() as session:
        await reviews.mark(session, PROJECT.id, "t", "ada")
    there = {"kind": "thread", "id": "t", "reviewedAt": "2026-01-01T00:00:00Z", "reviewedBy": "bob"}
    await take_in(store, [there, old])
    (thread,) = (await everything(store))["thread"]
    assert (thread["reviewed_at"] is None, thread["reviewed_by"]) == (False, "ada")

    await take_in(store, [there, old, {**old, "id": "new"}])

    (thread,) = (await everything(store))["thread"]
    assert (thread["reviewed_at"], thread["reviewed_by"]) == (None, "ada")


async def test_prompts_of_one_name_are_not_mixed(make_store: Callable[[], Database]) -> None:
    """A prompt whose name another one has here is refused with its versions, which would change their meaning."""
    old, new = make_store(), make_store()
    await fill(old)
    async with new.writing() as session:
        session.add(PromptLineage(project_id=PROJECT.id, id="other", name="Default", created_at=1))
    _, words = await take_in(new, await export_all(old))

    assert [word.split(": ")[1] for word in words] == [
        "Another prompt is named 'Default' here; its versions stay as they are.",
        "The prompt of this version is not here.",
    ]


async def test_two_projects_do_not_meet(make_store: Callable[[], Database]) -> None:
    """The same file in two projects makes two sets of rows."""
    store = make_store()
    await fill(store)
    told = await export_all(store)
    other = Project(id="p-2", name="other", created_at=1)
    report, words = await take_in(store, told, other)

    assert words == []
    assert report.added.total() == sum(told[-1]["counts"].values())
    assert (await export_all(store, other))[1:] == told[1:]


def step(identity: str, kind: str, content: Any = None, **fields: Any) -> Step:
    """Make a step with a text as its output."""
    return Step(id=identity, type=kind, output={"content": content}, **fields)


def test_messages_of_a_foreign_thread() -> None:
    """Messages and tool calls become the API's messages, calls beside each other in one of them."""
    question = step("q", "user_message", "Weather?")
    calls = [
        step("c1", "tool", "sun", name="weather", input={"city": "Rome"}),
        Step(id="c2", type="tool", name="x", error="no"),
    ]
    told = messages_of([step("s", "system_message", "Be kind."), question, Step(id="r", type="run"), *calls,
                        step("a", "assistant_message", "Sunny.")])  # fmt: skip

    assert [message["role"] for message in told] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert [(call["id"], call["function"]) for call in told[2]["tool_calls"]] == [
        ("c1", {"name": "weather", "arguments": '{"city":"Rome"}'}),
        ("c2", {"name": "x", "arguments": "{}"}),
    ]
    assert [message["content"] for message in told if message["role"] == "tool"] == ["sun", "no"]


def test_messages_of_a_recorded_run() -> None:
    """A run that kept its messages as the model had them counts with these, cut turns do not count."""
    kept = [
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "5"},
        {"role": "assistant", "content": "5"},
    ]
    cut = {"superseded": {"by": "q2"}}
    told = messages_of(
        [
            step("q1", "user_message", "2+2?", metadata_=cut),
            Step(id="r1", type="run", parent_id="q1", output={"messages": kept[:1]}),
            step("q2", "user_message", "2+3?"),
            Step(id="r2", type="run", parent_id="q2", output={"messages": kept},
                 input={"message": {"role": "user", "content": "2+3?", "name": "ada"}}),
            step("a2", "assistant_message", "5", parent_id="r2"),
        ]
    )  # fmt: skip

    assert told == [{"role": "user", "content": "2+3?", "name": "ada"}, *kept]


async def put_file(database: Database, identity: str, content: bytes) -> None:
    """Store a file with an attachment that names it."""
    key = {"id": f"a-{identity}", "name": "f", "objectKey": f"files/{identity}"}
    async with database.writing() as session:
        ticket = files.Ticket(PROJECT.id, identity, "image/png", 0, 0)
        await files.record(session, ticket, store_of(database).put(identity, io.BytesIO(content)))
        step = ingest.StepReport(id=f"s-{identity}", thread_id="t", type="tool", attachments=[key])
        await ingest.ingest_step(session, PROJECT.id, step)


async def test_files_travel_with_their_bytes(make_store: Callable[[], Database]) -> None:
    """Stored files, also large and empty ones, are the same in the second store, and twice is once."""
    first, second = make_store(), make_store()
    contents = {str(uuid.UUID(int=size)): os.urandom(size) for size in (0, 10, 2_500_000)}
    for identity, content in contents.items():
        await put_file(first, identity, content)
    told = await export_all(first)
    report, words = await take_in(second, told)

    assert (words, report.added["file"]) == ([], 3)
    for identity, content in contents.items():
        assert store_of(second).path(identity).read_bytes() == content
    assert (await export_all(second))[1:] == told[1:]
    report, words = await take_in(second, told)
    assert (words, report.added.total(), report.there["file"]) == ([], 0, 3)


async def test_a_file_of_another_project_is_not_shared(make_store: Callable[[], Database]) -> None:
    """In a second project of one server a file gets an id of its own, so that purging one leaves the other."""
    store = make_store()
    identity = str(uuid.UUID(int=5))
    await put_file(store, identity, b"bytes")
    other = Project(id="p-2", name="other", created_at=1)
    _, words = await take_in(store, await export_all(store), other)
    told = [line for line in await export_all(store, other) if line["kind"] == "file"]

    assert words == []
    assert told[0]["id"] != identity
    assert store_of(store).path(told[0]["id"]).read_bytes() == b"bytes"
    steps_of_other = [line for line in await export_all(store, other) if line["kind"] == "step"]
    assert steps_of_other[0]["attachments"][0]["objectKey"] == f"files/{told[0]['id']}"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"id": "../../etc/passwd"}, "There is no such file."),
        ({"part": 1, "parts": 2}, "The part before this one is missing."),
        ({"part": "0"}, "A line of a file says which part of how many it is."),
        ({"base64": "%%%"}, "The content of the file is not base64."),
        ({"base64": 7}, "The content of the file is not base64."),
        ({"base64": "AAAA" * 1_200_000}, "The file is larger than MAX_FILE_BYTES (3000000)."),
        ({"createdAt": "soon"}, "createdAt: "),
    ],
)
async def test_hostile_files_are_refused(
    make_store: Callable[[], Database], changes: dict[str, Any], word: str
) -> None:
    """A line of a file that makes no sense is named, and nothing is written under its id."""
    store = make_store()
    line = {"kind": "file", "id": str(uuid.UUID(int=1)), "mime": "x", "part": 0, "parts": 1, "base64": ""} | changes
    content = json.dumps(line).encode()
    report, words = await take_in(store, content, limits=Limits(10_000_000, 50, 1_000))

    assert report.refused == 1
    assert words[0].startswith(f"line 1: {word}")
    assert report.added.total() == 0
