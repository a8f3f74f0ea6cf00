"""Settings: what is read from where, what is safe to start with, and that the example file names them all."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from doors import is_loopback
from literal_server.settings import Limits
from tests.app_process import ROOT, AppProcess, clean_environment, wait_until
from wiring import FAKE_KEY_OF_CHAINLIT, Settings, _missing_locks, load_settings

LOCKS = {"chat_password": "a", "process_api_key": "b"}
OF_OTHERS = {"HOST", "PORT", "DASHBOARD_USER"}  # of scripts/run, and of the Literal server that runs alone


def test_the_example_names_every_setting_and_no_other() -> None:
    """Each setting stands in .env.example, but for limits that another page lists, and nothing there is unknown."""
    named = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    listed_elsewhere = {name.upper() for name in Limits.model_fields} - {"MAX_FILE_BYTES"}

    assert named - OF_OTHERS == {name.upper() for name in Settings.model_fields} - listed_elsewhere


def test_no_setting_of_a_developer_reaches_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment in which tests start the app holds none of its settings."""
    names = {name.upper() for name in Settings.model_fields}
    for name in names:
        monkeypatch.setenv(name, "x")

    assert names & set(clean_environment()) == set()


def test_the_example_says_the_defaults(tmp_path: Path) -> None:
    """Copying the example changes nothing: the values in it are the defaults, and empty means unset."""
    assert Settings(_env_file=ROOT / ".env.example") == Settings(_env_file=None)


def test_the_env_file_is_the_one_that_chainlit_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CHAINLIT_ENV_FILE names the file for both, and the environment wins over it."""
    file = tmp_path / "settings"
    file.write_text("OPENAI_MODEL=from-file\nCHAT_USER=from-file\n")
    monkeypatch.setenv("CHAINLIT_ENV_FILE", str(file))
    monkeypatch.setenv("CHAT_USER", "from-environment")

    settings = load_settings()

    assert (settings.openai_model, settings.chat_user) == ("from-file", "from-environment")


@pytest.mark.parametrize(
    ("values", "offline"),
    [
        ({}, True),
        ({"openai_api_key": FAKE_KEY_OF_CHAINLIT}, True),
        ({"openai_api_key": "sk-real"}, False),
        ({"openai_base_url": "http://localhost:11434/v1"}, False),
        ({"openai_api_key": FAKE_KEY_OF_CHAINLIT, "openai_base_url": "http://localhost:11434/v1"}, False),
    ],
)
def test_the_scripted_model_answers_only_where_no_model_is_named(values: dict[str, Any], offline: bool) -> None:
    """A key or an address connects a model; the key that Chainlit invents does not."""
    assert Settings(_env_file=None, **values).offline is offline


PEOPLE = "CHAT_PASSWORD (or people: python -m logins add NAME)"


@pytest.mark.parametrize(
    ("host", "values", "file", "missing"),
    [
        ("127.0.0.1", {}, False, []),
        ("::1", {}, False, []),
        ("0.0.0.0", {}, False, [PEOPLE, "PROCESS_API_KEY", "PUBLIC_URL"]),
        ("0.0.0.0", {}, True, ["PROCESS_API_KEY", "PUBLIC_URL"]),
        ("192.168.1.5", LOCKS, False, ["PUBLIC_URL"]),
        ("0.0.0.0", LOCKS | {"public_url": "https://chat.example.org"}, False, []),
        ("0.0.0.0", {"process_api_key": "b", "public_url": "https://x.org"}, True, []),
        ("0.0.0.0", LOCKS | {"public_url": "https://x.org", "process_api_key": ""}, False, ["PROCESS_API_KEY"]),
        ("127.0.0.1", {"public_url": "https://x.org"}, False, [PEOPLE, "PROCESS_API_KEY"]),
        ("127.0.0.1", {"chat_password": "a"}, False, ["PROCESS_API_KEY"]),
        ("127.0.0.1", {}, True, ["PROCESS_API_KEY"]),
        ("127.0.0.1", {"dashboard_password": "c"}, False, [PEOPLE, "PROCESS_API_KEY"]),
    ],
)
def test_every_door_has_a_lock_before_others_can_come(
    host: str, values: dict[str, Any], file: bool, missing: list[str]
) -> None:
    """Off loopback, behind a public address, or as soon as one door is locked, all doors must be."""
    assert _missing_locks(Settings(_env_file=None, **values), host, file) == missing


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]")],
        *[(host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "")],
    ],
)
def test_what_counts_as_this_machine(host: str, loopback: bool) -> None:
    """Only loopback addresses and their one name are reachable from this machine alone."""
    assert is_loopback(host) is loopback


def test_the_limits_reach_the_server_inside_the_app(start_app: Callable[..., AppProcess]) -> None:
    """A limit in the environment holds for the recording server of the app, as for one that runs alone."""
    app = start_app(MAX_ID_LENGTH="50")
    key = (app.data / "literal-api-key").read_text().strip()
    question = {"query": "query ($id: String!) { threadDetail(id: $id) { id } }", "variables": {"id": "x" * 51}}

    answer = httpx.post(f"{app.url}/literal/api/graphql", json=question, headers={"x-api-key": key}).json()

    assert "at most 50 characters (MAX_ID_LENGTH)" in answer["errors"][0]["message"]


def test_no_log_of_requests_holds_a_query(start_app: Callable[..., AppProcess]) -> None:
    """Where `chainlit run -d` has every request logged, the query of none is: signatures of links stand there."""
    app = start_app(DEBUG="true")

    httpx.get(f"{app.url}/literal/api/verbatim/files/p/id?signature=told-to-nobody")
    wait_until(lambda: "GET /literal/api/verbatim/files/p/id HTTP" in app.text(), 10, app.text)

    assert "told-to-nobody" not in app.text()
