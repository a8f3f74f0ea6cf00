"""Several people on one app: who they are, and browsers and tabs in which they are signed in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from logins import PasswordFile, new_login
from tests.app_process import AppProcess, Launch
from tests.chat_client import ChatTab

REVIEWERS = ("rev",)
KEY = "process-secret-word"


def password_of(name: str) -> str:
    """Return the password that the tests have given somebody."""
    return f"{name}'s own password"


def let_in(data: Path, *names: str) -> PasswordFile:
    """Write people into the password file of a data folder."""
    file = PasswordFile(data)
    with file.change() as logins:
        for name in names:
            logins[name] = new_login(password_of(name), "reviewer" if name in REVIEWERS else "user")
    return file


def start_with(launch: Launch, data: Path, *names: str, **settings: str) -> AppProcess:
    """Start the app with a password file that holds these people."""
    let_in(data, *names)
    return AppProcess(data, settings={"PROCESS_API_KEY": KEY, **settings}, launch=launch).start()


@contextmanager
def signed_in(app: AppProcess, name: str) -> Iterator[httpx.Client]:
    """Give a browser in which somebody has signed in."""
    with httpx.Client(base_url=app.url, timeout=30) as http:
        http.post("/login", data={"username": name, "password": password_of(name)}).raise_for_status()
        yield http


def tab_of(app: AppProcess, name: str, thread_id: str | None = None) -> ChatTab:
    """Return a tab of somebody's browser."""
    return ChatTab(app.url, thread_id, login=(name, password_of(name)))
