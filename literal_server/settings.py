"""The settings of one server: a frozen value that the starting program fills."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr


@dataclass(frozen=True)
class ServerSettings:
    """What a server is told when it is made.

    `public_url` is the address that browsers use (scheme and host), None on a machine of one's own.
    `chat_url` is a template such as "/thread/{thread_id}": where a thread goes on in the chat.
    Sizes are bytes, the other limits are counts.
    """

    data_dir: Path
    api_key: SecretStr | None = None
    public_url: str | None = None
    project_name: str = "verbatim"
    chat_url: str | None = None
    max_body_bytes: int = 32 * 1024 * 1024
    max_batch: int = 1_000
    max_document_tokens: int = 200_000
    max_nesting: int = 200
    max_cached_documents: int = 256
    default_page_size: int = 50
    max_page_size: int = 1_000

    @property
    def database_path(self) -> Path:
        """The SQLite file in the data folder."""
        return self.data_dir / "literal.db"
