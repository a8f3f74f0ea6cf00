"""The real app as a process of its own, in an environment with no developer's settings in it."""

import contextlib
import http.client
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).resolve().parent.parent
PORTS_A_WORKER = 2_000
SCRUBBED = (
    "OPENAI_",
    "LITERAL_",
    "CHAINLIT_",
    "CHAT_",
    "PROCESS_",
    "DASHBOARD_",
    "AGENT_",
    "MODEL_",
    "WEATHER_",
    "TOOL_",
    "OFFLINE_",
    "MAX_",
    "DEFAULT_",
)
SCRUBBED_NAMES = (
    "CI",
    "DATABASE_URL",
    "FLUSH_EACH_EVENT",
    "METRICS_TOKEN",
    "OUTBOX_LIMIT_BYTES",
    "PUBLIC_URL",
    "RECORDING",
    "DATA_DIR",
    "HOST",
    "PORT",
    "PURGE_AFTER_DAYS",
    "QUESTIONS_PER_MINUTE",
    "QUESTION_MAX_CHARACTERS",
    "SYSTEM_PROMPT",
)


def clean_environment() -> dict[str, str]:
    """Return this process's environment without any setting of the app, and with no `.env` to read."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SCRUBBED)}
    return {name: value for name, value in kept.items() if name not in SCRUBBED_NAMES} | {
        "CHAINLIT_ENV_FILE": os.devnull
    }


def _ports() -> Iterator[int]:
    """Give ports in turn: below those that the system gives to connections, and for each test process others."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(10_000 + worker * PORTS_A_WORKER, 10_000 + (worker + 1) * PORTS_A_WORKER)
    return itertools.islice(itertools.cycle(ports), random.SystemRandom().randrange(PORTS_A_WORKER), None)


_PORTS = _ports()


def free_port() -> int:
    """Return a port of this machine that nobody listens on now, and that is given to nobody else for long."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports go round for ever")


class Running(Protocol):
    """A program that was started: what of `subprocess.Popen` is used here."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""

    def wait(self, seconds: float, /) -> int:
        """Wait for the end and return the exit code."""

    def send_signal(self, how: signal.Signals, /) -> None:
        """Send it a signal, unless it has ended."""


Launch = Callable[[Sequence[str], Mapping[str, str], Path, Path], Running]


def launch(arguments: Sequence[str], env: Mapping[str, str], log: Path, folder: Path) -> Running:
    """Start `python -m` with these arguments."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env=env,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class AppProcess:
    """The app as a person starts it, on a free port with a data folder of its own."""

    def __init__(
        self,
        data: Path,
        folder: Path = ROOT,
        watch: bool = False,
        settings: Mapping[str, str] | None = None,
        launch: Launch = launch,
    ) -> None:
        self.data = data
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data.parent / f"{data.name}-{self.port}.log"
        self._watch = ["-w"] if watch else []
        self._environment = clean_environment() | {"DATA_DIR": str(data), **(settings or {})}
        self._launch = launch
        self._process: Running | None = None

    def start(self) -> "AppProcess":
        """Start the app and wait until it answers; fail with its log when it ends first."""
        arguments = ["chainlit", "run", "app.py", "--headless", *self._watch, "--port", str(self.port)]
        self._process = self._launch(arguments, self._environment, self.log, self.folder)
        wait_until(self._answers, 60, lambda: f"The app did not start:\n{self.text()}")
        return self

    @property
    def pid(self) -> int:
        """The process that runs the app."""
        assert self._process is not None
        return self._process.pid

    @property
    def record_pids(self) -> list[int]:
        """The processes beside the app that keep its record: the one that watches over the other, and that other."""
        watching = children(self.pid)
        return [*watching, *(child for one in watching for child in children(one))]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the app and return its exit code."""
        if self._process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        code = self._process.wait(30)
        self._process = None
        return code

    def text(self) -> str:
        """Return what the app has logged."""
        return self.log.read_text(errors="replace")

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"The app ended with code {self._process.returncode}:\n{self.text()}")
        return is_healthy(self.port)


def is_healthy(port: int) -> bool:
    """Tell whether what listens on a port says that it is well. Not by httpx, whose every client reads all CAs anew."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    return False


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that run still."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return []


def wait_until(fact: Callable[[], object], seconds: float, complaint: Callable[[], str]) -> None:
    """Ask for a fact again and again until it holds, and fail with the complaint if it does not in time."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            pytest.fail(complaint())
        time.sleep(0.05)  # between two looks, not for luck
