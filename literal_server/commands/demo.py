"""`demo-data`: a project that one can look around in."""

import argparse
import asyncio

from literal_server import clock, projects
from literal_server.commands.access import add_project_option
from literal_server.commands.environment import Environment
from literal_server.commands.store import file_store, opened
from literal_server.demo.fill import fill


def add_demo_data(parser: argparse.ArgumentParser) -> None:
    """Describe `demo-data`."""
    parser.epilog = (
        "A second time adds nothing. Everything carries the metadata demo: true; another seed adds other threads."
    )
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="which data (default: 1)")
    add_project_option(parser)
    parser.set_defaults(run=_demo_data)


def _demo_data(environment: Environment, arguments: argparse.Namespace) -> int:
    async def work() -> None:
        async with opened(environment) as database:
            async with database.reading() as session:
                project = await projects.named(session, arguments.project)
            added = await fill(database, file_store(environment), project, arguments.seed, clock.now())
        told = ", ".join(f"{count} {kind.replace('_', ' ')}s" for kind, count in added.items() if count)
        print(f"Added to the project {project.name}: {told or 'nothing, it is all there'}.")

    asyncio.run(work())
    return 0
