"""Backups: taken while clients write, checked, put back, and served again."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from literalai import LiteralClient
from pydantic import SecretStr
from sqlalchemy import create_engine

from literal_server import backup, payloads
from literal_server.__main__ import main
from literal_server.app import create_app
from literal_server.db import MIGRATIONS, Database
from literal_server.errors import DatabaseTooNew, Refused
from literal_server.settings import ServerSettings
from literal_server.tables import Step
from tests.literal_server.server_process import ServerProcess, done
from tests.literal_server.wire import KEY

pytestmark = pytest.mark.anyio

LONG = "long " * 1_000


class Writers:
    """Clients that write threads of large values until they are told to stop; `answered` says how many steps each."""

    def __init__(self, url: str, count: int = 2) -> None:
        self.answered: dict[str, int] = {}
        self.failures: list[Exception] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(url, number)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def _write(self, url: str, number: int) -> None:
        client: Any = LiteralClient(url=url, api_key=KEY)
        try:
            for turn in range(100_000):
                if self._stop.is_set():
                    return
                name = f"thread-{number}-{turn // 2}"
                step = {
                    "id": f"step-{number}-{turn}",
                    "threadId": name,
                    "type": "run",
                    "output": {"text": LONG + str(turn)},
                }
                client.api.send_steps([step])
                self.answered[name] = turn % 2 + 1
        except Exception as error:  # noqa: BLE001 - told by `stop`, in the thread of the test
            self.failures.append(error)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert self.failures == []

    def wait_for(self, more: int) -> dict[str, int]:
        """Wait until so many more threads are there, and answer all that were by then."""
        wanted = len(self.answered) + more
        while len(self.answered) < wanted and not self.failures:
            self._stop.wait(0.01)
        return dict(self.answered)


def test_a_backup_taken_under_load_is_served_again(tmp_path: Path) -> None:
    """All that was answered before a backup began is in it, whole, files too; the data folder is left as it was."""
    data, copied, restored = tmp_path / "data", tmp_path / "backups" / "one", tmp_path / "new"
    copied.parent.mkdir()
    server = ServerProcess(data, LITERAL_API_KEY=KEY, MAX_PAYLOAD_BYTES="2000")
    writers = Writers(server.url)
    try:
        writers.wait_for(2)
        client: Any = LiteralClient(url=server.url, api_key=KEY)
        client.api.upsert_thread("with file")
        client.api.send_steps([{"id": "f", "threadId": "with file", "type": "run", "name": "f"}])
        client.api.create_attachment(step_id="f", thread_id="with file", name="a.txt", content=b"bytes of a file")
        before = writers.wait_for(2)
        told = done(data, "backup", str(copied))
        writers.wait_for(2)
    finally:
        writers.stop()
        server.stop()

    assert "whole" in told
    assert (copied.stat().st_mode & 0o777, (copied / "literal.db").stat().st_mode & 0o777) == (0o700, 0o600)
    assert [path for path in copied.parent.iterdir() if path != copied] == []
    assert "whole" in done(restored, "restore-backup", str(copied))
    again = ServerProcess(restored, LITERAL_API_KEY=KEY)
    try:
        client = LiteralClient(url=again.url, api_key=KEY)
        for name, steps in before.items():
            found = client.api.get_thread(name)
            texts = [step.output["text"] for step in found.steps]
            assert len(texts) >= steps, name
            assert all(text.startswith(LONG) for text in texts)
        (attachment,) = client.api.get_thread("with file").steps[0].attachments
        identity = attachment.object_key.removeprefix("files/")
        assert (restored / "files" / identity[:2] / identity).read_bytes() == b"bytes of a file"
    finally:
        again.stop()


@pytest.fixture
async def filled(tmp_path: Path, migrated: Path) -> ServerSettings:
    """A data folder with one thread in it, whose step has its output in a file."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(migrated, folder)
    settings = ServerSettings(data_dir=folder, api_key=SecretStr(KEY), max_payload_bytes=100)
    app = create_app(settings)
    async with app.router.lifespan_context(app), app.state.api.database.writing() as session:
        step = Step(project_id="p", id="s", type="run", created_at=1, updated_at=1, is_error=False)
        step.output = (await payloads.spill(session, step, {"output": LONG}))["output"]
        session.add(step)
    return settings


def payload_of(folder: Path) -> Path:
    (found,) = (folder / "payloads").rglob("*.json")
    return found


async def test_nothing_is_overwritten(filled: ServerSettings, tmp_path: Path) -> None:
    """A target that is there and a data folder with data in it are refused and stay as they are."""
    await backup.back_up(filled, tmp_path / "copy")
    (tmp_path / "empty").mkdir()

    for target in (tmp_path / "copy", tmp_path / "empty"):
        with pytest.raises(Refused, match="there already"):
            await backup.back_up(filled, target)
    with pytest.raises(Refused, match="holds data already"):
        await backup.put_back(filled, tmp_path / "copy")
    with pytest.raises(Refused, match="no data"):
        await backup.put_back(filled, tmp_path / "empty")
    assert await backup.check(filled) == backup.Checked(threads=0, steps=1, files=1)


