"""What comes back: steps in order under a parent that lives, pages that hold still, filters, nothing that chokes."""

from typing import Any

import pytest
from literalai.observability.thread import Thread

from literal_server import tree
from literal_server.tables import Step
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

PYTHON = {"x-client-name": "py-literal-client"}


def step(identity: str, parent: str | None, start: int | None) -> Step:
    return Step(id=identity, parent_id=parent, start_time=start, created_at=100)


def arranged(*steps: Step, deleted: dict[str, str | None] | None = None) -> list[tuple[str, str | None]]:
    return [(one.id, parent) for one, parent in tree.arrange(steps, deleted or {})]


async def test_parents_come_first_then_start() -> None:
    """A parent that started after its child still comes before it; all else goes by start."""
    found = arranged(step("child", "late", 1), step("late", None, 5), step("first", None, 2), step("none", None, None))
    assert found == [("late", None), ("child", "late"), ("first", None), ("none", None)]


async def test_orphans_move_to_a_living_ancestor() -> None:
    """A child of deleted steps moves up to the nearest one that lives; one of an unknown parent becomes a root."""
    found = arranged(
        step("root", None, 1),
        step("grandchild", "gone", 2),
        step("stray", "nobody", 3),
        deleted={"gone": "gone too", "gone too": "root"},
    )
    assert found == [("root", None), ("grandchild", "root"), ("stray", None)]


async def test_circles_are_cut_where_they_began() -> None:
    """Of steps that are each other's ancestors the earliest becomes the root, also where deleted ones take part."""
    assert arranged(step("a", "c", 1), step("b", "a", 2), step("c", "b", 3)) == [("a", None), ("b", "a"), ("c", "b")]
    assert arranged(step("self", "self", 1)) == [("self", None)]
    assert arranged(step("x", "g1", 1), deleted={"g1": "g2", "g2": "g1"}) == [("x", None)]


async def test_a_thread_is_read_as_a_tree(wire: Wire) -> None:
    """The thread's steps come parents first although children were sent first, and orphans are re-hung."""
    await wire.report(
        {"id": "tool", "threadId": "t", "parentId": "gone", "type": "tool", "startTime": "2025-01-01T00:00:03Z"},
        {"id": "gone", "threadId": "t", "parentId": "run", "type": "run", "startTime": "2025-01-01T00:00:02Z"},
        {"id": "run", "threadId": "t", "type": "run", "startTime": "2025-01-01T00:00:01Z"},
    )
    await wire.send(gql.DELETE_STEP, {"id": "gone"})
    steps = (await wire.thread("t"))["steps"]
    assert [(one["id"], one["parentId"]) for one in steps] == [("run", None), ("tool", "run")]


async def test_absent_things_are_null(wire: Wire) -> None:
    """What is not there is null with no error, and absent fields are null, not empty texts."""
    for query in (gql.GET_THREAD, gql.GET_STEP, gql.GET_ATTACHMENT, gql.GET_PARTICIPANT):
        assert await wire.send(query, {"id": "nothing"}) is None
    await wire.report({"id": "s", "error": ""})
    found = await wire.step("s")
    assert [found[name] for name in ("threadId", "parentId", "rootRunId", "generation", "error")] == [None] * 5
    assert (found["scores"], found["attachments"], found["type"]) == ([], [], "undefined")


