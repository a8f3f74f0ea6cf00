"""Whatever was stored, the SDKs can read it: nothing in a thread can make its reader raise."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from literalai.observability.step import Step as SdkStep
from literalai.observability.thread import Thread as SdkThread

from literal_server import tree
from literal_server.tables import Step
from tests.literal_server.fuzz import examples
from tests.literal_server.wire import Wire, gql

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_fsync")]

PYTHON = {"x-client-name": "py-literal-client"}

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["\ud800", "\0", "text", "image_url", "user", "developer", "NaN", "1", ""]),
)
anything = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "url", "", "\udfff", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def fields(*names: str, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these keys, each with a value of its kind or any other."""
    kinds = dict.fromkeys(names, anything) | {name: kind | anything for name, kind in known.items()}
    return st.fixed_dictionaries({}, optional=kinds)


parts = fields(
    type=st.sampled_from(["text", "image_url", "input_audio", "refusal"]), text=st.text(max_size=5), image_url=anything
)
messages = fields(
    "name", "function_call", "tool_call_id", "uuid", "templated", "refusal",
    role=st.sampled_from(["user", "assistant", "tool", "function", "system", "developer", "ipython"]),
    content=st.text(max_size=5) | st.lists(parts | anything, max_size=3),
    tool_calls=st.lists(anything, max_size=2),
)  # fmt: skip
generations = fields(
    "id", "promptId", "provider", "model", "error", "settings", "variables", "tags", "metadata", "tokenCount",
    "inputTokenCount", "outputTokenCount", "ttFirstToken", "tokenThroughputInSeconds", "duration", "prompt",
    "completion", "inputs", "stepId", "createdAt",
    type=st.sampled_from(["CHAT", "COMPLETION", "chat", "OTHER"]),
    messages=st.lists(messages | anything, max_size=3),
    messageCompletion=messages,
    tools=st.lists(anything, max_size=2),
)  # fmt: skip
scores = fields("label", "stepId", "comment", "tags", "scorer", "generationId", id=st.just("score"))
attachments = fields("metadata", "mime", "name", "objectKey", "url", "threadId", "stepId", id=st.text(max_size=3))
steps = st.fixed_dictionaries(
    {"id": st.just("s"), "threadId": st.just("t"), "type": st.sampled_from(["llm", "run", "user_message"])},
    optional={
        "generation": generations | anything,
        "input": anything,
        "output": anything,
        "metadata": anything,
        "name": st.text(max_size=5),
        "error": st.text(max_size=5),
        "tags": st.lists(st.text(max_size=3), max_size=2),
        "scores": st.lists(scores.map(lambda one: one | {"name": "x", "value": 1}), max_size=2),
        "attachments": st.lists(attachments, max_size=2),
    },
)


@examples(40)
@given(steps, anything)
async def test_no_stored_thread_makes_the_python_sdk_raise(wire: Wire, report: dict[str, Any], metadata: Any) -> None:
    """The SDK's own validation accepts every thread, step and generation it reads, whatever was sent."""
    await wire.report(report)
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "metadata": metadata})
    thread = await wire.thread("t", **PYTHON)
    assert SdkThread.from_dict(thread).id == "t"
    read = SdkStep.from_dict(await wire.step("s", **PYTHON))
    assert read.id == "s"
    assert json.dumps(read.to_dict())  # what the chat does next
    listed = await wire.send(gql.GET_THREADS, {}, **PYTHON)
    assert [SdkThread.from_dict(edge["node"]).id for edge in listed["edges"]] == ["t"]
    assert [SdkStep.from_dict(edge["node"]).id for edge in (await wire.send(gql.GET_STEPS, {}, **PYTHON))["edges"]]
    keeps_promises((await wire.thread("t"))["steps"][0])


def keeps_promises(step: dict[str, Any]) -> None:
    """What the contract says about the kinds of a step's fields to every client, TypeScript too."""
    for name in ("parentId", "rootRunId", "error"):
        assert step[name] is None or (isinstance(step[name], str) and step[name])
    assert isinstance(step["type"], str)
    assert isinstance(step["tags"], list)
    assert all(isinstance(one["value"], int | float) and one["name"] and one["type"] for one in step["scores"])
    generation = step["generation"]
    if generation is not None:
        assert generation["type"] in ("CHAT", "COMPLETION")
        for name in ("tokenCount", "inputTokenCount", "outputTokenCount"):
            assert generation[name] is None or isinstance(generation[name], int)


async def test_what_is_fitted_for_one_client_is_kept_as_it_was(wire: Wire) -> None:
    """A foreign role and a foreign content part are fitted for the Python SDK alone: others read what was sent."""
    audio = {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"x").decode()}}
    sent = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [audio]}]
    await wire.report({"id": "s", "threadId": "t", "type": "llm", "generation": {"messages": sent}})
    assert (await wire.step("s"))["generation"]["messages"] == sent
    fitted = (await wire.step("s", **PYTHON))["generation"]["messages"]
    assert [one["role"] for one in fitted] == ["system", "user"]
    assert fitted[0]["content"] == "Be brief."
    assert json.loads(fitted[1]["content"][0]["text"]) == audio


identities = st.integers(0, 7).map(str)
links = st.dictionaries(identities, st.none() | identities)


@examples(200)
@given(
    st.dictionaries(identities, st.none() | identities), st.dictionaries(identities, st.none() | identities), st.data()
)
def test_every_shape_of_a_thread_becomes_a_tree(
    living: dict[str, str | None], gone: dict[str, str | None], data: st.DataObject
) -> None:
    """Each living step comes once, after the one it hangs on, under its own parent wherever that makes a tree."""
    deleted = {one: parent for one, parent in gone.items() if one not in living}
    starts = data.draw(st.lists(st.none() | st.integers(0, 3), min_size=len(living), max_size=len(living)))
    rows = [
        Step(id=one, parent_id=parent, start_time=start, created_at=100)
        for (one, parent), start in zip(living.items(), starts, strict=True)
    ]
    arranged = [(one.id, parent) for one, parent in tree.arrange(rows, deleted)]
    assert sorted(one for one, _ in arranged) == sorted(living)
    seen: set[str] = set()
    for one, parent in arranged:
        assert parent is None or parent in seen
        if parent is None and living[one] in living:
            assert one in ancestors(one, living | deleted)  # only the cut of a circle makes a root of a child
        elif living[one] in living:
            assert parent == living[one]
        seen.add(one)
    assert arranged == [(one.id, parent) for one, parent in tree.arrange(rows[::-1], deleted)]


def ancestors(identity: str, parents: dict[str, str | None]) -> set[str]:
    found: set[str] = set()
    at = parents.get(identity)
    while at is not None and at not in found:
        found.add(at)
        at = parents.get(at)
    return found
