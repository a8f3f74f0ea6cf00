"""What an import reads: lines of JSON, or one JSON document, taken apart into rows with their place in the file."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from literal_server import json_text
from literal_server.exchange import lines

MAX_DOCUMENT_BYTES = 256 * 1024 * 1024
_BLANKS = b" \t\r\n\xef\xbb\xbf"


@dataclass(frozen=True)
class Row:
    """One thing to import, or the reason why there is none at this place; `size` is the bytes read for it."""

    place: str
    size: int = 0
    kind: str = ""
    line: Mapping[str, Any] | None = None
    problem: str = ""


@dataclass(frozen=True)
class Limits:
    """How long a line may be (bytes), how deep its values may be nested, how long an id may be (characters)."""

    line_bytes: int
    nesting: int
    id_length: int


def read(stream: BinaryIO, limits: Limits) -> Iterator[Row]:
    """Yield the rows of a file. Lines are read one by one; a document is read whole, if it is not too large."""
    for row in _read(stream, limits):
        if any(_is_long_id(*one, limits) for one in (row.line or {}).items()):
            yield Row(row.place, row.size, problem=f"An id has at most {limits.id_length} characters.")
        else:
            yield row


def _read(stream: BinaryIO, limits: Limits) -> Iterator[Row]:
    first = stream.readline(limits.line_bytes + 1)
    if not _opens_document(first, limits):
        yield from _read_lines(first, stream, limits)
        return
    text = first + stream.read(MAX_DOCUMENT_BYTES + 1 - len(first))
    if len(text) > MAX_DOCUMENT_BYTES:
        yield Row("line 1", len(text), problem=f"One document of more than {MAX_DOCUMENT_BYTES >> 20} MiB: write each "
                  "thread on a line of its own (jq -c '.[]' does so), then it is read line by line.")  # fmt: skip
        return
    value, problem = _parse(text, limits)
    if problem:
        # Perhaps lines of which the first is broken.
        yield from _read_lines(b"", io.BytesIO(text), limits)
        return
    rows = list(_rows("", value))
    yield from (Row(row.place, len(text) // len(rows), row.kind, row.line, row.problem) for row in rows)


def _opens_document(first: bytes, limits: Limits) -> bool:
    start = first.strip(_BLANKS)
    return start[:1] in (b"[", b"{") and len(first) <= limits.line_bytes and bool(_parse(first, limits)[1])


def _read_lines(first: bytes, stream: BinaryIO, limits: Limits) -> Iterator[Row]:
    number = 0
    text = first or stream.readline(limits.line_bytes + 1)
    while text:
        number += 1
        place, size = f"line {number}", len(text)
        if size > limits.line_bytes:
            while text and not text.endswith(b"\n"):
                text = stream.readline(limits.line_bytes)
                size += len(text)
            yield Row(place, size, problem=f"It is longer than {limits.line_bytes} bytes.")
        elif text.strip(_BLANKS):
            value, problem = _parse(text, limits)
            rows = [Row(place, problem=problem)] if problem else list(_rows(place, value))
            yield from (Row(row.place, size // len(rows), row.kind, row.line, row.problem) for row in rows)
        text = stream.readline(limits.line_bytes + 1)


def _parse(text: bytes, limits: Limits) -> tuple[Any, str]:
    try:
        value = json_text.loads(text.strip(_BLANKS))
    except ValueError:  # UnicodeDecodeError is one too
        return None, "It is not JSON."
    except RecursionError:
        return None, f"It is nested more than {limits.nesting} levels deep."
    if json_text.is_nested_deeper(value, limits.nesting):
        return None, f"It is nested more than {limits.nesting} levels deep."
    return value, ""


def _is_long_id(name: str, value: Any, limits: Limits) -> bool:
    return isinstance(value, str) and name.endswith(("id", "Id", "identifier")) and len(value) > limits.id_length


def _rows(place: str, value: Any) -> Iterator[Row]:
    """Take a value apart: a list, a page of the SDKs or of the wire, a thread with its steps, or one row."""
    if isinstance(value, list):
        if not value:
            yield Row(place or "the file", problem="It is an empty list.")
        for number, one in enumerate(value, 1):
            yield from _rows(_within(place, f"item {number}"), one)
        return
    if not isinstance(value, dict):
        yield Row(place or "the file", problem="It is no object.")
        return
    pages = [value[name] for name in ("data", "edges") if isinstance(value.get(name), list) and "kind" not in value]
    if pages:
        for number, one in enumerate(pages[0], 1):
            inner = one["node"] if isinstance(one, dict) and isinstance(one.get("node"), dict) else one
            yield from _rows(_within(place, f"item {number}"), inner)
        return
    kind = _kind(value)
    steps = value.get("steps") if kind == "thread" else None
    if not kind:
        yield Row(place or "the file", problem="It is neither a line of an export nor a thread or a step.")
        return
    yield Row(place or "the file", kind=kind, line=value)
    for number, step in enumerate(steps if isinstance(steps, list) else (), 1):
        if isinstance(step, dict):
            # A step that an SDK wrote without its thread still belongs to the one it lies in.
            step = {**step, "threadId": step.get("threadId") or value.get("id")}
            yield Row(_within(place, f"step {number}"), kind="step", line=step)
        else:
            yield Row(_within(place, f"step {number}"), problem="It is no object.")


def _kind(value: Mapping[str, Any]) -> str:
    told = value.get("kind")
    if told is not None:
        return told if told in (*lines.KINDS, lines.HEAD, lines.END, lines.FILE) else ""
    if isinstance(value.get("steps"), list) or "participant" in value:
        return "thread"
    return "step" if "type" in value and "id" in value else ""


def _within(place: str, part: str) -> str:
    return f"{place}, {part}" if place else part
