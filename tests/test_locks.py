"""With a lock on every door: who has the key comes in, and nobody else, not even from this machine."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app_process import AppProcess
from tests.preloaded import Preloaded

LOCKS = {
    "CHAT_USER": "ada",
    "CHAT_PASSWORD": "chat-secret-word",
    "PROCESS_API_KEY": "process-secret-word",
    "PUBLIC_URL": "https://chat.example.org",
}
QUESTION = {"message_history": [{"role": "user", "content": "What is 2 + 3?"}]}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, preloaded: Preloaded) -> Iterator[AppProcess]:
    """The app with every lock set, behind a public address."""
    app = AppProcess(Path(tmp_path_factory.mktemp("locked")) / "data", settings=LOCKS, launch=preloaded.launch).start()
    yield app
    app.stop()


def test_nobody_is_signed_in_by_itself(locked: AppProcess) -> None:
    """From this machine too, chat, endpoint and pages ask who it is."""
    assert httpx.post(f"{locked.url}/auth/header").status_code in (400, 401)
    assert httpx.get(f"{locked.url}/user").status_code == 401
    assert httpx.post(f"{locked.url}/process/", json=QUESTION).status_code == 401
    pages = httpx.get(f"{locked.url}/literal/")
    assert (pages.status_code, pages.headers["location"]) == (303, "/login?next=%2Fliteral%2F")


@pytest.mark.parametrize(
    ("name", "password", "status"), [("ada", LOCKS["CHAT_PASSWORD"], 200), ("ada", "guess", 401), ("eve", "", 401)]
)
def test_the_chat_takes_the_right_password_only(locked: AppProcess, name: str, password: str, status: int) -> None:
    """The right name and password sign in; anything else does not."""
    form = {"username": name, "password": password or LOCKS["CHAT_PASSWORD"]}

    assert httpx.post(f"{locked.url}/login", data=form).status_code == status


def test_the_endpoint_takes_its_key(locked: AppProcess) -> None:
    """With the bearer key the endpoint answers."""
    headers = {"Authorization": f"Bearer {LOCKS['PROCESS_API_KEY']}"}

    assert httpx.post(f"{locked.url}/process/", json=QUESTION, headers=headers, timeout=30).status_code == 200


def test_one_sign_in_opens_chat_and_pages(locked: AppProcess) -> None:
    """Who is signed in to the chat reads the review pages, and no second password is asked for."""
    with httpx.Client(base_url=locked.url) as http:
        http.post("/login", data={"username": "ada", "password": LOCKS["CHAT_PASSWORD"]}).raise_for_status()
        pages = http.get("/literal/", follow_redirects=True)

    assert pages.status_code == 200
    assert "www-authenticate" not in pages.headers


def test_the_session_cookie_is_for_this_site_and_out_of_reach_for_scripts(locked: AppProcess) -> None:
    """The cookie is HttpOnly and SameSite=Lax; given out under a public https address it travels by https only."""
    form = {"username": "ada", "password": LOCKS["CHAT_PASSWORD"]}
    given = [
        httpx.post(f"{locked.url}/login", data=form, headers=headers).headers["set-cookie"].lower().split("; ")
        for headers in ({"Host": "chat.example.org"}, {})
    ]

    for cookie in given:
        assert cookie[0].startswith("access_token=")
        assert {"httponly", "samesite=lax"} <= set(cookie)
    assert ["secure" in cookie for cookie in given] == [True, False]


def test_the_public_name_is_let_in(locked: AppProcess) -> None:
    """Requests for PUBLIC_URL's host and from its origin pass; other names do not."""
    public = {"Host": "chat.example.org", "Origin": "https://chat.example.org"}

    assert httpx.get(f"{locked.url}/health", headers=public).status_code == 200
    assert httpx.get(f"{locked.url}/health", headers={"Host": "other.example.org"}).status_code == 421


def test_no_secret_is_logged(locked: AppProcess) -> None:
    """Whatever was tried above, no password and no key stands in the log."""
    httpx.post(f"{locked.url}/process/", json=QUESTION, headers={"Authorization": f"Bearer {LOCKS['PROCESS_API_KEY']}"})

    assert [value for value in LOCKS.values() if "secret" in value and value in locked.text()] == []


def test_a_wrong_setting_is_named_without_its_value(tmp_path: Path) -> None:
    """A setting that cannot be read ends the start in one sentence with its name."""
    with pytest.raises(pytest.fail.Exception) as ended:
        AppProcess(tmp_path / "data", settings={"MODEL_TIMEOUT_SECONDS": "soon"}).start()

    assert "MODEL_TIMEOUT_SECONDS" in str(ended.value)
    assert "Traceback" not in str(ended.value)
