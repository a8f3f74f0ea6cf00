"""`python -m literal_server`: serve on an address of its own, or bring the database to the newest form."""

import argparse
import asyncio
import ipaddress
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from literal_server import auth
from literal_server.app import create_app
from literal_server.data_folder import initial_api_key, key_file, lock_data_folder
from literal_server.db import Database
from literal_server.errors import DataFolderInUse
from literal_server.guard import Guard
from literal_server.settings import ServerSettings


class Environment(BaseSettings):
    """What the environment and a `.env` file say; nothing else of the package reads them."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    host: str = "127.0.0.1"
    port: int = 3000
    data_dir: Path = Path("data")
    literal_api_key: SecretStr | None = None
    public_url: str | None = None
    chat_url: str | None = None
    dashboard_user: str = "admin"
    dashboard_password: SecretStr | None = None

    def server_settings(self) -> ServerSettings:
        """The part of it that the server is told."""
        return ServerSettings(
            data_dir=self.data_dir, api_key=self.literal_api_key, public_url=self.public_url, chat_url=self.chat_url
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; answers the exit code of the process."""
    parser = argparse.ArgumentParser(prog="python -m literal_server", description=__doc__)
    parser.add_argument("command", nargs="?", default="serve", choices=["serve", "migrate"])
    command = parser.parse_args(arguments).command
    try:
        environment = Environment()
        with lock_data_folder(environment.data_dir):
            return serve(environment) if command == "serve" else migrate(environment)
    except (DataFolderInUse, ValidationError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


def migrate(environment: Environment) -> int:
    """Bring the tables to the newest form."""
    path = environment.server_settings().database_path

    async def work() -> None:
        database = Database(path)
        await database.migrate()
        await database.close()

    asyncio.run(work())
    print(f"{path} has the newest form.")
    return 0


def serve(environment: Environment) -> int:
    """Serve until the process is told to stop. Raises ValueError when a setting is missing or makes no sense."""
    password = environment.dashboard_password
    if not is_loopback(environment.host) and password is None:
        raise ValueError(
            f"HOST={environment.host} opens the server to other machines: set DASHBOARD_PASSWORD, "
            "the password for its pages (DASHBOARD_USER, default admin, is the name), or keep HOST=127.0.0.1."
        )
    settings = environment.server_settings()
    door = auth.basic_login(environment.dashboard_user, password.get_secret_value()) if password else None
    guarded = Guard(create_app(settings, door), public_url=environment.public_url)
    initial_api_key(settings)
    print(f"Verbatim's Literal server: {environment.public_url or _address(environment)}")
    print(f"The API key is {'that of LITERAL_API_KEY' if settings.api_key else f'in {key_file(settings).resolve()}'}.")
    # Forwarding headers are not believed: whether a request is local is decided by its peer.
    uvicorn.run(guarded, host=environment.host, port=environment.port, proxy_headers=False, log_level="info")
    return 0


def is_loopback(host: str) -> bool:
    """Say whether a bind address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(environment: Environment) -> str:
    host = f"[{environment.host}]" if ":" in environment.host else environment.host
    return f"http://{host}:{environment.port}"


if __name__ == "__main__":
    raise SystemExit(main())
