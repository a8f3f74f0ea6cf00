"""What the tests of the outbox share: a server to send to, and a file to keep."""

from pathlib import Path

import pytest

from tests.recording.outbox_server import Server


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"
