"""The merge rules: whatever the order and number of the reports, the same thread is stored."""

import asyncio
import itertools
from typing import Any

import pytest
from sqlalchemy import event
from starlette.applications import Starlette

from literal_server import ingest, threads, totals
from literal_server.ingest import StepReport
from literal_server.totals import Share
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

START = "2025-01-01T10:00:00.000Z"
END = "2025-01-01T10:00:02.500Z"


async def test_absent_and_empty_keep(wire: Wire) -> None:
    """A value that is not given, null or empty never covers what is stored."""
    full = {"id": "s", "threadId": "t", "type": "llm", "name": "model", "output": {"content": "text"}, "endTime": END}
    await wire.report(full)
    nothings: tuple[dict[str, Any], ...] = (
        {},
        {"output": {"content": ""}},
        {"output": {}},
        {"name": "", "type": "undefined"},
    )
    for nothing in nothings:
        await wire.report({"id": "s", **nothing})
    step = await wire.step("s")
    assert (step["output"], step["name"], step["type"]) == ({"content": "text"}, "model", "llm")
    assert step["threadId"] == "t"


async def test_of_reports_without_times_the_later_wins(wire: Wire) -> None:
    """A true conflict goes by arrival, tags are replaced as a whole, and a text is never replaced by an empty one."""
    await wire.report({"id": "s", "output": {"content": "one"}, "tags": ["a"], "startTime": START, "endTime": END})
    await wire.report({"id": "s", "output": {"content": "two"}, "tags": ["b", "c"]})
    await wire.report({"id": "s", "output": {"content": ""}, "input": {}})
    step = await wire.step("s")
    assert (step["output"], step["input"], step["tags"]) == ({"content": "two"}, {}, ["b", "c"])
    await wire.report({"id": "s", "tags": []})
    assert (await wire.step("s"))["tags"] == []


async def test_values_are_replaced_whole(wire: Wire) -> None:
    """Input, output and metadata of a newer report take the place of the older ones: their keys are not mixed."""
    for number in (1, 2):
        value = {f"key{number}": number}
        await wire.report({"id": "s", "input": value, "output": value, "metadata": value})
    step = await wire.step("s")
    assert [step["input"], step["output"], step["metadata"]] == [{"key2": 2}] * 3


async def test_earliest_start_and_latest_end_stand(wire: Wire) -> None:
    """Times only widen, and a report with an earlier end only fills what is missing."""
    await wire.report({"id": "s", "output": {"content": "late"}, "startTime": START, "endTime": END})
    early = {"startTime": "2025-01-01T09:00:00Z", "endTime": "2025-01-01T10:00:01Z"}
    await wire.report({"id": "s", "output": {"content": "early"}, "name": "only here", **early})
    step = await wire.step("s")
    assert (step["startTime"], step["endTime"]) == ("2025-01-01T09:00:00.000000Z", "2025-01-01T10:00:02.500000Z")
    assert (step["output"], step["name"]) == ({"content": "late"}, "only here")


async def test_an_older_word_is_known_as_such(wire: Wire) -> None:
    """Of three versions of a step the newest stands for each field, although the newest came first and says little."""
    newest = {"id": "s", "startTime": START, "endTime": "2025-01-01T10:00:09Z", "output": {"content": "c"}}
    oldest = {"id": "s", "startTime": START, "name": "a", "output": {"content": "a"}, "input": {"q": "a"}}
    middle = {"id": "s", "startTime": START, "endTime": END, "name": "b", "output": {"content": "b"}}
    for report in (newest, oldest, middle):
        await wire.report(report)
    step = await wire.step("s")
    assert (step["output"]["content"], step["name"], step["input"]) == ("c", "b", {"q": "a"})


async def test_a_person_may_change_times(wire: Wire, server: Any) -> None:
    """`updateStep` sets the times that it gives, and the totals of the thread follow."""
    await wire.report({"id": "s", "threadId": "t", "startTime": START, "endTime": END})
    changed = {"id": "s", "startTime": "2025-01-01T10:00:01Z", "endTime": "2025-01-01T10:00:02Z"}
    step = await wire.send(gql.UPDATE_STEP, changed)
    assert (step["startTime"], step["endTime"]) == ("2025-01-01T10:00:01.000000Z", "2025-01-01T10:00:02.000000Z")
    listed = await wire.send(gql.LIST_THREADS)
    assert listed["edges"][0]["node"]["duration"] == 1.0


async def test_created_once(wire: Wire) -> None:
    """The moment of creation is that of the first report, whatever a client says."""
    await wire.report({"id": "s", "threadId": "t"})
    before = [(await wire.step("s"))["createdAt"], (await wire.thread("t"))["createdAt"]]
    await wire.report({"id": "s", "threadId": "t", "createdAt": START, "output": {"content": "x"}})
    assert [(await wire.step("s"))["createdAt"], (await wire.thread("t"))["createdAt"]] == before


