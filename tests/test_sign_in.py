"""Signing in by password, in the running app: who comes in, what each may see, and when a session ends."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from literalai.api import LiteralAPI

from chat.sign_in import TRIES_PER_NAME
from logins import PasswordFile, new_login
from tests.app_process import AppProcess
from tests.people import let_in, password_of, signed_in, start_with, tab_of
from tests.preloaded import Preloaded

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def app_with_people(tmp_path_factory: pytest.TempPathFactory, preloaded: Preloaded) -> Iterator[AppProcess]:
    """The app with a password file of three."""
    data = tmp_path_factory.mktemp("people") / "data"
    process = start_with(preloaded.launch, data, "ada", "bob", "rev")
    yield process
    process.stop()


async def ask_as(app: AppProcess, name: str, question: str) -> str:
    """Ask one question in a new thread, and return the thread's id."""
    async with tab_of(app, name) as tab:
        await tab.ask(question)
        return await tab.thread()


def test_passwords_are_asked_for_on_this_machine_too(app_with_people: AppProcess) -> None:
    """With a password file nobody is signed in by itself, and the endpoint needs its key."""
    assert httpx.get(f"{app_with_people.url}/auth/config").json()["passwordAuth"] is True
    assert httpx.post(f"{app_with_people.url}/auth/header").status_code == 400
    assert httpx.post(f"{app_with_people.url}/process/", json={}).status_code == 401
    assert httpx.get(f"{app_with_people.url}/literal/").status_code == 303


def test_who_is_in_the_file_comes_in(app_with_people: AppProcess) -> None:
    """A right name and password sign in; any other pair is refused in the same words."""
    with signed_in(app_with_people, "ada") as http:
        assert http.get("/user").json()["identifier"] == "ada"
    for name, password in (("ada", "wrong password"), ("nobody", password_of("ada")), ("ada", "")):
        refused = httpx.post(f"{app_with_people.url}/login", data={"username": name, "password": password})
        assert refused.status_code in (401, 422)
    assert httpx.get(f"{app_with_people.url}/user").status_code == 401


async def test_each_sees_the_own_threads_on_the_pages(app_with_people: AppProcess) -> None:
    """A user's list and addresses hold the own threads; another's is answered as one that is not there."""
    app = app_with_people
    adas = await ask_as(app, "ada", "What is 2 + 3?")
    bobs = await ask_as(app, "bob", "What is 20 + 30?")
    with signed_in(app, "ada") as ada, signed_in(app, "rev") as reviewer:
        listing = str(ada.get("/literal/", follow_redirects=True).url)
        own, others, unknown = (ada.get(f"{listing}/{thread}") for thread in (adas, bobs, "x" * 36))
        adas_list, everybodys = ada.get(listing).text, reviewer.get(listing).text
        theirs = reviewer.get(f"{listing}/{bobs}")

    assert (own.status_code, theirs.status_code) == (200, 200)
    assert (others.status_code, others.text.replace(bobs, "")) == (404, unknown.text.replace("x" * 36, ""))
    assert (adas in adas_list, bobs in adas_list) == (True, False)
    assert (adas in everybodys, bobs in everybodys) == (True, True)
    assert (f'href="/thread/{adas}"' in own.text, "/thread/" in theirs.text) == (
        True,
        False,
    )  # the chat would not open it


def test_who_is_not_signed_in_is_sent_to_the_chats_sign_in(app_with_people: AppProcess) -> None:
    """A page asked for without a session leads to the chat's sign-in and says where to go on; nothing is shown."""
    page = "/literal/projects/x/logs/threads/t?currentStepId=s"

    sent = httpx.get(app_with_people.url + page)

    assert sent.status_code == 303
    assert httpx.URL(sent.headers["location"]).params["next"] == page
    assert "www-authenticate" not in sent.headers


def test_a_change_ends_the_sessions(app_with_people: AppProcess) -> None:
    """A new password, or none any more, ends the sessions from before in chat and pages, and nobody else's."""
    app, file = app_with_people, PasswordFile(app_with_people.data)
    let_in(app.data, "cleo", "dora")
    with signed_in(app, "cleo") as cleo, signed_in(app, "dora") as dora, signed_in(app, "bob") as bob:
        with file.change() as logins:
            logins["cleo"] = new_login("another good password", "user")
            del logins["dora"]
        for http in (cleo, dora):
            token = http.cookies["access_token"]
            bearer = {"Authorization": f"Bearer {token}"}
            after = [
                http.get("/user"),
                http.get("/literal/"),
                http.post("/project/threads", json={"pagination": {"first": 20}, "filter": {}}),
                httpx.get(f"{app.url}/user", headers=bearer),
                httpx.post(f"{app.url}/auth/jwt", headers=bearer),
                httpx.get(f"{app.url}/user", headers=bearer | {"Cookie": f"access_token={token}"}),
            ]
            assert [answer.status_code for answer in after] == [401, 303, 401, 401, 401, 401]
        assert bob.get("/user").status_code == 200


async def test_a_session_of_the_machine_ends_with_the_first_passwords(tmp_path: Path, preloaded: Preloaded) -> None:
    """Who was signed in by itself is not any more once the app starts with a password file, not even by that name."""
    app = AppProcess(tmp_path / "data", launch=preloaded.launch).start()
    with httpx.Client(base_url=app.url) as http:
        http.post("/auth/header").raise_for_status()
        token = http.cookies["access_token"]
    app.stop()
    app = start_with(preloaded.launch, tmp_path / "data", "ada", "local")
    status = httpx.get(f"{app.url}/user", cookies={"access_token": token}).status_code
    app.stop()

    assert status == 401


def test_guessing_is_slowed_down(app_with_people: AppProcess) -> None:
    """After some wrong passwords for a name even the right one must wait, and the answer says for how long."""
    let_in(app_with_people.data, "guessed")
    form = {"username": "guessed", "password": "wrong password"}
    with httpx.Client(base_url=app_with_people.url) as http:
        statuses = [http.post("/login", data=form).status_code for _ in range(TRIES_PER_NAME)]
        refused = http.post("/login", data=form | {"password": password_of("guessed")})
        other = http.post("/login", data={"username": "bob", "password": password_of("bob")})

    assert statuses == [401] * TRIES_PER_NAME
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 300
    assert other.status_code == 200


def test_no_password_is_logged_or_recorded(app_with_people: AppProcess) -> None:
    """Neither the log nor the record knows a password, a hash or what tells sessions apart."""
    key = (app_with_people.data / "literal-api-key").read_text().strip()
    with signed_in(app_with_people, "ada"):
        user = LiteralAPI(api_key=key, url=f"{app_with_people.url}/literal").get_user(identifier="ada")

    assert user
    assert not user.metadata
    login = PasswordFile(app_with_people.data).read()["ada"]
    for secret in (password_of("ada"), login.hash, login.stamp):
        assert secret not in app_with_people.text()
