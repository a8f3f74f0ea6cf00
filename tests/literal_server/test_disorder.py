"""What stock clients send about one thread, in every order and any number: the same thread is stored.

What they do to a step, each line a report of its own that may come first, last and twice:

- Chainlit: the start, a late create that still has no text, the end, then attachments alone.
- The Python decorators: the end only, children before parents, the whole batch again when a part of it failed.
- Decorators with a later `end()`, the TypeScript wrappers: the end again, later, with more.
- Processes that share a step: reports without a thread id.
- Everybody: scores for steps that are not there yet, `upsertThread` at any moment, a step deleted by hand.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from literal_server.tables import Thread
from literal_server.threads import ThreadReport
from tests.literal_server.fuzz import examples
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

Operation = tuple[str, dict[str, Any]]

# A version of a step is what a client knows of it: before the end, at the end, at a later end.
VERSIONS = st.integers(0, 2)
BLANKS: dict[str, Any] = {
    "input": {},
    "output": {"content": ""},
    "metadata": {},
    "name": "",
    "error": "",
    "type": "undefined",
}
TYPES = ("run", "llm", "tool", "user_message", "assistant_message")
TOTALS = (
    *("token_count", "cost", "unpriced_count", "error_count", "turn_count", "open_count"),
    *("first_start", "last_end", "last_activity"),
)


def moment(second: int) -> str:
    return f"2025-01-01T10:00:{second:02}.250Z"


@st.composite
def told(draw: st.DrawFn, step: int, kinds: Sequence[str]) -> dict[str, Any]:
    """One report of a step: some fields of one of its versions, some without text, the others not said."""
    version = draw(VERSIONS)
    known: dict[str, Any] = {
        "type": kinds[version],
        "name": f"name {version}",
        "input": {"question": version},
        "output": {"content": f"text {version}"},
        "metadata": {"version": version},
        "error": f"error {version}",
        "tags": [f"tag {version}"] * version,
        "parentId": f"step{(step + version) % 4}",
        "rootRunId": "step0",
        "threadId": "thread",
    }
    said = {name: known[name] for name in sorted(draw(st.sets(st.sampled_from(sorted(known)))))}
    for name in sorted(draw(st.sets(st.sampled_from(sorted(BLANKS)), max_size=2))):
        said[name] = BLANKS[name]
    keys: dict[str, Any] = {
        "model": f"model {version}",
        "tokenCount": 10 + version,
        "messages": [{"role": "user"}] * version,
    }
    generation = {name: keys[name] for name in sorted(draw(st.sets(st.sampled_from(sorted(keys)))))}
    hanging = draw(st.sampled_from(("", "", "scores", "attachments")))
    if hanging == "scores":
        said["scores"] = [{"id": f"score{step}", "name": "quality", "type": "AI", "value": step}]
    elif hanging:
        said["attachments"] = [{"id": f"file{step}", "name": "map.png", "url": "https://x.test/map"}]
    times = {"startTime": moment(step + draw(st.integers(0, 1)))}
    if version:
        times["endTime"] = moment(20 + step + version)
    return {"id": f"step{step}", **said, **times, "generation": generation}


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Operation], list[Operation]]:
    """What clients send about one thread of up to four steps, and the same in disorder, some of it repeated."""
    story: list[Operation] = []
    for step in range(draw(st.integers(1, 4))):
        kinds = draw(st.tuples(*[st.sampled_from(TYPES)] * 3))
        story += [("report", report) for report in draw(st.lists(told(step, kinds), min_size=1, max_size=4))]
    last = {"id": "step0", "threadId": "thread"}
    story.append(("report", last | {"attachments": [{"id": "alone", "name": "x", "objectKey": "files/1"}]}))
    story.append(("thread", {"name": "hello", "participantId": "ada", "tags": ["profile"]}))
    if draw(st.booleans()):
        story.append(("thread", {"metadata": {"settings": {"a": 1}}}))
    if draw(st.booleans()):
        story.append(("score", {"name": "user-feedback", "type": "HUMAN", "value": 1, "stepId": "step1"}))
    if draw(st.booleans()):
        story.append(("delete", {"id": "step2"}))
    # A score without an id is a new one each time; everything else may be sent again.
    again = draw(st.lists(st.sampled_from([one for one in story if one[0] != "score"]), max_size=5))
    return story, draw(st.permutations([*story, *again]))


@pytest.mark.usefixtures("no_fsync")
@examples(25)
@given(stories())
async def test_every_order_stores_the_same_thread(
    wire: Wire, server: Starlette, both: tuple[list[Operation], list[Operation]]
) -> None:
    """Any permutation of the reports, with any of them repeated, stores what their own order stores."""
    story, disorder = both
    assert await stored(disorder, wire, server) ^ await stored(story, wire, server) == set()


async def stored(story: Sequence[Operation], wire: Wire, server: Starlette) -> set[str]:
    """Send a story under ids of its own; answer every value that can be read of it, with the way to it.

    Those ids and what tells the time of arrival are left out.
    """
    mark = f"-{uuid.uuid4()}"
    for kind, payload in story:
        text = json.dumps(payload)
        for name in ("step0", "step1", "step2", "step3", "thread", "score", "file", "alone"):
            text = text.replace(f'd": "{name}', f'd": "{name[:-1] if name[:-1] == "step" else name}{mark}-{name}')
        sent = json.loads(text)
        if kind == "report":
            await wire.report(sent)
        elif kind == "thread":
            await wire.send(gql.UPSERT_THREAD, sent | {"id": f"thread{mark}-thread"})
        else:
            await wire.send(gql.CREATE_SCORE if kind == "score" else gql.DELETE_STEP, sent)
    return set(paths(json.loads(json.dumps(await readable(wire, server, mark)).replace(mark, ""))))


def paths(value: Any, way: str = "") -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(child, f"{way}/{key}")
    else:
        yield f"{way} = {value!r}"


async def readable(wire: Wire, server: Starlette, mark: str) -> Any:
    api = server.state.api
    async with api.database.reading() as session:
        row = await session.get(Thread, (api.project, f"thread{mark}-thread"))
    thread = await wire.thread(row.id)
    thread["totals"] = {name: getattr(row, name) for name in TOTALS}
    if row.first_start is None and row.last_end is None:
        thread["totals"].pop("last_activity")  # a thread without times bears the moment of its arrival
    thread.pop("createdAt")
    steps = [await wire.step(f"step{mark}-step{number}") for number in range(4)]
    for step in [*thread["steps"], *filter(None, steps)]:
        without_arrival(step)
    return [thread, steps]


def without_arrival(step: dict[str, Any]) -> None:
    step.pop("createdAt")
    # Scores and files of a step have no order of their own but that of their arrival.
    for name in ("scores", "attachments"):
        step[name].sort(key=lambda one: (one["name"], one["id"]))
    for score in step["scores"]:
        if score["name"] == "user-feedback":
            score.pop("id")
    if step["generation"]:
        step["generation"].pop("createdAt")


def test_the_reports_of_threads_say_all_there_is() -> None:
    """A new word about threads has to be thought of here: in disorder the story above would not cover it."""
    assert set(ThreadReport.__dataclass_fields__) == {"name", "metadata", "participant", "tags"}