async def test_half_applied_batch_is_sent_again(wire: Wire) -> None:
    """A batch of which a part was refused can be sent again as a whole: what was stored is stored once."""
    good = {"id": "good", "threadId": "t", "type": "llm", "generation": {"tokenCount": 5},
            "scores": [{"name": "quality", "type": "AI", "value": 1}],
            "attachments": [{"name": "x", "url": "u"}]}  # fmt: skip
    for _ in range(2):
        bad = {"id": "bad", "threadId": "t", "scores": [{"name": "x"}]}
        steps = [bad, good, bad]
        body = await wire.post(gql.steps_query_builder(steps), gql.steps_variables_builder(steps))
        assert [body["data"][name]["ok"] for name in ("step0", "step1", "step2")] == [False, True, False]
        step = await wire.step("good")
        assert (len(step["scores"]), len(step["attachments"])) == (1, 1)
        listed = await wire.send(gql.LIST_THREADS)
        assert listed["edges"][0]["node"]["tokenCount"] == 5


async def test_generation_is_merged_by_key(wire: Wire) -> None:
    """Keys of a generation add up, an empty generation is none, and its type is inferred."""
    await wire.report({"id": "s", "type": "llm", "generation": {"model": "gpt", "inputTokenCount": 3}})
    await wire.report({"id": "s", "generation": {"provider": "openai", "outputTokenCount": 4, "model": None}})
    await wire.report({"id": "s", "generation": {}})
    generation = (await wire.step("s"))["generation"]
    assert (generation["model"], generation["provider"]) == ("gpt", "openai")
    assert (generation["tokenCount"], generation["type"], generation["stepId"]) == (7, "CHAT", "s")
    await wire.report({"id": "empty", "type": "llm", "generation": {}})
    assert (await wire.step("empty"))["generation"] is None


async def test_scores_and_attachments_are_appended_once(wire: Wire) -> None:
    """An empty list changes nothing, an id updates, and a repeated score without an id is not doubled."""
    score = {"name": "quality", "type": "CODE", "value": 0.5}
    for name in ("a", "b"):
        await wire.report({"id": "s", "scores": [score], "attachments": [{"id": name, "name": name, "url": "u"}]})
    await wire.report({"id": "s", "scores": [], "attachments": [{"id": "a", "name": "renamed"}]})
    step = await wire.step("s")
    assert [one["value"] for one in step["scores"]] == [0.5]
    assert [(one["name"], one["url"]) for one in step["attachments"]] == [("renamed", "u"), ("b", "u")]


async def test_deleted_step_stays_deleted(wire: Wire) -> None:
    """A late report does not bring a deleted step back, nor one that was deleted before it was known."""
    await wire.report({"id": "s", "threadId": "t", "output": {"content": "x"}})
    assert (await wire.send(gql.DELETE_STEP, {"id": "s"}))["id"] == "s"
    assert await wire.send(gql.DELETE_STEP, {"id": "early"}) is None
    await wire.report({"id": "s", "threadId": "t", "endTime": END}, {"id": "early", "threadId": "t"})
    assert await wire.step("s") is None
    assert (await wire.thread("t"))["steps"] == []


async def test_deleted_thread_stays_deleted(wire: Wire) -> None:
    """A run that goes on in a deleted thread, and the chat's last word on it, do not bring it back."""
    await wire.report({"id": "s", "threadId": "t"})
    assert (await wire.send(gql.DELETE_THREAD, {"thread_id": "t"}))["id"] == "t"
    await wire.report({"id": "late", "threadId": "t"})
    assert (await wire.send(gql.UPSERT_THREAD, {"id": "t", "metadata": {"a": 1}}))["id"] == "t"
    assert await wire.thread("t") is None
    assert await wire.step("s") is None
    assert await wire.step("late") is None
    assert await wire.send(gql.DELETE_THREAD, {"thread_id": "t"}) is None


async def test_thread_is_made_by_its_first_step(wire: Wire) -> None:
    """A step of an unknown thread makes it; name and user come later and keep what they do not say."""
    await wire.report({"id": "s", "threadId": "t"})
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "name": "hello", "participantId": "ada", "tags": ["x"]})
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "metadata": {"a": 1, "b": 2}})
    thread = await wire.send(gql.UPSERT_THREAD, {"id": "t", "metadata": {"a": None, "c": 3}})
    assert (thread["name"], thread["tags"], thread["metadata"]) == ("hello", ["x"], {"b": 2, "c": 3})
    assert thread["participant"]["identifier"] == "ada"


