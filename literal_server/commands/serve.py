"""`serve`: the server on an address of its own. `migrate`: the database brought to the newest form."""

import argparse
import asyncio
import logging
import signal
import sys

import uvicorn

from literal_server import files, logs, users
from literal_server.app import create_app
from literal_server.collector import spare_the_collector
from literal_server.commands.environment import Environment
from literal_server.commands.store import opened
from literal_server.data_folder import file_secret, initial_api_key, key_file, lock_data_folder
from literal_server.db import Database
from literal_server.errors import ServerError
from literal_server.guard import Guard, is_loopback_name
from literal_server.sign_in import SignIn

logger = logging.getLogger(__name__)


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Describe `serve`, which takes no arguments: everything about it is a setting."""
    parser.set_defaults(run=serve)


def add_migrate(parser: argparse.ArgumentParser) -> None:
    """Describe `migrate`."""
    parser.set_defaults(run=migrate)


def serve(environment: Environment, _arguments: argparse.Namespace) -> int:
    """Serve until the process is told to stop. Raises ServerError when a setting is missing or makes no sense."""
    password = environment.dashboard_password
    if not is_loopback_name(environment.host) and password is None and not asyncio.run(_has_users(environment)):
        raise ServerError(
            f"HOST={environment.host} opens the server to other machines: let somebody in by name and password with "
            "`users add`, or set DASHBOARD_PASSWORD (DASHBOARD_USER is its name), or keep HOST=127.0.0.1."
        )
    with lock_data_folder(environment.data_dir):
        given, secret = password.get_secret_value() if password else None, file_secret(environment)
        door = SignIn(environment.dashboard_user, given, secret, environment.mounted_at)
        app = create_app(environment, door)
        guarded = Guard(app, public_url=environment.public_url, open_to_read=(files.READ_PREFIX,))
        initial_api_key(environment)
        where = f"in {key_file(environment).resolve()}"
        logs.configure(environment.log_format)
        logger.info("Verbatim's Literal server: %s", environment.public_url or _address(environment))
        logger.info("The API key is %s.", "that of LITERAL_API_KEY" if environment.api_key else where)
        # uvicorn ends in order on this signal, and then raises it again.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        spare_the_collector()
        # Forwarding headers are not believed: whether a request is local is decided by its peer.
        uvicorn.run(
            guarded,
            host=environment.host,
            port=environment.port,
            proxy_headers=False,
            log_config=None,
            access_log=False,  # the application writes its own, without queries and with projects
        )
    return 0


def migrate(environment: Environment, _arguments: argparse.Namespace) -> int:
    """Bring the tables to the newest form."""

    async def work() -> None:
        database = Database(environment.database_path)
        await database.migrate()
        await database.close()

    with lock_data_folder(environment.data_dir):
        asyncio.run(work())
    print(f"{environment.database_path} has the newest form.")
    return 0


async def _has_users(environment: Environment) -> bool:
    async with opened(environment) as database, database.reading() as session:
        return bool(await users.all_users(session))


def _address(environment: Environment) -> str:
    host = f"[{environment.host}]" if ":" in environment.host else environment.host
    return f"http://{host}:{environment.port}"
