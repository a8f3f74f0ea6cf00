"""Uploaded files: addresses signed to put or to read one file each, and the bytes in a folder under ids of ours."""

import base64
import contextlib
import filecmp
import hashlib
import hmac
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlencode

from sqlalchemy import and_, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock
from literal_server.data_folder import sync
from literal_server.errors import Refused
from literal_server.tables import Attachment, Step, StoredFile

UPLOAD_MICROSECONDS = 15 * 60 * 1_000_000
UNKNOWN_TYPE = "application/octet-stream"
ROUTE = "/api/verbatim/files"
READ_PREFIX = f"{ROUTE}/"
# Pictures that are only pictures: nothing in them can run.
PICTURES = {f"image/{kind}" for kind in ("png", "jpeg", "gif", "webp", "avif", "bmp")}
MISSING_KEY = "files/00000000-0000-0000-0000-000000000000"  # the key of no file

_IDS_AT_ONCE = 1_000

# A file that is being written, and how long one may be without a change before nobody writes it any more.
_DRAFT, _DRAFT_SECONDS = ".draft-", 24 * 60 * 60

_IDENTITY = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = re.compile(rf"files/({_IDENTITY})")
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,99}")


@dataclass(frozen=True)
class Ticket:
    """The permission to put one file: for whom, under which id, as what type, until when, how large (bytes)."""

    project: str
    id: str
    mime: str
    expires: int
    limit: int


@dataclass(frozen=True)
class FileStore:
    """Where the files of a server lie, and the secret that makes its addresses unforgeable."""

    folder: Path
    secret: bytes

    def read_address(self, base: str, project: str, key: str | None) -> str | None:
        """Answer the lasting address under which browsers read a file, None for a key that is none of ours."""
        identity = identity_of(key)
        if identity is None:
            return None
        query = urlencode({"signature": self._sign("read", project, identity)})
        return f"{base}{ROUTE}/{quote(project, safe='')}/{identity}?{query}"

    def may_read(self, project: str, identity: str, signature: str) -> bool:
        """Say whether this signature opens this file."""
        return hmac.compare_digest(self._sign("read", project, identity).encode(), signature.encode())

    def upload_address(self, base: str, ticket: Ticket) -> str:
        """Answer the address that takes the ticket's file."""
        fields = {"type": ticket.mime, "expires": ticket.expires, "limit": ticket.limit}
        query = urlencode(fields | {"signature": self._sign_ticket(ticket)})
        return f"{base}{ROUTE}/{quote(ticket.project, safe='')}/{ticket.id}?{query}"

    def read_ticket(self, project: str, identity: str, query: Mapping[str, str], now: int) -> Ticket:
        """Take the ticket out of an upload address. Raises Refused when it was not made here or is too old."""
        try:
            numbers = int(query.get("expires", "")), int(query.get("limit", ""))
        except ValueError:
            numbers = 0, 0
        ticket = Ticket(project, identity, query.get("type", ""), *numbers)
        if not hmac.compare_digest(self._sign_ticket(ticket).encode(), query.get("signature", "").encode()):
            raise Refused("This upload address was not made by this server. Ask /api/upload/file for one.")
        if now > ticket.expires:
            raise Refused("This upload address is no longer valid. Ask /api/upload/file for a new one.")
        return ticket

    def _sign_ticket(self, ticket: Ticket) -> str:
        parts = (ticket.project, ticket.id, ticket.mime, str(ticket.expires), str(ticket.limit))
        return self._sign("write", *parts)

    def _sign(self, *parts: str) -> str:
        # As JSON, so that no two lists of parts are the same text.
        mac = hmac.new(self.secret, json.dumps(parts).encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac.digest()).decode().rstrip("=")

    def path(self, identity: str) -> Path:
        """Answer where the file with this id lies. Raises Refused for an id that is none of ours."""
        if not re.fullmatch(_IDENTITY, identity):
            raise Refused("There is no such file.")
        return self.folder / identity[:2] / identity

    def put(self, identity: str, source: BinaryIO) -> int:
        """Write a file, whole or not at all, and answer its size. Blocks: call it in a thread.

        Raises Refused when there is one already with other bytes in it.
        """
        path = self.path(identity)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=_DRAFT) as draft:
            shutil.copyfileobj(source, draft)
            draft.flush()
            os.fsync(draft.fileno())
            try:
                os.link(draft.name, path)
            except FileExistsError:
                if not filecmp.cmp(draft.name, path, shallow=False):
                    raise Refused("This upload address was used already, for another file.") from None
            size = draft.tell()
        for folder in (path.parent, self.folder, self.folder.parent):
            sync(folder)
        return size

    def remove(self, identities: Sequence[str]) -> None:
        """Remove files for good; those that are not there are passed over. Blocks: call it in a thread."""
        for identity in identities:
            self.path(identity).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what uploads left that were cut off by the end of the process. Blocks: call it in a thread."""
        for draft in self.folder.glob(f"*/{_DRAFT}*"):
            with contextlib.suppress(FileNotFoundError):  # one that goes on may end right now
                if time.time() - draft.stat().st_mtime > _DRAFT_SECONDS:
                    draft.unlink()


def object_key(identity: str) -> str:
    """Answer the name under which attachments know a stored file."""
    return f"files/{identity}"


def identity_of(key: str | None) -> str | None:
    """Answer the id of the stored file that attachments know under this name, None for a name that is none of ours."""
    match = _KEY.fullmatch(key or "")
    return match[1] if match else None


def media_type(given: object) -> str:
    """Answer a plain media type without parameters; what is none becomes `application/octet-stream`."""
    text = given.partition(";")[0].strip().lower() if isinstance(given, str) else ""
    return text if _TYPE.fullmatch(text) else UNKNOWN_TYPE


async def record(session: AsyncSession, ticket: Ticket, size: int) -> None:
    """Note that the ticket's file is there."""
    if await session.get(StoredFile, (ticket.project, ticket.id)) is None:
        session.add(
            StoredFile(project_id=ticket.project, id=ticket.id, mime=ticket.mime, size=size, created_at=clock.now())
        )


