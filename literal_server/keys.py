"""API keys: what programs show to get into one project; made, listed, revoked, and known to the running server."""

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, projects
from literal_server.db import Database
from literal_server.errors import Refused
from literal_server.tables import ApiKey, Project

logger = logging.getLogger(__name__)

# The key that the server is told by its settings, or that lies in its data folder.
INITIAL = "initial"
REFRESH_SECONDS = 0.5
_LONGEST_NAME = 64
_SHORT = 12


def digest_of(key: str) -> str:
    """The form in which a key is kept: keys are long and random, so a plain hash is enough."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def short_id(key: ApiKey) -> str:
    """The id by which a person names a key: the beginning of its digest, which tells nothing about the key."""
    return key.digest[:_SHORT]


class KeyRing:
    """The keys that open a project, by digest."""

    def __init__(self, projects: Mapping[str, str]) -> None:
        self.projects = projects

    @classmethod
    async def load(cls, session: AsyncSession) -> "KeyRing":
        """Read the keys that are not revoked."""
        return cls(await _living(session))

    def project_of(self, key: str | None) -> str | None:
        """Answer the project that a key opens; it takes the same time whether and where a key matches."""
        given = digest_of(key or "")
        found = None
        for digest, project in self.projects.items():
            if hmac.compare_digest(digest, given) and key:
                found = project
        return found

    @asynccontextmanager
    async def following(self, database: Database) -> AsyncIterator[None]:
        """Keep up with keys that commands make and revoke beside the running server, within a second."""
        task = asyncio.create_task(self._follow(database))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self, database: Database) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                async with database.reading() as session:
                    self.projects = await _living(session)
            except SQLAlchemyError:
                logger.exception("The API keys could not be read again; those known before still hold.")


async def _living(session: AsyncSession) -> dict[str, str]:
    rows = await session.execute(select(ApiKey.digest, ApiKey.project_id).where(ApiKey.revoked_at.is_(None)))
    return {row.digest: row.project_id for row in rows}


async def create(session: AsyncSession, project: Project, name: str) -> str:
    """Make a key under a name that no living key of the project has, and answer it; it cannot be read again.

    Raises Refused.
    """
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise Refused(f"A key's name is 1 to {_LONGEST_NAME} printable characters.")
    if name == INITIAL:
        raise Refused(f"The name {INITIAL!r} is that of the key which the server is told by its settings.")
    taken = (ApiKey.project_id == project.id, ApiKey.name == name, ApiKey.revoked_at.is_(None))
    if await session.scalar(select(ApiKey).where(*taken)) is not None:
        raise Refused(f"The project {project.name} has a key named {name!r} already; revoke it first.")
    key = f"lsk_{secrets.token_urlsafe(32)}"
    session.add(ApiKey(digest=digest_of(key), project_id=project.id, name=name, created_at=clock.now()))
    return key


async def all_keys(session: AsyncSession, project: Project | None = None) -> list[ApiKey]:
    """Answer the keys of a project or of all, revoked ones too, in the order in which they were made."""
    query = select(ApiKey).order_by(ApiKey.created_at, ApiKey.digest)
    return list(await session.scalars(query.where(ApiKey.project_id == project.id) if project else query))


async def revoke(session: AsyncSession, name: str, project: Project | None = None) -> ApiKey:
    """Revoke the living key with this name or id. Raises Refused when there is none, or more than one."""
    living = [key for key in await all_keys(session, project) if key.revoked_at is None]
    fitting = [key for key in living if name in (key.name, short_id(key))]
    if not fitting:
        raise Refused(f"There is no living key with the name or id {name!r}.")
    if len(fitting) > 1:
        raise Refused(f"{len(fitting)} keys are named {name!r}: name one of {', '.join(map(short_id, fitting))}.")
    key = fitting[0]
    if key.name == INITIAL:
        raise Refused(
            "The initial key is what LITERAL_API_KEY says, else what the file literal-api-key in the data folder "
            "holds: set another one, or delete the file, and start the server again."
        )
    key.revoked_at = clock.now()
    return key


async def prepare_project(session: AsyncSession, name: str, key: str) -> str:
    """Make the first project if there is none and see that this key opens it, and no initial key before it does.

    Answers the project's id.
    """
    found = await projects.all_projects(session)
    project = found[0] if found else await projects.create(session, name)
    initial = await session.get(ApiKey, digest_of(key))
    if initial is None:
        session.add(ApiKey(digest=digest_of(key), project_id=project.id, name=INITIAL, created_at=clock.now()))
    else:
        initial.revoked_at = None
    others = (ApiKey.name == INITIAL, ApiKey.digest != digest_of(key), ApiKey.revoked_at.is_(None))
    await session.execute(update(ApiKey).where(*others).values(revoked_at=clock.now()))
    return project.id
