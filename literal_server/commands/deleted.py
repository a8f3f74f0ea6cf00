"""`restore` and `purge`: what was deleted brought back, or removed for good."""

import argparse
import asyncio

from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, deletions, projects, purge
from literal_server.commands.access import add_project_option, day, table, write
from literal_server.commands.environment import Environment
from literal_server.commands.store import opened
from literal_server.paging import PageRequest


def add_restore(parser: argparse.ArgumentParser) -> None:
    """Describe `restore`."""
    parser.epilog = (
        "A thread comes back with all that was deleted with it. Without an id, the deleted threads are listed."
    )
    parser.add_argument("id", metavar="ID", nargs="?", help="what to bring back")
    parser.add_argument("--kind", choices=[*deletions.KINDS], default="thread", help="what it is (default: thread)")
    add_project_option(parser)
    parser.set_defaults(run=_restore)


def add_purge(parser: argparse.ArgumentParser) -> None:
    """Describe `purge`."""
    parser.epilog = (
        "A running server does this by itself once an hour, for what was deleted PURGE_AFTER_DAYS ago. This command "
        "does not wait for that; the database file is then written anew, for which a running server waits."
    )
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--all", action="store_true", help="everything that is deleted, in all projects")
    chosen.add_argument("--days", metavar="N", type=int, help="what was deleted more than so many days ago")
    parser.set_defaults(run=_purge)


def _restore(environment: Environment, arguments: argparse.Namespace) -> int:
    async def work(session: AsyncSession) -> None:
        project = await projects.named(session, arguments.project)
        if arguments.id is not None:
            await deletions.restore(session, project.id, arguments.kind, arguments.id)
            print(f"The {arguments.kind} {arguments.id} is back.")
            return
        request = PageRequest(first=environment.max_page_size)
        page = await deletions.list_threads(session, project.id, environment, request)
        rows = [
            (
                one.id,
                day(one.deleted_at),
                day(one.deleted_at + environment.purge_after_days * purge.DAY),
                one.name or "",
            )
            for one in page.rows
            if one.deleted_at is not None
        ]
        table(("ID", "DELETED", "PURGED", "NAME"), rows)
        if page.has_next:
            print(f"… and more: {page.total} in all.")

    return write(environment, work)


def _purge(environment: Environment, arguments: argparse.Namespace) -> int:
    async def work() -> None:
        async with opened(environment) as database:
            if arguments.all:
                gone = await purge.purge_at_once(database)
            else:
                gone = await purge.purge(database, before=clock.now() + 1 - max(0, arguments.days) * purge.DAY)
        told = ", ".join(f"{count} {kind}" for kind, count in gone.items())
        print(f"Gone for good: {told or 'nothing'}.")

    asyncio.run(work())
    return 0
