"""The data folder: tight permissions, one user at a time, a key that stays."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from literal_server.data_folder import DataFolderInUse, initial_api_key, key_file, lock_data_folder
from literal_server.settings import ServerSettings

TAKE_AND_WAIT = """
import sys
from pathlib import Path
from literal_server.data_folder import lock_data_folder
lock = lock_data_folder(Path(sys.argv[1]))
print("taken", flush=True)
sys.stdin.read()
"""


def test_folder_is_for_its_owner(tmp_path: Path) -> None:
    """A folder that is made is closed to others."""
    lock = lock_data_folder(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    lock.release()


def test_second_process_is_turned_away(tmp_path: Path) -> None:
    """Another process that holds the folder is named as the reason, and its end frees the folder."""
    command = [sys.executable, "-c", TAKE_AND_WAIT, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"taken\n"
        with pytest.raises(DataFolderInUse, match="in use by another process"):
            lock_data_folder(tmp_path)
        other.kill()
        other.wait()
    lock_data_folder(tmp_path).release()


def test_key_is_made_once(tmp_path: Path) -> None:
    """The first start makes a key for the owner's eyes, later starts read it."""
    settings = ServerSettings(data_dir=tmp_path / "data")
    key = initial_api_key(settings)
    assert key.startswith("lsk_")
    assert key_file(settings).stat().st_mode & 0o777 == 0o600
    assert initial_api_key(settings) == key


def test_given_key_is_taken(tmp_path: Path) -> None:
    """A key of the settings is used and none is written."""
    settings = ServerSettings(data_dir=tmp_path / "data", api_key=SecretStr("my-initial-api-key"))
    assert initial_api_key(settings) == "my-initial-api-key"
    assert not key_file(settings).exists()