async def test_participant_is_found_by_id_or_identifier(wire: Wire) -> None:
    """A thread's user may be named either way; deleting the user leaves the thread without one."""
    user = await wire.send(gql.CREATE_PARTICIPANT, {"identifier": "ada", "metadata": None})
    assert user["metadata"] == {}
    for thread, named in (("t1", "ada"), ("t2", user["id"])):
        shown = await wire.send(gql.UPSERT_THREAD, {"id": thread, "participantId": named})
        assert shown["participant"]["id"] == user["id"]
    assert (await wire.send(gql.CREATE_PARTICIPANT, {"identifier": "ada"}))["id"] == user["id"]
    await wire.send(gql.DELETE_PARTICIPANT, {"id": user["id"]})
    assert await wire.send(gql.GET_PARTICIPANT, {"identifier": "ada"}) is None
    assert (await wire.thread("t1"))["participant"] is None
    again = await wire.send(gql.CREATE_PARTICIPANT, {"identifier": "ada"})
    assert again["id"] != user["id"]


async def test_concurrent_reports_of_one_new_thread(wire: Wire) -> None:
    """A chat sends a thread and its first steps at once: all of them arrive, and one thread is there."""
    await asyncio.gather(
        wire.send(gql.UPSERT_THREAD, {"id": "t", "name": "hello", "participantId": "ada"}),
        *(wire.report({"id": f"s{number}", "threadId": "t", "type": "user_message"}) for number in range(20)),
        *(wire.report({"id": f"s{number}", "threadId": "t", "endTime": END}) for number in range(20)),
    )
    thread = await wire.thread("t")
    assert thread["name"] == "hello"
    assert len(thread["steps"]) == 20
    assert {step["type"] for step in thread["steps"]} == {"user_message"}


async def test_environment_is_that_of_the_request(wire: Wire) -> None:
    """The header says the environment, and `prod` is meant when there is none."""
    await wire.report({"id": "a"}, **{"x-env": "staging"})
    await wire.report({"id": "b"})
    assert [(await wire.step(name))["environment"] for name in "ab"] == ["staging", "prod"]


async def test_step_that_moves_takes_its_share_along(wire: Wire, server: Any) -> None:
    """Totals of both threads are right after a step was reported for one, then for the other."""
    step = {"id": "s", "type": "llm", "startTime": START, "endTime": END, "generation": {"tokenCount": 5}, "error": "x"}
    await wire.report({**step, "threadId": "old"}, {"id": "m", "type": "user_message", "threadId": "old"})
    await wire.report({"id": "s", "threadId": "new"})
    database = server.state.api.database
    async with database.reading() as session:
        old, new = [await threads.find(session, server.state.api.project, name) for name in ("old", "new")]
    assert old is not None
    assert new is not None
    assert [old.token_count, old.error_count, old.turn_count, old.last_end] == [0, 0, 1, None]
    assert [new.token_count, new.error_count, new.turn_count] == [5, 1, 0]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_running_totals_are_those_of_a_recount(order: tuple[int, ...], server: Any) -> None:
    """What is added up report by report is what counting all steps anew gives."""
    parts = [
        StepReport("run", thread_id="t", type="run", start_time=5),
        StepReport("run", thread_id="t", type="run", start_time=5, end_time=9, error="x"),
        StepReport("llm", thread_id="t", type="llm", start_time=6, generation={"tokenCount": 7}),
        StepReport("ask", thread_id="t", type="user_message", start_time=1, end_time=1),
    ]
    project = server.state.api.project
    async with server.state.api.database.writing() as session:
        for number in order:
            await ingest.ingest_step(session, project, parts[number])
        thread = await totals.ensure_thread(session, project, "t")
        names = (*Share.__dataclass_fields__, "first_start", "last_end", "last_activity")
        counted = [getattr(thread, name) for name in names]
        await totals.recount(session, thread)
        assert counted == [getattr(thread, name) for name in names]
        assert counted == [7, 0.0, 1, 1, 1, 0, 1, 9, 9]


@pytest.mark.parametrize("more", [{}, {"scores": [{"name": "quality", "type": "AI", "value": 1}]}])
async def test_a_batch_is_looked_up_at_once(wire: Wire, server: Starlette, more: dict[str, Any]) -> None:
    """The steps of a batch, new and known, are read in one statement, not in one each, in both ways of taking it in."""
    database = server.state.api.database
    batch = [{"id": f"s{number}", "threadId": "t", "type": "tool"} for number in range(20)]
    await wire.report(*batch[:5])
    statements: list[str] = []
    event.listen(database._engine.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    writer = await database.transact(lambda connection: connection)
    writer.set_trace_callback(statements.append)

    await wire.report(*batch, batch[0] | {"name": "told twice"} | more)

    # The index of search and the costs read steps beside it, but never their stamps.
    found = [one for one in statements if one.startswith("SELECT") and "stamps" in one.partition("FROM steps")[0]]
    assert len([one for one in found if "FROM steps" in one]) == 1
    steps = (await wire.thread("t"))["steps"]
    assert {step["id"]: step["name"] for step in steps} == {one["id"]: None for one in batch} | {"s0": "told twice"}
