"""What waits in the outbox, and how two reports of one thing become one: by the merge rules of the server."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from recording.stamps import Stamp, merged

Kind = Literal["step", "thread", "deletion", "score deletion"]
Body = dict[str, Any]


@dataclass(slots=True, eq=False)
class Update:
    """One thing to tell the server; numbers grow in the order in which things were put.

    `lane` is the thread, within which order is kept. `put_at` is the moment of the first report in it (seconds of the
    epoch), `size` the bytes of body and stamp as JSON. `under_way` tells that it is being sent, so that nothing may
    change. Without a `stamp` it is not counted among what was put in a thread.
    """

    number: int
    lane: str
    kind: Kind
    key: str
    body: Body
    put_at: float
    stamp: Stamp | None = None
    under_way: bool = False
    on_disk: bool = False
    tries: int = 0
    first_failure: float = 0.0
    _texts: tuple[str, str | None] | None = field(default=None, init=False, repr=False)

    @property
    def texts(self) -> tuple[str, str | None]:
        """Body and stamp as JSON, as they go to the disk; written when first asked for, so never for what is merged."""
        if self._texts is None:
            self._texts = as_json(self.body), self.stamp.as_text() if self.stamp else None
        return self._texts

    @property
    def size(self) -> int:
        """The bytes that it takes in the file."""
        body, stamp = self.texts
        return size_of(body) + len(stamp or "")

    @property
    def is_word(self) -> bool:
        """Whether it only tells that something was put which it does not cover."""
        told = self.stamp.told.values() if self.stamp else ()
        return self.kind == "thread" and not self.body and not any(covers for _, covers in told)

    def take_in(self, later: "Update") -> None:
        """Become both: this report and the later one of the same thing."""
        merge = merged_thread if self.kind == "thread" else merged_step
        self.body = merge(self.body, later.body)
        self.stamp = merged(self.stamp, later.stamp)
        self._texts = None

    def __str__(self) -> str:
        """Return what it is, for the log and for people who look after dead letters."""
        if self.kind == "step":
            return f"{self.body.get('type') or 'step'} {self.key} of thread {self.lane}"
        return f"deletion of step {self.key}" if self.kind == "deletion" else f"{self.kind} {self.key}"


_ENCODER = msgspec.json.Encoder(enc_hook=str)
_DECODER = msgspec.json.Decoder()


def as_json(body: Mapping[str, Any] | Sequence[Any]) -> str:
    """Write a body as a line that UTF-8 can hold, whatever is in it, and as text what JSON has no form for.

    Halves of surrogate pairs make all of it fall back to escapes; numbers that JSON does not have become null.
    """
    try:
        return _ENCODER.encode(body).decode()
    except (TypeError, ValueError):  # such halves, or keys of other kinds
        return json.dumps(body, separators=(",", ":"), default=str)


def from_json(text: str | bytes) -> Any:
    """Read what `as_json` wrote."""
    try:
        return _DECODER.decode(text)
    except ValueError:  # what fell back
        return json.loads(text)


def size_of(text: str) -> int:
    """Return how many bytes a text takes."""
    return len(text) if text.isascii() else len(text.encode())


def merged_step(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> Body:
    """Return the report of a step that says what two reports said, the later one counting where both speak."""
    merged = dict(earlier)
    for key, value in later.items():
        if value is None:
            continue
        known = merged.get(key)
        if known is None:
            merged[key] = value
        elif key == "generation":
            merged[key] = _merged_generation(known, value)
        elif key in ("startTime", "endTime"):
            merged[key] = min(known, value) if key == "startTime" else max(known, value)
        elif key in ("scores", "attachments"):
            merged[key] = [*known, *value]
        elif key == "tags" or is_blank(known) or not (is_blank(value) or (key == "type" and value == "undefined")):
            merged[key] = value
    return merged


def _merged_generation(known: Any, value: Any) -> Any:
    if not isinstance(known, dict) or not isinstance(value, dict):
        return value or known
    merged = dict(known)
    for key, part in value.items():
        if part is not None and (is_blank(merged.get(key)) or not is_blank(part)):
            merged[key] = part
    return merged


def merged_thread(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> Body:
    """Return what two reports of a thread say; metadata is merged key by key, as the server does."""
    merged = {**earlier, **{key: value for key, value in later.items() if value}}
    if earlier.get("metadata") and later.get("metadata"):
        merged["metadata"] = {**earlier["metadata"], **later["metadata"]}
    return merged


def is_blank(value: Any) -> bool:
    """Tell whether a value says nothing, so that it never covers one that does."""
    if value is None or value in ("", [], {}):
        return True
    return isinstance(value, dict) and len(value) == 1 and next(iter(value.values())) in (None, "")
