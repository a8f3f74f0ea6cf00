"""Hostile input on every root field: always an answer in the protocol's form, never a fault, never a stuck writer.

Seconds in the suite; `FUZZ=100 pytest tests/literal_server/test_fuzz.py` looks for an hour.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from literal_server.graphql import service
from tests.literal_server.documents import document, root_fields, variables
from tests.literal_server.fuzz import examples
from tests.literal_server.wire import Wire

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_fsync")]

FIELDS = {name: (document(operation, name, field), field) for operation, name, field in root_fields()}
CALLS = st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), variables(FIELDS[name][1])))


@examples(150)
@given(CALLS)
async def test_hostile_variables_get_an_answer(
    wire: Wire, caplog: pytest.LogCaptureFixture, call: tuple[str, dict[str, Any]]
) -> None:
    """Whatever the variables of a root field are, the answer has data or errors and no fault of ours is behind it."""
    name, given_variables = call
    check(await wire.post(FIELDS[name][0], given_variables), caplog)
    check(await wire.post(FIELDS["ingestStep"][0], {"id": "s1", "threadId": "t1"}), caplog)
    # What was stored can be read, by one and by all.
    for reading, variables_of_reading in READINGS:
        check(await wire.post(FIELDS[reading][0], variables_of_reading), caplog, has_data=True)


READINGS: list[tuple[str, dict[str, Any]]] = [
    ("threads", {}),
    ("steps", {}),
    ("scores", {}),
    ("participants", {}),
    ("generations", {}),
    ("datasets", {}),
    ("threadDetail", {"id": "t1"}),
    ("step", {"id": "s1"}),
]


def check(body: dict[str, Any], caplog: pytest.LogCaptureFixture, *, has_data: bool = False) -> None:
    assert body.keys() <= {"data", "errors"}
    for error in body.get("errors", ()):
        assert error["message"]
        assert error["message"] != service.UNEXPECTED, caplog.text[-3000:]
    if has_data:
        assert "errors" not in body, body


names = st.sampled_from([*FIELDS, "nothing", "__schema", "__type", "__typename", "edges", "node", "steps", "id", "ok"])
leaves = st.sampled_from(
    ["", "(id: 1)", '(id: "s1")', "(first: 1e99)", "(filters: [{}])", "($a: Int)", "@include(if: 1)"]
)
fields_of_documents = st.recursive(
    st.tuples(names, leaves).map(" ".join),
    lambda inner: st.tuples(names, leaves, st.lists(inner, max_size=4)).map(
        lambda parts: f"{parts[0]} {parts[1]} {{ {' '.join(parts[2])} }}"
    ),
    max_leaves=10,
)
heads = st.sampled_from(
    ["", "query", "mutation", "subscription", "query a($a: Int = 1, $a: Int)", "fragment f on Step"]
)
documents = st.tuples(heads, st.lists(fields_of_documents, max_size=5)).map(
    lambda parts: f"{parts[0]} {{ {' '.join(parts[1])} }}"
)


@examples(100)
@given(st.one_of(documents, documents, st.text()), st.dictionaries(st.text(max_size=3), st.none() | st.integers()))
async def test_hostile_documents_get_an_answer(
    wire: Wire, caplog: pytest.LogCaptureFixture, text: str, given_variables: dict[str, Any]
) -> None:
    """Whatever a document is, it is executed or its mistakes are named."""
    check(await wire.post(text, given_variables), caplog)
