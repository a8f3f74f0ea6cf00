"""Projects: the workspaces of one server, told apart by the key that a client shows."""

import secrets
import string

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock
from literal_server.errors import Refused
from literal_server.tables import Project

_SLUG_LETTERS = string.ascii_letters + string.digits
_LONGEST_NAME = 64


async def all_projects(session: AsyncSession) -> list[Project]:
    """Answer every project, the oldest first: that one is the server's own."""
    return list(await session.scalars(select(Project).order_by(Project.created_at, Project.id)))


async def create(session: AsyncSession, name: str) -> Project:
    """Make a project, its id a slug of its name and twelve random characters.

    Raises Refused when the name is taken, or cannot stand in an address.
    """
    if not name or len(name) > _LONGEST_NAME or set(name) - set(_SLUG_LETTERS + "-_"):
        raise Refused(f"A project's name is 1 to {_LONGEST_NAME} letters, digits, dashes and underscores.")
    if any(name in (one.name, one.id) for one in await all_projects(session)):
        raise Refused(f"There is a project {name!r} already.")
    slug = f"{name}-{''.join(secrets.choice(_SLUG_LETTERS) for _ in range(12))}"
    project = Project(id=slug, name=name, created_at=clock.now())
    session.add(project)
    return project


async def named(session: AsyncSession, name: str | None) -> Project:
    """Answer the project with this id or name; without one the only project there is. Raises Refused."""
    found = await all_projects(session)
    fitting = [one for one in found if name is None or name in (one.id, one.name)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(one.name for one in found) or "none"
    if name is None:
        raise Refused(f"Say which project with --project; there are {names}.")
    raise Refused(f"There is no project {name!r}; there are {names}.")
