"""The folder that everything lies in: made with tight permissions, used by one process, home of key and secrets."""

import os
import secrets
from pathlib import Path

from filelock import FileLock, Timeout

from literal_server.errors import DataFolderInUse
from literal_server.settings import ServerSettings

__all__ = [
    "DataFolderInUse",
    "file_secret",
    "initial_api_key",
    "key_file",
    "lock_data_folder",
    "make_data_folder",
    "sync",
]

KEY_FILE = "literal-api-key"
FILE_SECRET = "file-secret"  # noqa: S105 - the name of a file
LOCK_FILE = "in-use.lock"


def make_data_folder(path: Path) -> None:
    """Make the folder, readable by its owner alone; one that is there already is left as it is."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def lock_data_folder(path: Path, seconds: float = 0, *, and_forks: bool = False) -> FileLock:
    """Make the folder and take it for this process until the lock is released or the process ends.

    Keep the returned lock: the folder is free again when it is collected. One that is taken is waited for, `seconds`
    at most. With `and_forks` it stays taken until the processes have ended, too, that are forked while it is held.
    Raises DataFolderInUse when another lock is held on it.
    """
    make_data_folder(path)
    # In a fork the lock closes its own descriptor; another one of the same open file holds the lock there.
    lock = FileLock(path / LOCK_FILE, thread_local=False, mode=0o600, on_acquired=_keep_open if and_forks else None)
    try:
        lock.acquire(timeout=seconds)
    except Timeout as error:
        raise DataFolderInUse(
            f"The data folder {path} is in use by another process. Stop that one, or set DATA_DIR to another folder."
        ) from error
    return lock


def _keep_open(descriptor: int) -> None:
    os.dup(descriptor)  # closed by the end of the process alone


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before anything goes on. Blocks: call it in a thread."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def key_file(settings: ServerSettings) -> Path:
    """The file that holds the API key made at first start."""
    return settings.data_dir / KEY_FILE


def initial_api_key(settings: ServerSettings) -> str:
    """Answer the key of the settings, else that of the key file, which is made (mode 0600) if it is missing."""
    if settings.api_key is not None and settings.api_key.get_secret_value():
        return settings.api_key.get_secret_value()
    return _lasting(key_file(settings), "lsk_")


def file_secret(settings: ServerSettings) -> bytes:
    """Answer what addresses of files are signed with; removing its file ends all those that are out."""
    return _lasting(settings.data_dir / FILE_SECRET).encode()


def _lasting(path: Path, prefix: str = "") -> str:
    make_data_folder(path.parent)
    if not path.exists():
        _write_new_secret(path, prefix)
    return path.read_text(encoding="ascii").strip()


def _write_new_secret(path: Path, prefix: str) -> None:
    # Written beside and linked into place, so that two starts at once agree on one text and nobody reads half of it.
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{prefix}{secrets.token_urlsafe(32)}\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
