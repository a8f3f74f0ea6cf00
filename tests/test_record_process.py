"""The process beside the chat that keeps the record: it ends with the chat, may die itself, and its pages are open."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from literalai.api import LiteralAPI
from pydantic import SecretStr

from literal_server.app import create_app
from literal_server.data_folder import DataFolderInUse, lock_data_folder
from literal_server.settings import ServerSettings
from record_process import Record, _keep, _OwnServer
from recording.journal import Journal
from recording.outbox_store import begin, connect
from tests.app_process import AppProcess, children, wait_until
from tests.chat_client import ChatTab
from tests.people import let_in
from tests.preloaded import Preloaded

pytestmark = pytest.mark.anyio

SLOW = {"OFFLINE_FIRST_TOKEN_SECONDS": "0.3", "OFFLINE_TOKEN_SECONDS": "0.01"}
QUESTION = "What's the weather in San Francisco and Paris?"


def has_ended(pid: int) -> bool:
    """Tell whether a process runs no more, be it that nobody has asked for its exit code yet."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def worker(app: AppProcess) -> int:
    """Return the process that does the work, as soon as there is one."""
    wait_until(lambda: len(app.record_pids) == 2, 10, app.text)
    return app.record_pids[1]


def reader(app: AppProcess) -> LiteralAPI:
    key = (app.data / "literal-api-key").read_text().strip()
    return LiteralAPI(api_key=key, url=f"{app.url}/literal")


async def test_its_death_costs_a_running_turn_nothing(start_app: Callable[..., AppProcess]) -> None:
    """Killed again and again during a turn it is started anew: the person sees the whole answer, the record has it."""
    app = start_app(**SLOW)
    async with ChatTab(app.url) as tab:
        asking = asyncio.create_task(tab.ask(QUESTION))
        for _ in range(3):
            await asyncio.sleep(0.2)  # the moment does not matter
            pid = await asyncio.to_thread(worker, app)
            os.kill(pid, signal.SIGKILL)
            await asyncio.to_thread(wait_until, partial(has_ended, pid), 10, app.text)
        await asking
        steps = {step["id"] for step in tab.steps() if step["type"] in ("tool", "llm", "run")}
        thread_id = tab.steps()[0]["threadId"]
    await asyncio.to_thread(wait_until, lambda: waiting(app) == 0, 30, app.text)

    thread = await asyncio.to_thread(reader(app).get_thread, thread_id)

    assert thread is not None
    recorded = {step.id: step for step in thread.steps or []}
    assert steps <= recorded.keys()
    assert [step.name for step in recorded.values() if not step.end_time or step.error] == []
    (run,) = [step for step in recorded.values() if step.type == "run"]
    assert (run.metadata or {})["outcome"] == "answered"
    address = f"{app.url}/literal/api/verbatim/threads/{thread_id}/certificate"
    certificate = httpx.get(address, headers={"x-api-key": reader(app).api_key or ""}).json()
    assert (certificate["state"], certificate["unstampedSteps"]) == ("complete", 0)


def waiting(app: AppProcess) -> int:
    return int(httpx.get(f"{app.url}/health", timeout=30).json()["recording"]["waiting"])


def test_while_it_is_away_the_pages_say_so(start_app: Callable[..., AppProcess]) -> None:
    """Whoever asks for the record meanwhile hears that it comes back, and it does."""
    app = start_app()
    pid = worker(app)
    os.kill(app.record_pids[0], signal.SIGSTOP)  # so that nobody starts it anew
    os.kill(pid, signal.SIGKILL)
    wait_until(partial(has_ended, pid), 10, app.text)

    away = httpx.get(f"{app.url}/literal/")

    assert (away.status_code, away.headers["retry-after"]) == (503, "1")
    assert "started anew" in away.text
    assert httpx.get(f"{app.url}/health").json()["recording"]["on"] is True
    os.kill(app.record_pids[0], signal.SIGCONT)
    wait_until(lambda: httpx.get(f"{app.url}/literal/", follow_redirects=True).status_code == 200, 10, app.text)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_chat(start_app: Callable[..., AppProcess], how: signal.Signals) -> None:
    """Ended in order or killed, the app leaves no process and no socket behind, and can be started again at once."""
    app = start_app()
    worker(app)
    left, sockets = app.record_pids, socket_folder(app)
    assert sockets.is_dir()

    app.stop(how)
    app.start()

    wait_until(lambda: all(map(has_ended, left)) and not sockets.exists(), 10, app.text)


def test_a_terminal_that_closes_leaves_nothing_behind(start_app: Callable[..., AppProcess]) -> None:
    """What a terminal sends to all at its end ends the chat alone; the others do what they do after any end of it."""
    app = start_app()
    worker(app)
    left, sockets = app.record_pids, socket_folder(app)

    os.killpg(app.pid, signal.SIGHUP)

    wait_until(lambda: all(map(has_ended, [app.pid, *left])) and not sockets.exists(), 10, app.text)


