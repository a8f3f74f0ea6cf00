"""JSON is read and written fast, and as exactly as by the standard library."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from literal_server import json_text
from tests.literal_server.fuzz import examples

TEXTS = st.text(st.characters(exclude_categories=()))  # lone surrogates too
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@examples(200)
@given(VALUES)
def test_what_is_written_is_read_again(value: Any) -> None:
    """Any value, with lone surrogates and whole numbers of any size in it, comes back the same; the text is UTF-8."""
    text = json_text.dumps(value)
    assert json_text.loads(text.encode()) == value
    assert json.loads(text) == value


@examples(200)
@given(VALUES, st.booleans())
def test_what_others_write_is_read_as_by_the_library(value: Any, escaped: bool) -> None:
    """The texts of other writers, with escapes or without, as bytes or not, mean what the standard library reads."""
    text = json.dumps(value, ensure_ascii=escaped)
    assert json_text.loads(text) == value
    if escaped:
        assert json_text.loads(text.encode()) == value


@pytest.mark.parametrize("text", ["NaN", "-Infinity", '[Infinity, {"a": NaN}]'])
def test_numbers_that_json_does_not_have_become_null(text: str) -> None:
    """What Python writes for them is read as null."""
    assert json_text.dumps(json_text.loads(text)) == json.dumps(
        json.loads(text, parse_constant=lambda _: None)
    ).replace(" ", "")


def test_numbers_beyond_all_bounds_are_written_as_null() -> None:
    """A number that is none to SQLite's JSON, because it is read as infinite, does not spoil the value around it."""
    assert math.isinf(json_text.loads("1e400"))
    assert json_text.dumps({"a": json_text.loads("[1e400, -1e400]"), "b": math.nan}) == '{"a":[null,null],"b":null}'


@pytest.mark.parametrize("text", ["", "{", "nul", '"\x01"', "[1,]", b"\xff", "1" * 5_000])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    """With an error that readers know."""
    with pytest.raises(ValueError):  # noqa: PT011 - any of its kinds
        json_text.loads(text)