async def test_pages_hold_still(wire: Wire) -> None:
    """Steps stored in the same moment are paged through forward and backward without loss or repetition."""
    names = [f"s{number}" for number in range(25)]
    await wire.report(*({"id": name} for name in names))
    for order in ("ASC", "DESC"):
        seen: list[str] = []
        after = None
        while True:
            variables = {"first": 7, "after": after, "orderBy": {"column": "createdAt", "direction": order}}
            page = await wire.send(gql.GET_STEPS, variables)
            seen += [edge["node"]["id"] for edge in page["edges"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        assert sorted(seen) == sorted(names)
        assert page["totalCount"] == 25
        assert page["pageInfo"]["hasPreviousPage"]
        back = await wire.send(gql.GET_STEPS, {**variables, "first": None, "last": 3, "before": after, "after": None})
        assert [edge["node"]["id"] for edge in back["edges"]] == seen[-4:-1]


async def test_a_foreign_cursor_is_refused(wire: Wire) -> None:
    """A cursor that is none of ours is named in the error."""
    body = await wire.post(gql.GET_STEPS, {"after": "nonsense"})
    assert "no cursor" in body["errors"][0]["message"]


THREAD_FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"field": "id", "operator": "eq", "value": "a"}, {"a"}),
    ({"field": "name", "operator": "ilike", "value": "ALPHA"}, {"a"}),
    ({"field": "name", "operator": "ilike", "value": "straße"}, {"b"}),
    ({"field": "name", "operator": "ilike", "value": "%"}, set()),
    ({"field": "name", "operator": "nilike", "value": "alpha"}, {"b", "c"}),
    ({"field": "name", "operator": "is", "value": None}, {"c"}),
    ({"field": "name", "operator": "nis", "value": None}, {"a", "b"}),
    ({"field": "createdAt", "operator": "gt", "value": "2020-01-01T00:00:00.000Z"}, {"a", "b", "c"}),
    ({"field": "createdAt", "operator": "lt", "value": "2020-01-01 00:00:00"}, set()),
    ({"field": "tags", "operator": "in", "value": ["x", "z"]}, {"a"}),
    ({"field": "tags", "operator": "nin", "value": ["x"]}, {"b", "c"}),
    ({"field": "participantId", "operator": "eq", "value": "ada"}, set()),
    ({"field": "participantIdentifiers", "operator": "in", "value": ["ada"]}, {"a"}),
    ({"field": "participantIdentifiers", "operator": "nin", "value": ["ada"]}, {"b", "c"}),
    ({"field": "metadata", "operator": "eq", "value": "de", "path": "language"}, {"a"}),
    ({"field": "metadata", "operator": "gte", "value": 2, "path": ["nested", "n"]}, {"b"}),
    ({"field": "metadata", "operator": "eq", "value": True, "path": "flag"}, {"b"}),
    ({"field": "metadata", "operator": "ilike", "value": "nested"}, {"b"}),
    ({"field": "stepType", "operator": "in", "value": ["tool"]}, {"a"}),
    ({"field": "stepType", "operator": "nin", "value": ["tool"]}, {"b", "c"}),
    ({"field": "stepName", "operator": "eq", "value": "search"}, {"a"}),
    ({"field": "stepOutput", "operator": "ilike", "value": "SUNNY", "path": "content"}, {"b"}),
    ({"field": "stepOutput", "operator": "ilike", "value": "sunny"}, {"b"}),
    ({"field": "stepOutput", "operator": "ilike", "value": "größe", "path": "content"}, {"b"}),
    ({"field": "tokenCount", "operator": "gt", "value": 5}, {"a"}),
    ({"field": "duration", "operator": "gte", "value": 2.5}, {"a"}),
    ({"field": "scoreValue", "operator": "eq", "value": 1, "path": "user-feedback"}, {"b"}),
    ({"field": "scoreValue", "operator": "eq", "value": 0, "path": "user-feedback"}, set()),
    ({"field": "scoreValue", "operator": "eq", "value": 1, "path": "other"}, set()),
    ({"field": "environment", "operator": "eq", "value": "prod"}, {"a", "b", "c"}),
]


async def test_thread_filters(wire: Wire) -> None:
    """Every filter field of threads with its operators and paths finds what it says."""
    first = {"threadId": "a", "type": "tool", "name": "search", "startTime": "2025-01-01T00:00:00Z"}
    await wire.send(gql.UPSERT_THREAD, {"id": "a", "name": "Alpha", "participantId": "ada", "tags": ["x", "y"],
                                        "metadata": {"language": "de"}})  # fmt: skip
    await wire.send(gql.UPSERT_THREAD, {"id": "b", "name": "STRASSE", "metadata": {"nested": {"n": 2}, "flag": True}})
    await wire.send(gql.UPSERT_THREAD, {"id": "c"})
    await wire.report(
        {"id": "1", **first, "endTime": "2025-01-01T00:00:03Z", "generation": {"tokenCount": 9}},
        {"id": "2", "threadId": "b", "type": "run", "output": {"content": "It is Sunny. GRÖSSE"},
         "scores": [{"name": "user-feedback", "type": "HUMAN", "value": 1}]},
    )  # fmt: skip
    for one, expected in THREAD_FILTERS:
        page = await wire.send(gql.LIST_THREADS, {"filters": [one]})
        assert {edge["node"]["id"] for edge in page["edges"]} == expected, one
        assert page["totalCount"] == len(expected)
    both = [THREAD_FILTERS[0][0], THREAD_FILTERS[4][0]]
    assert (await wire.send(gql.LIST_THREADS, {"filters": both}))["edges"] == []


