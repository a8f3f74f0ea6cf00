"""Who may sign in: names, password hashes and roles, in one file of the data folder that its owner alone can read."""

import asyncio
import json
import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

logger = logging.getLogger(__name__)

FILE = "logins.json"
NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 1_000
HASHES_AT_ONCE = 2  # each takes 64 MB for as long as it works

Role = Literal["user", "reviewer", "admin"]
HASHER = PasswordHasher()


class LoginError(ValueError):
    """A name, a password or the file that holds them is not as it must be; its text says what is wrong."""


class Login(BaseModel):
    """What is known of one person; `stamp` is another one after each change of the password."""

    model_config = ConfigDict(frozen=True)

    hash: str
    role: Role
    stamp: str

    @property
    def sees_all(self) -> bool:
        """Whether this person may read everybody's conversations on the review pages."""
        return self.role != "user"


_LOGINS = TypeAdapter(dict[str, Login])


class PasswordFile:
    """The file, which programs beside the running app may change: it is read again as soon as it is another one."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._seen: Any = None
        self._logins: Mapping[str, Login] = {}

    def exists(self) -> bool:
        """Tell whether there is one, be it without any name in it."""
        return self.path.exists()

    def read(self) -> Mapping[str, Login]:
        """Return everybody in the file by name; nobody where there is no file. Raises LoginError."""
        try:
            status = self.path.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                self._logins = _LOGINS.validate_json(self.path.read_bytes())
                self._seen = seen
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            raise LoginError(f"The file {self.path} cannot be read: {type(error).__name__}.") from error
        return self._logins

    @contextmanager
    def change(self) -> Iterator[dict[str, Login]]:
        """Give everybody in the file for a change, which is kept whole or not at all. Raises LoginError."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock"), mode=0o600):
            logins = dict(self.read())
            yield logins
            draft = self.path.with_suffix(f".{secrets.token_hex(4)}")
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                json.dump({name: login.model_dump() for name, login in sorted(logins.items())}, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)


class Logins:
    """Checks passwords and sessions against the file, and against logins that the settings name.

    Args:
        file: the password file.
        fixed: logins by name that are not in the file and win over it.
    """

    def __init__(self, file: PasswordFile, fixed: Mapping[str, Login]) -> None:
        self._file = file
        self._fixed = fixed
        self._turns = asyncio.Semaphore(HASHES_AT_ONCE)
        self._nobody = HASHER.hash(secrets.token_hex())

    def find(self, name: str) -> Login | None:
        """Return what is known of a name; nobody is known while the file cannot be read."""
        if name in self._fixed:
            return self._fixed[name]
        try:
            return self._file.read().get(name)
        except LoginError as error:
            logger.error("Nobody of the password file is let in. %s", error)
            return None

    def session(self, name: str, stamp: str) -> Login | None:
        """Return the login that a session began with, None when its password has changed since or the name is gone."""
        login = self.find(name)
        return login if login and secrets.compare_digest(login.stamp.encode(), stamp.encode()) else None

    def name_of(self, typed: str) -> str:
        """Return the name as it is kept that somebody has typed."""
        return typed if typed in self._fixed else typed.strip().lower()

    async def check(self, name: str, password: str) -> Login | None:
        """Return the login that this password opens, or None.

        It takes as long for a name that nobody has as for a wrong password.
        """
        login = self.find(name)
        expected = login.hash if login else self._nobody
        async with self._turns:
            right = await asyncio.to_thread(_verify, expected, password)
        if login is None or not right:
            return None
        if name not in self._fixed and HASHER.check_needs_rehash(login.hash):
            await asyncio.to_thread(self._hash_anew, name, login, password)
        return login

    def _hash_anew(self, name: str, login: Login, password: str) -> None:
        """Keep the password under today's parameters; sessions go on."""
        with self._file.change() as logins:
            if logins.get(name) == login:
                logins[name] = login.model_copy(update={"hash": HASHER.hash(password)})


def _verify(expected: str, password: str) -> bool:
    if len(password) > LONGEST_PASSWORD:
        password = ""
    try:
        return HASHER.verify(expected, password.encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False


def new_login(password: str, role: Role) -> Login:
    """Return a login with a new stamp. Raises LoginError for a password that is too short or too long."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise LoginError(f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD:,} characters.")
    return Login(hash=HASHER.hash(password), role=role, stamp=secrets.token_hex(8))


def checked_name(typed: str) -> str:
    """Return a name as it is kept: in lower case. Raises LoginError for one that cannot be."""
    name = typed.strip().lower()
    if not NAME.fullmatch(name):
        raise LoginError(
            f"{typed!r} cannot be a name. One has 1 to 64 of the letters a to z, digits and . _ - @ +, "
            "and begins with a letter or a digit."
        )
    return name


def lasting_secret(path: Path) -> str:
    """Return the secret kept in a file that only its owner can read, made at first use, whole or not at all."""
    if not path.exists():
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
        draft.rename(path)
    return path.read_text().strip()
