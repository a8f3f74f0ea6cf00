"""The lines of an export: which table each kind is a row of, and how a row is written and read.

An export is JSON Lines in UTF-8. Every line is an object with a `kind`; names and moments are those of the wire.
The first line is the head, with the schema's version; the last one counts what lies between, so that half a file
is known as one.
"""

from collections.abc import Container, Mapping
from typing import Any

from sqlalchemy import BigInteger, Float
from sqlalchemy.orm import ColumnProperty

from literal_server import clock, json_text
from literal_server.collection_tables import (
    Dataset,
    DatasetItem,
    Experiment,
    ExperimentItem,
    PromptLineage,
    PromptVariant,
    PromptVersion,
)
from literal_server.errors import Refused
from literal_server.tables import Attachment, Base, Participant, PlainText, Score, Step, Thread

SCHEMA = 1
HEAD, END, FILE = "export", "end", "file"

KINDS: Mapping[str, type[Base]] = {
    "participant": Participant,
    "thread": Thread,
    "step": Step,
    "score": Score,
    "attachment": Attachment,
    "dataset": Dataset,
    "dataset_item": DatasetItem,
    "prompt": PromptLineage,
    "prompt_version": PromptVersion,
    "prompt_variant": PromptVariant,
    "experiment": Experiment,
    "experiment_item": ExperimentItem,
}

# What follows from the rest: the server that takes the line works it out again.
_DERIVED: Mapping[type[Base], Container[str]] = {
    Thread: {
        "last_activity", "first_start", "last_end", "token_count", "cost", "unpriced_count", "error_count",
        "turn_count", "open_count", "payloads",
    },
    Step: {
        "is_error", "model", "provider", "input_tokens", "output_tokens", "token_count", "duration", "cost",
        "prompt_id", "payloads",
    },
    Score: {"counted_thread_id"},
}  # fmt: skip
_OBJECTS = {"settings", "variablesDefaultValues", "metadata"}
_LISTS = {"tags", "templateMessages", "variables"}


def write_row(row: Base) -> dict[str, Any]:
    """Answer a row as a line has it: the wire's names, moments as text, without its project and without nulls."""
    line = {}
    for column in _columns(type(row)):
        value = getattr(row, column.key)
        if value is not None:
            name = wire_name(column.columns[0].name)
            line[name] = clock.format_time(value) if _is_moment(name) else value
    return line


def read_row(table: type[Base], line: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the values of a row's columns from its line. Raises Refused for a value of the wrong kind."""
    return {column.key: _value(column, line) for column in _columns(table)}


def _columns(table: type[Base]) -> list[ColumnProperty[Any]]:
    left_out = _DERIVED.get(table, ())
    attributes = table.__mapper__.column_attrs
    return [one for one in attributes if one.key != "project_id" and one.key not in left_out]


def _value(column: ColumnProperty[Any], line: Mapping[str, Any]) -> Any:
    name = wire_name(column.columns[0].name)
    kind, may_be_null = column.columns[0].type, column.columns[0].nullable
    value = line.get(name)
    if value is None and may_be_null:
        return None
    if isinstance(kind, PlainText):
        return text(line, name, required=not may_be_null)
    if isinstance(kind, BigInteger) and _is_moment(name):
        return moment(line, name, required=not may_be_null)
    if isinstance(kind, BigInteger):
        fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    elif isinstance(kind, Float):
        fits = json_text.as_number(value) is not None
    else:  # JSON
        fits = may_be_null or isinstance(value, dict if name in _OBJECTS else list if name in _LISTS else object)
    if not fits or (value is None and not may_be_null):
        raise Refused(f"{name} is missing or of the wrong kind.")
    return value


def text(line: Mapping[str, Any], name: str, *, required: bool = False) -> str | None:
    """Answer a text of the line, None when it is missing. Raises Refused."""
    value = line.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or (required and name == "id" and not value):
        raise Refused(f"{name} is missing or no text.")
    return json_text.encodable(value)


def moment(line: Mapping[str, Any], name: str, *, required: bool = False) -> int | None:
    """Answer a moment of the line in microseconds, None when it is missing. Raises Refused."""
    value = line.get(name)
    if value is None and not required:
        return None
    try:
        return clock.parse_time(value)
    except ValueError as error:
        raise Refused(f"{name}: {error}") from error


def _is_moment(name: str) -> bool:
    return name.endswith(("At", "Time"))


def wire_name(column: str) -> str:
    """Answer the wire's name of a column: `thread_id` is `threadId`."""
    first, *others = column.split("_")
    return first + "".join(word.capitalize() for word in others)
