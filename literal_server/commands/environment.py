"""What the environment and a `.env` file say to the commands; nothing else of the package reads them."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from literal_server.settings import ServerSettings


class Environment(BaseSettings, ServerSettings):
    """All settings of a server that runs alone; their names are the fields' in capitals (LITERAL_API_KEY: the key)."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True, frozen=True)

    data_dir: Path = Path("data")
    api_key: SecretStr | None = Field(None, validation_alias="LITERAL_API_KEY")

    host: str = "127.0.0.1"
    port: int = Field(3000, ge=0, le=65_535)
    dashboard_user: str = "admin"
    dashboard_password: SecretStr | None = None
    log_format: Literal["text", "json"] = "text"
