"""Values too large for a row: kept whole in a file of the data folder, with a preview in the row.

The column `payloads` of a step or thread names them: `{"output": {"digest": ..., "bytes": ...}}`, the keys of a
generation as `generation.messages`. A file bears the digest of its content and lies in a folder of its row, so that
purging the row removes its files and nobody else's. Who reads through this package gets the whole values back.
"""

import asyncio
import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from literal_server import json_text
from literal_server.data_folder import sync
from literal_server.plain_rows import PlainStep
from literal_server.settings import ServerSettings
from literal_server.tables import Step, Thread

logger = logging.getLogger(__name__)

_OWN = {"input": "input", "output": "output", "error": "error", "metadata": "metadata_", "generation": "generation"}
GENERATION = "generation."
STORE = "payload_store"
FILES = "files_folder"

_PREVIEW_CHARACTERS = 20_000
_PREVIEW_TEXT = 2_000
_PREVIEW_ITEMS = 100


@dataclass(frozen=True)
class PayloadStore:
    """Where the files lie, from how many bytes on a value goes there, and how many one session reads back at most."""

    folder: Path
    max_metadata_bytes: int
    max_payload_bytes: int
    max_read_bytes: int

    def limit(self, name: str) -> int:
        """The size from which on the value of this name goes into a file."""
        return self.max_metadata_bytes if name == "metadata" else self.max_payload_bytes

    def folder_of(self, row: Step | PlainStep | Thread) -> Path:
        """The folder of a row's files."""
        return self.folder_of_id(Thread if isinstance(row, Thread) else Step, row.project_id, row.id)

    def folder_of_id(self, table: type[Step] | type[Thread], project: str, identity: str) -> Path:
        """The folder of the files of the row with this id."""
        owner = "\0".join((table.__tablename__, project, identity)).encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(owner).hexdigest()
        return self.folder / digest[:2] / digest[2:]

    def write(self, row: Step | PlainStep | Thread, content: bytes) -> str:
        """Write a file, whole or not at all, and answer its digest. Blocks: call it in a thread."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.folder_of(row) / f"{digest}.json"
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = path.with_name(f".{digest}.{secrets.token_hex(4)}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(descriptor)
                draft.replace(path)
            except BaseException:  # a full disk must not be filled up with what is tried again
                draft.unlink(missing_ok=True)
                raise
            for folder in (path.parent, path.parent.parent, self.folder, self.folder.parent):
                sync(folder)
        return digest

    def read(self, row: Step | Thread, digest: str, most: int = -1) -> bytes:
        """Read a file, or so many bytes of it at the most. Blocks: call it in a thread."""
        with (self.folder_of(row) / f"{digest}.json").open("rb") as file:
            return file.read(most)

    def remove(self, rows: Iterable[Step | Thread]) -> None:
        """Remove the files of rows for good. Blocks: call it in a thread."""
        for row in rows:
            shutil.rmtree(self.folder_of(row), ignore_errors=True)


def session_info(settings: ServerSettings) -> dict[str, Any]:
    """What the sessions of a database have to know: where large values go, and where uploaded files lie."""
    limits = settings.max_metadata_bytes, settings.max_payload_bytes, settings.max_read_bytes
    return {STORE: PayloadStore(settings.payloads_dir, *limits), FILES: settings.files_dir}


async def remove(session: AsyncSession, rows: Sequence[Step | Thread]) -> None:
    """Remove the files of rows for good: before the rows themselves, which a failure leaves to be tried again."""
    store: PayloadStore | None = session.info.get(STORE)
    if store is not None:
        await asyncio.to_thread(store.remove, rows)


async def spill(session: AsyncSession, row: Step | Thread, values: Mapping[str, Any]) -> dict[str, Any]:
    """Put those of the new values of a row that are too large into files; answers what the row has to keep of each.

    A session that knows no store keeps everything in the rows.
    """
    store: PayloadStore | None = session.info.get(STORE)
    if store is not None and any(json_text.size(value) > store.limit(name) for name, value in values.items()):
        return await asyncio.to_thread(spill_at_once, session.info, row, values)
    return spill_at_once(session.info, row, values)


def spill_at_once(info: Mapping[Any, Any], row: Step | PlainStep | Thread, values: Mapping[str, Any]) -> dict[str, Any]:
    """Do as `spill` does. Blocks where a value is too large: call it in a thread."""
    store: PayloadStore | None = info.get(STORE)
    if store is None:
        return dict(values)
    references = {name: kept for name, kept in (row.payloads or {}).items() if name not in values}
    kept = {}
    for name, value in values.items():
        kept[name] = value
        if json_text.size(value) > store.limit(name):
            content = json_text.dumps(value).encode()
            references[name] = {"digest": store.write(row, content), "bytes": len(content)}
            kept[name] = preview(value)
    if references != (row.payloads or {}):
        row.payloads = references or None
    return kept


async def fill(session: AsyncSession, rows: Iterable[Step | Thread], *, limited: bool = True) -> None:
    """Give rows their whole values back: the database does not hear of it.

    Where it is `limited`, a session reads as many bytes as `max_read_bytes`; beyond that the previews stay, which say
    what is missing. Who goes on to change a row reads without that limit.
    """
    store: PayloadStore | None = session.info.get(STORE)
    for row in rows if store else ():
        whole = {}
        for name, reference in (row.payloads or {}).items():
            used = session.info.get("payload_bytes", 0) + reference["bytes"]
            if store is not None and (not limited or used <= store.max_read_bytes):
                session.info["payload_bytes"] = used
                if (content := await _content(store, row, reference["digest"])) is not None:
                    whole[name] = json_text.loads(content)
        for name, value in whole.items():
            if not name.startswith(GENERATION):
                set_committed_value(row, "metadata_" if name == "metadata" else name, value)
        generation = {k.removeprefix(GENERATION): v for k, v in whole.items() if k.startswith(GENERATION)}
        if generation and isinstance(row, Step):
            set_committed_value(row, "generation", {**(row.generation or {}), **generation})


async def read_one(session: AsyncSession, row: Step | Thread, name: str) -> bytes | None:
    """Answer the JSON of a value that lies in a file, None when none of this name does."""
    store: PayloadStore | None = session.info.get(STORE)
    reference = (row.payloads or {}).get(name)
    if store is None or reference is None:
        return None
    return await _content(store, row, reference["digest"])


async def value_of(session: AsyncSession, step: Step, name: str) -> bytes | None:
    """Answer the whole JSON of a value of a step, wherever it lies; None when there is none of this name."""
    kept = await read_one(session, step, name)
    if kept is not None or name not in _OWN:
        return kept
    own = getattr(step, _OWN[name])
    return None if own is None else json_text.dumps(own).encode()


async def beginning(session: AsyncSession, row: Step | Thread, name: str, characters: int) -> str | None:
    """Answer the first characters of the JSON of a value that lies in a file, None when none of this name does."""
    store: PayloadStore | None = session.info.get(STORE)
    reference = (row.payloads or {}).get(name)
    if store is None or reference is None:
        return None
    try:
        content = await asyncio.to_thread(store.read, row, reference["digest"], 4 * characters)
    except OSError:  # its preview is in the row
        return None
    return content.decode("utf-8", "ignore")[:characters]


async def _content(store: PayloadStore, row: Step | Thread, digest: str) -> bytes | None:
    try:
        return await asyncio.to_thread(store.read, row, digest)
    except OSError:  # a thread with a lost file is read with the beginning of it, not refused
        logger.exception("A value of %s %s cannot be read from its file.", row.__tablename__, row.id)
        return None


def preview(value: Any) -> Any:
    """Answer the beginning of a value, of the same shape."""
    return _cut(value, [_PREVIEW_CHARACTERS])


def _cut(value: Any, room: list[int]) -> Any:
    if isinstance(value, str):
        kept = value[: max(0, min(_PREVIEW_TEXT, room[0]))]
        room[0] -= len(kept)
        missing = len(value) - len(kept)
        return f"{kept}… ({missing:,} more characters are stored)" if missing else kept
    if isinstance(value, dict):
        items = list(value.items())[:_PREVIEW_ITEMS]
        return {_cut(key, room): _cut(child, room) for key, child in items if room[0] > 0}
    if isinstance(value, list):
        return [_cut(child, room) for child in value[:_PREVIEW_ITEMS] if room[0] > 0]
    room[0] -= 10
    return value