async def test_a_check_finds_what_is_wrong(filled: ServerSettings, tmp_path: Path) -> None:
    """A changed and a lost file are named, so is a damaged page; a purged value of a deleted step is no loss."""
    payload_of(filled.data_dir).write_bytes(b"{}")
    assert "not what was stored" in (await backup.check(filled)).problems[0]
    payload_of(filled.data_dir).unlink()
    assert "No such file" in (await backup.back_up(filled, tmp_path / "copy")).problems[0]

    with sqlite3.connect(filled.database_path) as raw:
        raw.execute("UPDATE steps SET deleted_at = 1")
    assert (await backup.check(filled)).problems == []

    content = bytearray(filled.database_path.read_bytes())
    content[4096 * 20 : 4096 * 40] = b"x" * (4096 * 20)
    filled.database_path.write_bytes(content)
    assert (await backup.check(filled)).problems
    filled.database_path.write_bytes(b"no database" * 1_000)
    assert "cannot be read" in (await backup.check(filled)).problems[0]


def test_what_is_wrong_is_told_by_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` ends with 1 where something is wrong, and with 2 and a sentence where there is nothing to check."""
    (tmp_path / "literal.db").write_bytes(b"no database" * 1_000)

    assert main(["check", str(tmp_path)]) == 1
    assert "1 problem" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "nothing")]) == 2
    assert "no data of a Literal server" in capsys.readouterr().err


async def test_a_failed_backup_leaves_nothing(
    filled: ServerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the copy cannot be finished its half is removed."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        await backup.back_up(filled, tmp_path / "copies")
    assert not any(name.startswith("copies") for name in os.listdir(tmp_path))


async def test_half_a_backup_is_none(filled: ServerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there while a backup is made, and left when that is killed, is not taken for data by anybody."""
    halves = []

    def look(_source: Path, target: Path) -> None:
        halves.append(shutil.copytree(target.parents[3], tmp_path / "half"))

    monkeypatch.setattr(backup, "_copy_if_there", look)
    await backup.back_up(filled, tmp_path / "copy")

    (half,) = halves
    for reading in (
        backup.put_back(filled.model_copy(update={"data_dir": tmp_path / "new"}), half),
        backup.check(filled.model_copy(update={"data_dir": half})),
    ):
        with pytest.raises(Refused, match="no data"):
            await reading


async def test_a_failed_restore_can_be_done_again(
    filled: ServerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore that cannot be finished leaves the data folder as empty as it was."""
    await backup.back_up(filled, tmp_path / "copy")
    new = filled.model_copy(update={"data_dir": tmp_path / "new"})

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as on_full_disk:
        on_full_disk.setattr(backup, "_copy_if_there", full)
        with pytest.raises(OSError, match="No space"):
            await backup.put_back(new, tmp_path / "copy")
    assert os.listdir(new.data_dir) == []
    assert await backup.put_back(new, tmp_path / "copy") == backup.Checked(threads=0, steps=1, files=1)


async def test_a_backup_of_an_older_version_gets_the_newest_form(filled: ServerSettings, tmp_path: Path) -> None:
    """The backup itself stays in its form, so that the older version can read it."""
    engine = create_engine(f"sqlite:///{filled.database_path}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0005")
    engine.dispose()
    new = filled.model_copy(update={"data_dir": tmp_path / "new"})

    await backup.back_up(filled, tmp_path / "copy")
    assert await backup.put_back(new, tmp_path / "copy") == backup.Checked(threads=0, steps=1, files=1)
    for path, is_new in ((tmp_path / "copy" / "literal.db", False), (new.database_path, True)):
        database = Database(path)
        assert await database.is_migrated() is is_new
        await database.close()


async def test_a_backup_of_a_newer_version_is_refused(filled: ServerSettings, tmp_path: Path) -> None:
    """What this program does not know is not put back, instead of found out at the next start."""
    with closing(sqlite3.connect(filled.database_path)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    new = filled.model_copy(update={"data_dir": tmp_path / "new"})

    await backup.back_up(filled, tmp_path / "copy")
    with pytest.raises(DatabaseTooNew):
        await backup.put_back(new, tmp_path / "copy")
    assert os.listdir(new.data_dir) == []


async def test_a_backup_to_a_full_disk_is_told(filled: ServerSettings, tmp_path: Path) -> None:
    """Where the database finds no room there is a sentence, no stack trace, and no half of a backup."""
    limited = 'ulimit -f 64; exec "$0" -m literal_server backup "$1"'
    outcome = await asyncio.to_thread(
        subprocess.run, ["bash", "-c", limited, sys.executable, str(tmp_path / "copy")],
        env={**os.environ, "DATA_DIR": str(filled.data_dir)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert outcome.returncode == 2
    assert "cannot be copied" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not any(name.startswith("copy") for name in os.listdir(tmp_path))
