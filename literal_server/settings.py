"""The settings of one server: a frozen value that the starting program fills."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError


class Limits(BaseModel):
    """How much a server takes and gives: sizes are bytes, the others are counts."""

    max_body_bytes: int = Field(32 * 1024 * 1024, ge=1)
    max_metadata_bytes: int = Field(1024 * 1024, ge=1)
    max_payload_bytes: int = Field(3 * 1024 * 1024, ge=1)
    max_read_bytes: int = Field(64 * 1024 * 1024, ge=0)
    max_file_bytes: int = Field(100 * 1024 * 1024, ge=1)
    max_batch: int = Field(1_000, ge=1)
    max_queries: int = Field(50, ge=1)
    max_fields: int = Field(500, ge=1)
    max_depth: int = Field(15, ge=1)
    max_id_length: int = Field(1_000, ge=1)
    max_document_tokens: int = Field(200_000, ge=1)
    max_nesting: int = Field(200, ge=1)
    max_cached_documents: int = Field(256, ge=1)
    default_page_size: int = Field(50, ge=1)
    max_page_size: int = Field(1_000, ge=1)


class ServerSettings(Limits):
    """What a server is told when it is made; run alone, it is told by environment variables of the same names.

    `public_url` is the address that browsers use (scheme and host), None on a machine of one's own.
    `mounted_at` is the path under which an application that embeds the server has mounted it, such as "/literal".
    `chat_url` is a template such as "/thread/{thread_id}": where a thread goes on in the chat.
    With `metrics_token` the metrics are for who shows it, without one for this machine.
    What is deleted is purged after `purge_after_days`.
    """

    model_config = ConfigDict(frozen=True)

    data_dir: Path
    api_key: SecretStr | None = None
    public_url: str | None = None
    mounted_at: str = ""
    project_name: str = "verbatim"
    chat_url: str | None = None
    metrics_token: SecretStr | None = None
    purge_after_days: int = Field(30, ge=0)

    @property
    def files_dir(self) -> Path:
        """The folder of uploaded files."""
        return self.data_dir / "files"

    @property
    def payloads_dir(self) -> Path:
        """The folder of the values that are too large for a row."""
        return self.data_dir / "payloads"

    @property
    def database_path(self) -> Path:
        """The SQLite file in the data folder."""
        return self.data_dir / "literal.db"

    @property
    def search_path(self) -> Path:
        """The SQLite file of the full text index, which is made anew from the other one when it is missing."""
        return self.data_dir / "search.db"


def explain(error: ValidationError) -> str:
    """Say which settings are wrong and why, in a line without pydantic's own words about itself."""
    reasons = [
        str(one["ctx"]["error"]) if one["type"] == "value_error" else f"{str(one['loc'][0]).upper()}: {one['msg']}."
        for one in error.errors()
    ]
    return " ".join(reasons)
