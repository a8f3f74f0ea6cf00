"""The merge rules: whatever the order and number of the reports, the same thread is stored."""

import asyncio
import itertools
import json
import uuid
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from literal_server import ingest, threads
from literal_server.ingest import Share, StepReport
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

START = "2025-01-01T10:00:00.000Z"
END = "2025-01-01T10:00:02.500Z"

# What a chat sends about one turn, each line a message of its own.
REPORTS: list[dict[str, Any]] = [
    {
        "id": "run",
        "parentId": "question",
        "type": "run",
        "name": "on_message",
        "startTime": START,
        "metadata": {"a": 1},
    },
    {
        "id": "run",
        "parentId": "question",
        "type": "run",
        "name": "on_message",
        "startTime": START,
        "endTime": END,
        "metadata": {"a": 2},
        "output": {"content": "It is sunny."},
    },
    {"id": "tool", "parentId": "run", "type": "tool", "startTime": START, "input": {"city": "Paris"}},
    {"id": "tool", "parentId": "run", "type": "tool", "startTime": START, "endTime": END, "error": "no answer"},
    {"id": "run", "attachments": [{"id": "file", "name": "map.png", "mime": "image/png", "url": "https://x.test/m"}]},
    {
        "id": "question",
        "type": "user_message",
        "startTime": "2025-01-01T09:59:59Z",
        "endTime": "2025-01-01T09:59:59Z",
        "output": {"content": "Weather?"},
        "scores": [{"name": "user-feedback", "type": "HUMAN", "value": 1}],
    },
]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(len(REPORTS))), repeated=st.lists(st.integers(0, len(REPORTS) - 1), max_size=4))
async def test_every_order_stores_the_same_thread(order: list[int], repeated: list[int], wire: Wire) -> None:
    """Reports of a turn in any order, some of them twice, store one and the same thread with the same totals."""
    assert await deliver([*order, *repeated], wire) == await deliver(range(len(REPORTS)), wire)


async def deliver(order: Iterable[int], wire: Wire) -> Any:
    """Send the reports under ids of their own; answer what was stored, without those ids and the time of arrival."""
    mark = f"-{uuid.uuid4()}"
    for number in order:
        report = json.dumps({**REPORTS[number], "threadId": "thread"})
        for name in ("run", "tool", "question", "file", "thread"):
            report = report.replace(f'd": "{name}"', f'd": "{name}{mark}"')
        await wire.report(json.loads(report))
    only = [{"field": "id", "operator": "eq", "value": f"thread{mark}"}]
    listed = await wire.send(gql.LIST_THREADS, {"filters": only})
    thread = await wire.thread(f"thread{mark}")
    thread["totals"] = [listed["edges"][0]["node"][name] for name in ("tokenCount", "duration")]
    thread.pop("createdAt")
    for step in thread["steps"]:
        step.pop("createdAt")
        for score in step["scores"]:
            score.pop("id")
    return json.loads(json.dumps(thread).replace(mark, ""))


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


async def test_later_report_wins(wire: Wire) -> None:
    """Of two reports without times the later one stands; the earliest start and the latest end stand."""
    await wire.report({"id": "s", "output": {"content": "one"}, "tags": ["a"], "startTime": START, "endTime": END})
    await wire.report({"id": "s", "output": {"content": "two"}, "tags": ["b"]})
    await wire.report({"id": "s", "startTime": "2025-01-01T09:00:00Z", "endTime": "2025-01-01T10:00:01Z"})
    step = await wire.step("s")
    assert step["output"] == {"content": "two"}
    assert step["tags"] == ["b"]
    assert (step["startTime"], step["endTime"]) == ("2025-01-01T09:00:00.000000Z", "2025-01-01T10:00:02.500000Z")


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
        thread = await ingest.ensure_thread(session, project, "t")
        names = (*Share.__dataclass_fields__, "first_start", "last_end", "last_activity")
        counted = [getattr(thread, name) for name in names]
        await ingest.recount(session, thread)
        assert counted == [getattr(thread, name) for name in names]
        assert counted == [7, 0.0, 1, 1, 0, 1, 9, 9]
