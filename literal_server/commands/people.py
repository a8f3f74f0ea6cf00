"""`users`: who may read the pages of a server that runs alone."""

import argparse
import getpass
import sys
from typing import get_args

from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, users
from literal_server.commands.access import day, table, write
from literal_server.commands.environment import Environment
from literal_server.errors import Refused

_ROLES = "user: the threads recorded under the own name; reviewer and admin: everybody's (default: reviewer)"


def add_users(parser: argparse.ArgumentParser) -> None:
    """Describe `users`."""
    parser.epilog = (
        "The password is asked for, or read as a line from a pipe. Changes hold at once in a running server."
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, does, run in (
        ("add", "let somebody read the pages", _add),
        ("list", "list who may read the pages", _list),
        ("role", "change what somebody may see", _role),
        ("password", "give somebody a new password", _password),
        ("remove", "let somebody in no more", _remove),
    ):
        action = actions.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
        action.set_defaults(run=run)
        if run is not _list:
            action.add_argument("name", metavar="NAME")
        if run is _add:
            action.add_argument("--role", choices=get_args(users.Role), default="reviewer", help=_ROLES)
        if run is _role:
            action.add_argument("role", choices=get_args(users.Role), help=_ROLES)


def _add(environment: Environment, arguments: argparse.Namespace) -> int:
    password = _ask_password()

    async def work(session: AsyncSession) -> None:
        user = await users.add(session, arguments.name, password, arguments.role)
        print(f"{user.name} may read the pages as {user.role}.")

    return write(environment, work)


def _list(environment: Environment, _arguments: argparse.Namespace) -> int:
    async def work(session: AsyncSession) -> None:
        found = await users.all_users(session)
        table(("NAME", "ROLE", "CREATED"), [(user.name, user.role, day(user.created_at)) for user in found])

    return write(environment, work)


def _role(environment: Environment, arguments: argparse.Namespace) -> int:
    async def work(session: AsyncSession) -> None:
        user = await users.named(session, arguments.name)
        user.role, user.updated_at = arguments.role, clock.now()
        print(f"{user.name} is {user.role} now.")

    return write(environment, work)


def _password(environment: Environment, arguments: argparse.Namespace) -> int:
    digest = users.hashed(_ask_password())

    async def work(session: AsyncSession) -> None:
        user = await users.named(session, arguments.name)
        user.hash, user.updated_at = digest, clock.now()
        print(f"{user.name} has a new password.")

    return write(environment, work)


def _remove(environment: Environment, arguments: argparse.Namespace) -> int:
    async def work(session: AsyncSession) -> None:
        user = await users.named(session, arguments.name)
        await session.delete(user)
        print(f"{user.name} is let in no more.")

    return write(environment, work)


def _ask_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise Refused("The two are not the same. Nothing was changed.")
    return password
