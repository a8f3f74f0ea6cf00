"""The commands as a person types them, most of them while the server runs."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from literal_server.__main__ import COMMANDS
from tests.app_process import wait_until
from tests.literal_server.server_process import ServerProcess, done, run

KEY = "my-initial-api-key"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands") / "data"


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[ServerProcess]:
    started = ServerProcess(data, LITERAL_API_KEY=KEY)
    done(data, "projects", "create", "shop")
    yield started
    assert started.stop() == 0


def project_of(server: ServerProcess, key: str) -> httpx.Response:
    """Ask which project a key opens."""
    return httpx.post(f"{server.url}/api/my-project", json={}, headers={"x-api-key": key})


def test_keys_come_and_go_while_the_server_runs(server: ServerProcess, data: Path) -> None:
    """A key made by a command opens its project within a second or two, and no longer once it is revoked."""
    key = done(data, "keys", "create", "till", "--project", "shop").strip()
    wait_until(lambda: project_of(server, key).status_code == 200, 10, lambda: "The key is not known.")

    assert key.startswith("lsk_")
    assert project_of(server, key).json()["projectId"].startswith("shop-")
    assert project_of(server, KEY).json()["projectId"].startswith("verbatim-")
    shop = project_of(server, key).json()["projectId"]
    document = {"query": 'mutation { upsertThread(id: "sale", name: "A sale") { id } }'}
    httpx.post(f"{server.url}/api/graphql", json=document, headers={"x-api-key": key})
    assert "A sale" in httpx.get(f"{server.url}/projects/{shop}", follow_redirects=True).text
    assert "A sale" not in httpx.get(server.url, follow_redirects=True).text
    listed = done(data, "keys", "list", "--project", "shop")
    assert "till" in listed
    assert key not in listed
    done(data, "keys", "revoke", "till")
    wait_until(lambda: project_of(server, key).status_code == 401, 10, lambda: "The key still opens.")
    assert "revoked" in done(data, "keys", "list", "--project", "shop")
    assert key not in server.text()


PASSWORD = "correct horse battery"


def signed_in(server: ServerProcess, name: str, password: str) -> httpx.Client:
    """Sign in as a browser does."""
    browser = httpx.Client(base_url=server.url, headers={"origin": server.url}, follow_redirects=True)
    browser.post("/sign-in", data={"name": name, "password": password})
    return browser


def reads(browser: httpx.Client) -> bool:
    """Say whether the browser gets the list of threads, or the way to sign in."""
    answer = browser.get("/")
    assert answer.status_code == 200
    return answer.url.path.endswith("/logs/threads")


def test_people_come_and_go_while_the_server_runs(server: ServerProcess, data: Path) -> None:
    """With a first user the pages ask for names and passwords; each change holds at once."""
    anybody = httpx.Client(base_url=server.url, follow_redirects=True)
    assert reads(anybody)
    done(data, "users", "add", "Ada", given=f"{PASSWORD}\n")

    assert not reads(anybody)
    ada = signed_in(server, "ada", PASSWORD)
    assert [reads(ada), reads(signed_in(server, "ada", "wrong")), reads(signed_in(server, "bob", PASSWORD))] == [
        True,
        False,
        False,
    ]
    assert "reviewer" in done(data, "users", "list")
    done(data, "users", "role", "ada", "admin")
    assert "admin" in done(data, "users", "list")
    done(data, "users", "password", "ada", given="another long one\n")
    assert not reads(ada)
    ada = signed_in(server, "ada", "another long one")
    assert reads(ada)
    done(data, "users", "remove", "ada")
    assert reads(anybody)
    assert PASSWORD not in server.text()


def test_users_open_the_server_to_others(tmp_path: Path) -> None:
    """With a user the server may listen for other machines."""
    data = tmp_path / "data"
    done(data, "users", "add", "ada", given=f"{PASSWORD}\n")
    server = ServerProcess(data, HOST="0.0.0.0")

    assert reads(signed_in(server, "ada", PASSWORD))
    assert server.stop() == 0


def test_deleted_threads_come_back_or_go(server: ServerProcess, data: Path) -> None:
    """`restore` lists what is deleted and brings it back; `purge` ends it; both beside the running server."""
    headers = {"x-api-key": KEY}

    def ask(document: str) -> Any:
        return httpx.post(f"{server.url}/api/graphql", json={"query": document}, headers=headers).json()["data"]

    for name in ("one", "two"):
        ask(f'mutation {{ upsertThread(id: "{name}", name: "{name}!") {{ id }} }}')
        ask(f'mutation {{ deleteThread(id: "{name}") {{ id }} }}')
    own = ["--project", "verbatim"]
    assert "two!" in done(data, "restore", *own)
    assert done(data, "restore", "one", *own) == "The thread one is back.\n"
    assert ask('{ threadDetail(id: "one") { name } }') == {"threadDetail": {"name": "one!"}}
    assert done(data, "purge", "--days", "1") == "Gone for good: nothing.\n"
    assert done(data, "purge", "--all") == "Gone for good: 1 threads.\n"
    assert run(data, "restore", "two", *own).returncode == 2
    assert "one!" not in done(data, "restore", *own)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["keys", "create", "x"], "Say which project with --project; there are verbatim, shop"),
        (["keys", "create", "initial", "--project", "shop"], "told by its settings"),
        (["keys", "create", "", "--project", "shop"], "1 to 64 printable characters"),
        (["keys", "create", "x", "--project", "nowhere"], "There is no project 'nowhere'; there are verbatim"),
        (["keys", "revoke", "nothing"], "no living key with the name or id 'nothing'"),
        (["keys", "revoke", "initial"], "LITERAL_API_KEY"),
        (["projects", "create", "a/b"], "letters, digits, dashes"),
        (["projects", "create", "verbatim"], "already"),
        (["users", "add", "a b"], "A name has 1 to 64"),
        (["users", "add", "ada"], "A password has 10 to 1,000 characters"),
        (["users", "remove", "nobody"], "There is no user 'nobody'"),
        (["restore", "nothing", "--project", "shop"], "no deleted thread with the id 'nothing'"),
        (["serve"], "in use by another process"),
        (["migrate"], "in use by another process"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    server: ServerProcess, data: Path, arguments: list[str], sentence: str
) -> None:
    """A command that cannot do its work says why in one line and ends with code 2."""
    ended = run(data, *arguments)

    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"MAX_BATCH": "0"}, "MAX_BATCH: Input should be greater than or equal to 1"),
        ({"PORT": "http"}, "PORT: Input should be a valid integer"),
        ({"HOST": "0.0.0.0"}, "HOST=0.0.0.0 opens the server to other machines"),
        ({"PUBLIC_URL": "chat"}, "PUBLIC_URL must be an address"),
        ({"DATA_DIR": "/proc/nothing"}, "/proc/nothing: "),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, settings: dict[str, str], sentence: str) -> None:
    """The server does not start with a setting that makes no sense or opens it unsafely, and says which."""
    ended = run(tmp_path / "data", "serve", **settings)

    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_commands_work_before_the_first_start(tmp_path: Path) -> None:
    """Where nothing is yet, a command makes the data folder, the database and the first project."""
    data = tmp_path / "data"
    done(data, "keys", "create", "early")

    assert "early" in done(data, "keys", "list")
    assert done(data, "migrate").endswith("has the newest form.\n")
    assert data.stat().st_mode & 0o777 == 0o700


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    """A database of a version to come is not touched."""
    data = tmp_path / "data"
    done(data, "migrate")
    with sqlite3.connect(data / "literal.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'of-tomorrow'")
    database.close()
    ended = run(data, "keys", "list")

    assert ended.returncode == 2
    assert "used by a newer one" in ended.stderr


def test_help_names_every_command(tmp_path: Path) -> None:
    """`--help` lists the commands, and each command has a help of its own."""
    overview = done(tmp_path / "data", "--help")

    assert all(re.search(rf"\n    {name}\b", overview) for name, _, _ in COMMANDS)
    assert not (tmp_path / "data").exists()