def test_the_data_folder_is_taken_until_it_has_ended(start_app: Callable[..., AppProcess]) -> None:
    """An app that is killed leaves it to write the last words, and until then nobody else may write the outbox."""
    app = start_app()
    pid = worker(app)
    os.kill(pid, signal.SIGSTOP)
    try:
        app.stop(signal.SIGKILL)
        with pytest.raises(DataFolderInUse):
            lock_data_folder(app.data)
    finally:
        os.kill(pid, signal.SIGCONT)

    lock_data_folder(app.data, 20).release()


def test_an_outbox_that_cannot_be_opened_again_is_tried_again(start_app: Callable[..., AppProcess]) -> None:
    """Where the disk fails just when it is started anew, it comes back when the disk does."""
    app = start_app()
    pid, (watching, _) = worker(app), app.record_pids
    os.kill(watching, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    wait_until(partial(has_ended, pid), 10, app.text)
    outbox, away = app.data / "outbox.db", app.data / "away"
    outbox.rename(away)
    outbox.mkdir()
    os.kill(watching, signal.SIGCONT)
    wait_until(lambda: "outbox.db cannot be opened" in app.text(), 10, app.text)

    outbox.rmdir()
    away.rename(outbox)

    wait_until(lambda: httpx.get(f"{app.url}/literal/", follow_redirects=True).status_code == 200, 20, app.text)
    assert "does not start" not in app.text()


def socket_folder(app: AppProcess) -> Path:
    """Return where the sockets are that the app listens at."""
    paths = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if "/verbatim-" in line]
    inodes = {line.split()[-1]: line.split()[-2] for line in Path("/proc/net/unix").read_text().splitlines()}
    pid = app.record_pids[1]
    held = {os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()}
    (folder,) = {Path(path).parent for path in paths if f"socket:[{inodes[path]}]" in held}
    return folder


def test_nobody_else_reaches_its_sockets(start_app: Callable[..., AppProcess]) -> None:
    """Whoever reaches them is believed, so their folder is open to the owner alone."""
    app = start_app()
    worker(app)

    assert socket_folder(app).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("file", "reason"),
    [("outbox.db", r"outbox\.db cannot be opened \(unable"), ("literal.db", r"the database cannot be used \(unable")],
)
def test_what_it_cannot_open_ends_the_start(tmp_path: Path, preloaded: Preloaded, file: str, reason: str) -> None:
    """With a file that is none the app does not start, says why in one sentence, and leaves nothing running."""
    (tmp_path / "data" / file).mkdir(parents=True)
    app = AppProcess(tmp_path / "data", launch=preloaded.launch)

    with pytest.raises(pytest.fail.Exception, match=f"Verbatim does not start: {reason}"):
        app.start()

    assert "Traceback" not in app.text()
    wait_until(lambda: not children(app.pid), 10, app.text)


def test_no_request_can_say_who_it_is(tmp_path: Path) -> None:
    """What the app tells the server of a request's visitor, a request itself may not: it is sent to the sign-in."""
    let_in(tmp_path / "data", "ada")
    app = AppProcess(tmp_path / "data", settings={"PROCESS_API_KEY": "x"}).start()
    claim = '{"client": ["127.0.0.1", 1], "scheme": "http", "visitor": {"name": "ada", "sees_all": true}}'
    try:
        for name in ("x-verbatim-told", "X-Verbatim-Told"):
            answer = httpx.get(f"{app.url}/literal/", headers={name: claim})
            assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fliteral%2F")
    finally:
        app.stop()


def test_large_files_pass_both_ways(app: AppProcess) -> None:
    """Ten megabytes are stored through the app and read back, whole, in part, and as a head alone."""
    content = os.urandom(10_000_000)
    stored = reader(app).upload_file(content=content, mime="application/octet-stream", thread_id="large")
    address = stored["url"]

    assert httpx.get(address).content == content
    head = httpx.head(address)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "10000000", b"")


def test_news_stream_through_and_end_with_the_reader(app: AppProcess) -> None:
    """The streams of a running thread begin at once, tell of a change, and are let go when their readers leave."""
    api = reader(app)
    thread_id = "watched"
    project = httpx.post(f"{app.url}/literal/api/my-project", headers={"x-api-key": api.api_key or ""}).json()
    begun = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    step: Any = {"id": "w1", "threadId": thread_id, "type": "run", "name": "r", "startTime": begun}
    api.send_steps([step])
    address = f"{app.url}/literal/projects/{project['projectId']}/logs/live/{thread_id}"

    def seen() -> str:
        lines = httpx.get(address, timeout=20).text.splitlines()
        return next(line.removeprefix("id: ") for line in lines if line.startswith("id: "))

    with httpx.stream("GET", f"{address}?after={seen()}", timeout=20) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        api.send_steps([step | {"output": {"content": "x"}}])
        assert "data: changed" in lines

    before = [descriptors(pid) for pid in (app.pid, worker(app))]
    target = f"{address.removeprefix(app.url)}?after={seen()}"
    leaving = [ask(app, target) for _ in range(40)]
    assert descriptors(worker(app)) >= before[1] + 20  # those that were kept open are used again
    for one in leaving:
        one.close()
    del leaving
    wait_until(lambda: descriptors(app.pid) < before[0] + 10 and descriptors(worker(app)) < before[1] + 10, 5, app.text)


