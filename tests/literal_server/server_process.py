"""The server and its commands as a person starts them: processes of their own, with no developer's settings."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.app_process import ROOT, free_port, is_healthy, wait_until


def run(data: Path, *arguments: str, given: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with `given` as its input; settings are environment variables."""
    return subprocess.run(
        _command(arguments), cwd=data.parent, env=_environment(data, settings), input=given,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def done(data: Path, *arguments: str, given: str = "", **settings: str) -> str:
    """Run a command that has to do its work, and answer what it printed."""
    ended = run(data, *arguments, given=given, **settings)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "literal_server", *arguments]


def _environment(data: Path, settings: dict[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT), "DATA_DIR": str(data), **settings}


class ServerProcess:
    """`serve` on a free port; settings are environment variables."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.port = int(settings.pop("PORT", 0)) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data.parent / f"server-{self.port}.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                _command(["serve"]), cwd=data.parent, env=_environment(data, {"PORT": str(self.port), **settings}),
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        wait_until(self._answers, 60, lambda: f"The server did not start:\n{self.text()}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the server and answer its exit code."""
        self._process.send_signal(how)
        return self._process.wait(30)

    def memory(self, which: str = "VmRSS") -> int:
        """Answer the megabytes of memory that the server has (`VmRSS`) or had at the most (`VmHWM`); Linux only."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{which}:"))
        return int(line.split()[1]) // 1024

    def text(self) -> str:
        """Answer what the server has printed and logged."""
        return self.log.read_text(errors="replace")

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            pytest.fail(f"The server ended with code {self._process.returncode}:\n{self.text()}")
        return is_healthy(self.port)
