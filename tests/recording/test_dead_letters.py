"""What the server refused can be listed, read, sent again and dropped, beside the running app."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from recording.__main__ import main
from recording.outbox import Outbox
from tests.app_process import wait_until
from tests.recording.outbox_server import Server, refusing, step

pytestmark = pytest.mark.anyio

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `python -m recording dead-letters …` and return its exit code and what it says."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        code = main(["dead-letters", *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


async def refused(file: Path, *step_ids: str) -> Server:
    """Let a server refuse steps, and stop the outbox."""
    server = Server()
    for step_id in step_ids:
        server.answer = refusing(step_id)
        outbox = Outbox(server.api, file)
        outbox.start()
        outbox.put_step(step(step_id, output={"content": "words"}))
        assert await outbox.flush(5)
        await outbox.stop(1)
    return server


async def test_they_are_listed_with_their_reasons(file: Path, letters: Command) -> None:
    """A line for each says what it is and why it was refused; without a command that is what one gets."""
    await refused(file, "a", "b")

    code, said = letters()

    assert code == 0
    assert "tool a of thread t: bad step" in said
    assert "tool b of thread t: bad step" in said
    assert "2 dead letters." in said
    assert letters("list") == (code, said)


async def test_one_is_shown_in_full(file: Path, letters: Command) -> None:
    """Nothing of a refused report is lost: it can be read as it was to be sent."""
    await refused(file, "a")
    number = letters()[1].split()[0]

    shown = json.loads(letters("show", number)[1])

    assert shown["body"] == step("a", output={"content": "words"})
    assert (shown["id"], shown["thread"], shown["reason"]) == ("a", "t", "bad step")


async def test_one_is_sent_again_by_the_next_start(file: Path, letters: Command) -> None:
    """A letter to be sent again goes out with the next outbox, once, and the others stay."""
    server = await refused(file, "a", "b")
    number = letters()[1].split()[0]
    assert letters("retry", number)[0] == 0
    assert "(to be sent again)" in letters()[1]
    server.received.clear()
    server.answer = refusing("nothing")

    outbox = Outbox(server.api, file)
    outbox.start()
    await asyncio.to_thread(wait_until, lambda: server.received, 5, lambda: "Nothing is sent again")
    await outbox.stop(1)

    assert server.received == [["a"]]
    assert outbox.status()["set_aside"] == 1
    assert "1 dead letters." in letters()[1]


async def test_they_are_dropped(file: Path, letters: Command) -> None:
    """All or some go for good, and only those."""
    await refused(file, "a", "b")
    number = letters()[1].split()[0]

    assert letters("drop", number) == (0, "1 dropped.\n")
    assert "tool b" in letters()[1]
    assert letters("drop", "--all") == (0, "1 dropped.\n")
    assert "No dead letters" in letters()[1]


async def test_a_wrong_number_changes_nothing(file: Path, letters: Command) -> None:
    """A number that there is not is named, and nothing is done for the others either."""
    await refused(file, "a")
    number = letters()[1].split()[0]

    assert letters("drop", number, "99") == (1, "There is no dead letter 99.\n")
    assert "1 dead letters." in letters()[1]


def test_without_a_file_it_says_so(letters: Command) -> None:
    """Where nothing was recorded yet, one sentence says it."""
    code, said = letters()

    assert code == 2
    assert "nothing was recorded" in said


def test_a_broken_file_is_one_sentence(file: Path, letters: Command) -> None:
    """A file that is no database ends in words, not in a trace."""
    file.write_bytes(b"no database" * 1000)

    code, said = letters()

    assert code == 2
    assert "cannot be read" in said
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(file).execute("SELECT 1 FROM sqlite_master")


@pytest.mark.parametrize("command", ["drop", "retry"])
async def test_no_number_is_not_all(command: str, file: Path, letters: Command) -> None:
    """A command that is not told which letters it is about does nothing."""
    await refused(file, "a")

    with pytest.raises(SystemExit):
        letters(command)

    assert "1 dead letters." in letters()[1]
    assert "(to be sent again)" not in letters()[1]