async def find(session: AsyncSession, project: str, identity: str) -> tuple[StoredFile, str | None] | None:
    """Answer a file with the name its attachment gives it, None when there is none or its attachments are deleted."""
    stored = await session.get(StoredFile, (project, identity))
    if stored is None:
        return None
    named = select(Attachment.name, Attachment.deleted_at).where(
        Attachment.project_id == project, Attachment.object_key == object_key(identity)
    )
    attachments = (await session.execute(named)).all()
    living = [name for name, deleted_at in attachments if deleted_at is None]
    if attachments and not living:
        return None
    return stored, next(filter(None, living), None)


async def is_of_thread(session: AsyncSession, project: str, identity: str, thread_id: str) -> bool:
    """Say whether a living attachment of this thread names the file."""
    here = (Attachment.project_id == project, Attachment.object_key == object_key(identity))
    of_step = and_(Step.project_id == project, Step.id == Attachment.step_id, Step.thread_id == thread_id)
    named = select(Attachment.id).where(*here, Attachment.deleted_at.is_(None), exists().where(of_step))
    return await session.scalar(named.limit(1)) is not None


async def media_types(session: AsyncSession, project: str, keys: Sequence[str]) -> dict[str, str]:
    """Answer by object key what each stored file is; those that never arrived are left out."""
    identities = [match[1] for key in keys if (match := _KEY.fullmatch(key))]
    found: dict[str, str] = {}
    for start in range(0, len(identities), _IDS_AT_ONCE):
        here = (StoredFile.project_id == project, StoredFile.id.in_(identities[start : start + _IDS_AT_ONCE]))
        for row in await session.execute(select(StoredFile.id, StoredFile.mime).where(*here)):
            found[object_key(row.id)] = row.mime
    return found


async def forget(session: AsyncSession, project: str, keys: Sequence[str]) -> list[str]:
    """Forget the stored files among these object keys that no attachment names any more; answers their ids.

    For the purge, once its attachments are gone: when this is committed, hand the ids to `FileStore.remove`.
    """
    identities = {match[1] for key in keys if (match := _KEY.fullmatch(key))}
    forgotten = []
    for identity in sorted(identities):
        stored = await session.get(StoredFile, (project, identity))
        still = select(Attachment.id).where(
            Attachment.project_id == project, Attachment.object_key == object_key(identity)
        )
        if stored is not None and await session.scalar(still.limit(1)) is None:
            await session.delete(stored)
            forgotten.append(identity)
    return forgotten