@pytest.mark.parametrize(
    "one",
    [
        {"field": "nothing", "operator": "eq", "value": 1},
        {"field": "name", "operator": "regexp", "value": "a"},
        {"field": "createdAt", "operator": "gt", "value": "yesterday"},
        {"field": "tokenCount", "operator": "gt", "value": "many"},
        {"field": "metadata", "operator": "eq", "value": 1, "path": 'a"b'},
        {"field": "name", "operator": "eq", "value": {"a": 1}, "path": "x"},
    ],
)
async def test_senseless_filters_are_explained(wire: Wire, one: dict[str, Any]) -> None:
    """A filter that makes no sense is an error in words, or finds nothing; never a fault of the server."""
    body = await wire.post(gql.LIST_THREADS, {"filters": [one]})
    assert "unexpected" not in str(body.get("errors")), body


async def test_step_filters_and_lists(wire: Wire) -> None:
    """Steps are found by tag, id and user, newest first; nested steps are kept by type."""
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "participantId": "ada"})
    await wire.report({"id": "1", "threadId": "t", "tags": ["to_score"], "type": "run"}, {"id": "2", "parentId": "1"})
    for one in (
        {"field": "tags", "operator": "in", "value": ["to_score"]},
        {"field": "participantIdentifiers", "operator": "in", "value": ["ada"]},
        {"field": "threadId", "operator": "eq", "value": "t"},
    ):
        page = await wire.send(gql.GET_STEPS, {"filters": [one], "first": 1})
        assert [edge["node"]["id"] for edge in page["edges"]] == ["1"]
    page = await wire.send(gql.GET_THREADS, {"stepTypesToKeep": ["llm"]})
    assert page["edges"][0]["node"]["steps"] == []


async def test_nothing_stored_makes_the_python_sdk_choke(wire: Wire) -> None:
    """Foreign roles, content parts and kinds of values are fitted for the SDK that validates, and raw for others."""
    generation = {
        "messages": [{"role": "developer", "content": [{"type": "input_audio", "data": "x"}, {"type": "image_url",
                      "image_url": "http://x"}]}, "text", {"role": "user", "content": {"a": 1}}],
        "messageCompletion": "plain text",
        "tools": {"name": "one"},
        "settings": "none",
        "tokenCount": 12.7,
        "model": {"id": "x"},
        "ttFirstToken": "fast",
    }  # fmt: skip
    await wire.report({"id": "s", "threadId": "t", "type": "llm", "input": "text", "output": [1],
                       "metadata": ["odd"], "generation": generation})  # fmt: skip
    fitted = Thread.from_dict(await wire.thread("t", **PYTHON)).steps
    assert fitted is not None
    assert fitted[0].generation is not None
    assert fitted[0].generation.token_count == 13
    assert fitted[0].input == {"content": "text"}
    raw = (await wire.thread("t"))["steps"][0]
    assert raw["generation"]["messages"][0]["role"] == "developer"
    assert (raw["output"], raw["metadata"]) == ([1], ["odd"])


@pytest.mark.parametrize("field", ["scores", "generations"])
async def test_the_way_to_the_thread_can_be_read_in_full(wire: Wire, field: str) -> None:
    """From a listed score or generation everything about its step, thread and user that must be there is there."""
    score = {"name": "quality", "type": "AI", "value": 1}
    await wire.report({"id": "s", "threadId": "t", "type": "llm", "generation": {"model": "m"}, "scores": [score]})
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "name": "hello", "participantId": "ada"})
    way = "step {id type name thread {id name participant {id identifier metadata}}}"
    page = await wire.send(f"{{{field} {{edges {{node {{{way}}}}}}}}}")
    step = page["edges"][0]["node"]["step"]
    assert (step["type"], step["thread"]["name"]) == ("llm", "hello")
    assert step["thread"]["participant"]["metadata"] == {}