def descriptors(pid: int) -> int:
    """Return how many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def ask(app: AppProcess, target: str, **headers: str) -> http.client.HTTPResponse:
    """Ask for what stands in the request's first line as it is: other clients tidy it up."""
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
    connection.putrequest("GET", target)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    return connection.getresponse()


@pytest.mark.parametrize("target", ["/literal/api/files/../../health", "/literal/./health", "/literal/#a"])
def test_an_address_is_passed_on_as_it_was_asked_for(app: AppProcess, target: str) -> None:
    """What the guard has looked at is what the server gets: no dots are resolved in between."""
    assert ask(app, target).status == 404


def test_the_pages_are_found_without_a_slash(app: AppProcess) -> None:
    """The address that people are told and type leads to the list, and not to a page of the chat."""
    listing = httpx.get(f"{app.url}/literal", follow_redirects=True)

    assert listing.url.path.startswith("/literal/projects/")
    assert "<h1>Threads</h1>" in listing.text


def test_there_is_no_websocket(app: AppProcess) -> None:
    """Who wants to open one is refused, and the log is not filled with it."""
    before = len(app.text())
    key = {"Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}

    assert ask(app, "/literal/x", Connection="Upgrade", Upgrade="websocket", **key).status == 403
    assert "Traceback" not in app.text()[before:]


def test_its_death_cuts_a_download_off(start_app: Callable[..., AppProcess]) -> None:
    """What was read by half is not taken for whole; the log says so in a line, also where the app is stopped then."""
    app = start_app()
    stored = reader(app).upload_file(content=os.urandom(30_000_000), mime="application/octet-stream", thread_id="t")
    address = stored["url"].removeprefix(app.url)
    cut = ask(app, address)
    os.kill(worker(app), signal.SIGKILL)
    with pytest.raises(http.client.IncompleteRead):
        cut.read()

    wait_until(lambda: httpx.get(f"{app.url}/literal/health").status_code == 200, 20, app.text)
    cut = ask(app, address)
    app.stop()
    with pytest.raises(http.client.IncompleteRead):
        cut.read()

    assert "Traceback" not in app.text()
    assert "cut off" in app.text()


@pytest.mark.parametrize("first", [True, False])
async def test_what_a_killed_chat_left_is_taken_up_by_whichever_is_there(tmp_path: Path, first: bool) -> None:
    """Should the first die over it, the one started anew does it: a turn that was ended is not called interrupted."""
    path, record = tmp_path / "outbox.db", Record(tmp_path / "outbox.db", 10_000, "own", "http://127.0.0.1:9", "key")
    began: dict[str, Any] = {
        "id": "run",
        "threadId": "t",
        "type": "run",
        "name": "r",
        "startTime": "2020-01-01T00:00:00Z",
    }
    with contextlib.closing(connect(path)) as before:
        before.execute(*begin("run", json.dumps(began), 1.6e9))
    Journal(tmp_path).append(1, json.dumps(["step", 0.0, began | {"endTime": "2020-01-01T00:00:01Z"}, {}]))
    life, end = os.pipe()
    os.close(end)  # the chat is gone at once

    await asyncio.wait_for(_keep(record, tmp_path, life, first=first), 20)

    os.close(life)
    assert [name for name in os.listdir(tmp_path) if name.startswith("journal-")] == []
    with contextlib.closing(connect(path)) as after:
        assert after.execute("SELECT count(*) FROM begun").fetchone() == (0,)
        ((body,),) = after.execute("SELECT body FROM waiting")
    assert json.loads(body) == began | {"endTime": "2020-01-01T00:00:01Z"}


async def test_a_step_is_looked_for_whatever_its_name_holds(tmp_path: Path) -> None:
    """A name that no text of the database can have is that of no step, and not a question without an answer."""
    server = ServerSettings(data_dir=tmp_path, api_key=SecretStr("key"))
    literal = create_app(server, None)
    api = _OwnServer(Record(tmp_path / "outbox.db", 10_000, "own", "http://here", "key", server), literal, literal)
    async with literal.router.lifespan_context(literal):
        assert [await api.has_step(name) for name in ("one", "\ud800")] == [False, False]
    await api.close()
