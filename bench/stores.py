"""Programs that record what applications do, ours and others': started, written to, counted in their own database."""

import contextlib
import http.client
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import spans, workload
from bench.peers import peer_python
from bench.processes import process_tree_megabytes
from tests.app_process import ROOT, clean_environment, free_port
from tests.server_process import KEY

_PATIENCE_SECONDS = 300


@dataclass
class Written:
    """What came of writing: steps a second until all of them were in the database, and seconds each request took."""

    rate: float = 0.0
    seconds: list[float] = field(default_factory=list)


class Store(ABC):
    """A store as a process of its own on a free port, with a folder of its own; SQLite is its database."""

    name: str
    health = "/health"
    path: str
    headers: dict[str, str]
    # Whether what is answered is in the database; else the clock runs until it can be counted there.
    stores_before_it_answers = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name.lower()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The command that starts it."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """What its environment adds to ours."""

    @abstractmethod
    def bodies(self, batch: int, count: int) -> list[bytes]:
        """The bodies of requests that write so many new steps."""

    @property
    @abstractmethod
    def database(self) -> Path:
        """Its file of SQLite."""

    @property
    @abstractmethod
    def counted(self) -> str:
        """The table that has a row for each step."""

    def start(self) -> float:
        """Start the process and answer the seconds until it first answers its health check."""
        self.folder.mkdir(exist_ok=True)
        began = time.monotonic()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), cwd=ROOT, env=clean_environment() | self.environment(),
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() - began > _PATIENCE_SECONDS:
                raise RuntimeError(f"{self.name} did not start:\n{(self.folder / 'log').read_text()[-2_000:]}")
            time.sleep(0.01)
        return time.monotonic() - began

    def stop(self) -> None:
        """End it with all the processes that it has started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)
            self._process = None

    def megabytes(self) -> float:
        """Its resident memory, with that of the processes it has started."""
        assert self._process is not None
        return process_tree_megabytes(self._process.pid)

    def stored(self) -> int:
        """How many steps are committed in its database."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)) as database:
            return int(database.execute(f"SELECT count(*) FROM {self.counted}").fetchone()[0])

    def write(self, batch: int, count: int, clients: int = 1) -> Written:
        """Write so many new steps, each client one request after the other, and wait until all are stored."""
        return self.send(self.bodies(batch, count), count, clients)

    def send(self, bodies: Sequence[bytes], count: int, clients: int = 1) -> Written:
        """Send requests that hold `count` steps, and wait until all of these are stored."""
        written, wanted = Written(), self.stored() + count
        threads = [
            threading.Thread(target=self._send, args=(bodies[number::clients], written.seconds))
            for number in range(clients)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answered = time.monotonic() - began
        while self.stored() < wanted:
            if self.stores_before_it_answers or time.monotonic() - began > _PATIENCE_SECONDS:
                raise RuntimeError(f"{self.name} has stored {self.stored()} of {wanted} steps.")
            time.sleep(0.02)
        written.rate = count / (answered if self.stores_before_it_answers else time.monotonic() - began)
        return written

    def _send(self, bodies: Sequence[bytes], seconds: list[float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_SECONDS)
        for body in bodies:
            began = time.monotonic()
            connection.request("POST", self.path, body, self.headers)
            response = connection.getresponse()
            answer = response.read()
            seconds.append(time.monotonic() - began)
            if response.status != 200 or b'"ok":false' in answer or b'"errors"' in answer:
                raise RuntimeError(f"{self.name} answered {response.status}: {answer[:500]!r}")
        connection.close()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self.health)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


class Verbatim(Store):
    """Our server alone."""

    name = "Verbatim"
    stores_before_it_answers = True
    path = "/api/graphql"
    headers = {"x-api-key": KEY, "content-type": "application/json"}  # noqa: RUF012 - never changed
    counted = "steps"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._steps = workload.steps()

    def command(self) -> list[str]:
        """`python -m literal_server`."""
        return [sys.executable, "-m", "literal_server"]

    def environment(self) -> dict[str, str]:
        """Its settings."""
        return {"DATA_DIR": str(self.folder / "data"), "PORT": str(self.port), "LITERAL_API_KEY": KEY}

    @property
    def database(self) -> Path:
        """`literal.db`."""
        return self.folder / "data" / "literal.db"

    def bodies(self, batch: int, count: int) -> list[bytes]:
        """Requests as the Python SDK writes them."""
        return workload.bodies(self._steps, batch, count)

    def some_thread(self) -> str:
        """The id of a whole thread from the middle of the record."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            middle = "SELECT thread_id FROM steps WHERE rowid >= (SELECT max(rowid) / 2 FROM steps) LIMIT 1"
            return str(database.execute(middle).fetchone()[0])

    def bytes_on_disk(self) -> int:
        """What the database and the files of large values take, once its log is emptied into it."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=30)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return sum(path.stat().st_size for path in self.database.parent.rglob("*") if path.is_file())


class OtlpStore(Store):
    """A store that takes spans over OTLP (protobuf over HTTP): a span for each of our steps, with the same texts."""

    path = "/v1/traces"
    headers = {"content-type": "application/x-protobuf"}  # noqa: RUF012 - never changed
    counted = "spans"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._steps = workload.steps()

    def bodies(self, batch: int, count: int) -> list[bytes]:
        """Export requests."""
        return spans.bodies(self._steps, batch, count)


class Phoenix(OtlpStore):
    """Arize Phoenix as `phoenix serve` starts it."""

    name = "Phoenix"
    health = "/healthz"

    def command(self) -> list[str]:
        """`phoenix serve`."""
        return [str(peer_python("phoenix").with_name("phoenix")), "serve"]

    def environment(self) -> dict[str, str]:
        """Where it listens and writes."""
        return {
            "PHOENIX_WORKING_DIR": str(self.folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(self.port),
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        }

    @property
    def database(self) -> Path:
        """`phoenix.db`."""
        return self.folder / "phoenix.db"


class MLflow(OtlpStore):
    """MLflow as `mlflow server` starts it."""

    name = "MLflow"
    headers = OtlpStore.headers | {"x-mlflow-experiment-id": "0"}

    def command(self) -> list[str]:
        """`mlflow server` with SQLite."""
        return [
            str(peer_python("mlflow").with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", str(self.port),
            "--backend-store-uri", f"sqlite:///{self.database}",
            "--default-artifact-root", str(self.folder / "artifacts"),
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """Nobody is to be told that it was used."""
        folder = str(peer_python("mlflow").parent)
        return {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PATH": f"{folder}:{os.environ['PATH']}"}

    @property
    def database(self) -> Path:
        """`mlflow.db`."""
        return self.folder / "mlflow.db"


PEERS: tuple[type[OtlpStore], ...] = (Phoenix, MLflow)


def raw_inserts(source: Path, folder: Path, batch: int, count: int) -> float:
    """Insert rows of a database of ours into an empty one like it with the bare `sqlite3`: rows a second, durable.

    The table is ours with its indices, the rows are read before the clock starts.
    """
    with contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as database:
        schema = [
            row[0]
            for row in database.execute(
                "SELECT sql FROM sqlite_master WHERE tbl_name = 'steps' AND type != 'trigger' AND sql != ''"
            )
        ]
        rows: list[tuple[Any, ...]] = database.execute("SELECT * FROM steps LIMIT ?", (count,)).fetchall()
    target = folder / f"raw-{batch}.db"
    target.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        for statement in schema:
            database.execute(statement)
        insert = f"INSERT INTO steps VALUES ({', '.join('?' * len(rows[0]))})"
        began = time.monotonic()
        for start in range(0, len(rows), batch):
            database.execute("BEGIN IMMEDIATE")
            database.executemany(insert, rows[start : start + batch])
            database.execute("COMMIT")
        return len(rows) / (time.monotonic() - began)
