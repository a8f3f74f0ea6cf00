"""`projects` and `keys`: the workspaces of the server, and what lets programs into them."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, keys, projects
from literal_server.commands.environment import Environment
from literal_server.commands.store import opened
from literal_server.tables import Project

Work = Callable[[AsyncSession], Awaitable[None]]


def add_projects(parser: argparse.ArgumentParser) -> None:
    """Describe `projects`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a project; then make it a key")
    create.add_argument("name", metavar="NAME", help="letters, digits, dashes and underscores")
    create.set_defaults(run=_create_project)
    actions.add_parser("list", help="list the projects").set_defaults(run=_list_projects)


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Describe `keys`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a key and show it, once")
    create.add_argument("name", metavar="NAME", help="what the key is for, such as the name of the program")
    create.set_defaults(run=_create_key)
    listed = actions.add_parser("list", help="list the keys: names and ids, never the keys themselves")
    listed.set_defaults(run=_list_keys)
    revoke = actions.add_parser("revoke", help="revoke a key; a running server refuses it within a second")
    revoke.add_argument("name", metavar="NAME_OR_ID", help="as `keys list` shows it")
    revoke.set_defaults(run=_revoke_key)
    for action in (create, listed, revoke):
        add_project_option(action)


def add_project_option(parser: argparse.ArgumentParser) -> None:
    """Describe `--project`."""
    parser.add_argument("--project", metavar="NAME", help="name or id; needed where there are several projects")


def _create_project(environment: Environment, arguments: argparse.Namespace) -> int:
    async def work(session: AsyncSession) -> None:
        project = await projects.create(session, arguments.name)
        print(
            f"Made the project {project.name} ({project.id}). Make it a key: keys create NAME --project {project.name}"
        )

    return write(environment, work)


def _list_projects(environment: Environment, _arguments: argparse.Namespace) -> int:
    async def work(session: AsyncSession) -> None:
        rows = [(one.name, one.id, day(one.created_at)) for one in await projects.all_projects(session)]
        table(("NAME", "ID", "CREATED"), rows)

    return write(environment, work)


def _create_key(environment: Environment, arguments: argparse.Namespace) -> int:
    made: list[tuple[str, Project]] = []

    async def work(session: AsyncSession) -> None:
        project = await projects.named(session, arguments.project)
        made.append((await keys.create(session, project, arguments.name), project))

    code = write(environment, work)
    # The key alone goes to the output, so that a script can catch it; and only once it is stored.
    key, project = made[0]
    print(f"A key for the project {project.name}. It is shown this once:", file=sys.stderr)
    print(key)
    return code


def _list_keys(environment: Environment, arguments: argparse.Namespace) -> int:
    async def work(session: AsyncSession) -> None:
        wanted = await projects.named(session, arguments.project) if arguments.project else None
        names = {one.id: one.name for one in await projects.all_projects(session)}
        rows = [
            (key.name, keys.short_id(key), names.get(key.project_id, key.project_id), day(key.created_at),
             f"revoked {day(key.revoked_at)}" if key.revoked_at else "in use")
            for key in await keys.all_keys(session, wanted)
        ]  # fmt: skip
        table(("NAME", "ID", "PROJECT", "CREATED", "STATE"), rows)

    return write(environment, work)


def _revoke_key(environment: Environment, arguments: argparse.Namespace) -> int:
    async def work(session: AsyncSession) -> None:
        wanted = await projects.named(session, arguments.project) if arguments.project else None
        key = await keys.revoke(session, arguments.name, wanted)
        print(f"Revoked the key {key.name} ({keys.short_id(key)}).")

    return write(environment, work)


def write(environment: Environment, work: Work) -> int:
    """Do a piece of work in one transaction, beside the server if one runs. Answers the exit code 0."""

    async def run() -> None:
        async with opened(environment) as database, database.writing() as session:
            await work(session)

    asyncio.run(run())
    return 0


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a head, in columns."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip())


def day(moment: int) -> str:
    """Write a moment as people read it in a list, in UTC."""
    return clock.format_time(moment)[:16].replace("T", " ")
