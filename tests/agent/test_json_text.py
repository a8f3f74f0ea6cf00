"""Reading what models write as arguments."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.json_text import is_object, parse_object, whole_characters
from agent.toolbox import Tool, Toolbox

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), VALUES))
def test_any_object_is_read(value: dict[str, object]) -> None:
    """What JSON can say is read as it was meant, with or without escapes."""
    assert parse_object(json.dumps(value)) == parse_object(json.dumps(value, ensure_ascii=False)) == value


@given(st.text() | VALUES.map(json.dumps) | VALUES.map(json.dumps).map(lambda text: text[:-1]))
def test_no_text_breaks_the_reading(text: str) -> None:
    """Whatever a model writes, the toolbox makes a request of it, never an exception."""

    def add(a: int) -> int:
        """Add one."""
        return a + 1

    request = Toolbox([Tool.from_function(add)]).read("add", text)

    assert bool(request.problem) != bool(request.call)
    assert isinstance(request.arguments, dict) == is_object(text)


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1e999}', '{"a": "\\udead"}', "[]", "null", "{", "[" * 10**6])
def test_what_could_not_be_written_again_is_no_object(text: str) -> None:
    """Numbers and characters that no JSON can hold are refused, and so is all that is not an object."""
    assert not is_object(text)


@given(st.text(alphabet=st.characters(categories=("Cs", "L"))))
def test_halves_of_characters_are_replaced(text: str) -> None:
    """What comes out can always be encoded, and keeps its length."""
    assert len(whole_characters(text).encode().decode()) == len(text)
