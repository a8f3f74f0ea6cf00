"""Programs that are started again and again: a process that has imported the libraries forks one at each word.

Most of a start is imports. Each program is a process of its own all the same, with its own environment and end.
"""

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.app_process import ROOT, clean_environment

# What app and server import that starts no thread and reads no setting of theirs.
LIBRARIES = (
    *("aiohttp", "aiosqlite", "alembic.command", "ariadne", "argon2", "chainlit", "chainlit.cli", "dataclasses_json"),
    *("fastapi", "graphql", "httpx", "jinja2", "lark", "limits", "literalai", "markdown_it", "mcp", "openai"),
    *("openai.resources.chat", "pydantic_settings", "socketio", "sqlalchemy.ext.asyncio", "starlette.applications"),
    *("uvicorn", "uvicorn.protocols.http.auto", "chainlit.server", "literal_server.commands.serve"),
)


class Forked:
    """A running program, as `subprocess.Popen` has it."""

    def __init__(self, preloaded: "Preloaded", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._preloaded = preloaded

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self.returncode is None:
            self.returncode = self._preloaded.ask({"ended": self.pid})
        return self.returncode

    def wait(self, seconds: float) -> int:
        """Wait for the end and return the exit code. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Process {self.pid} goes on.")
            time.sleep(0.01)
        return code

    def send_signal(self, how: signal.Signals) -> None:
        """Send it a signal."""
        if self.poll() is None:
            os.kill(self.pid, how)


class Preloaded:
    """The process with the imports; end it with `close`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.preloaded"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, cwd=ROOT, env=clean_environment(), text=True, **pipes)
        self._one_at_a_time = threading.Lock()

    def launch(self, arguments: Sequence[str], env: Mapping[str, str], log: Path, _folder: Path) -> Forked:
        """Start `python -m` with these arguments, in the folder of the project."""
        return Forked(self, self.ask({"arguments": list(arguments), "env": dict(env), "log": str(log)}))

    def ask(self, question: Mapping[str, Any]) -> Any:
        """Ask the process and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._one_at_a_time:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def main() -> None:
    """Import, then fork for as long as somebody asks."""
    for name in LIBRARIES:
        importlib.import_module(name)
    ended: dict[int, int] = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "ended" in question:
            answer = _code(question["ended"], ended)
        else:
            answer = os.fork()
            if answer == 0:
                _become(question)
            ended.pop(answer, None)  # of an earlier program whose number this one has got
        print(json.dumps(answer), flush=True)


def _code(pid: int, ended: dict[int, int]) -> int | None:
    if pid not in ended:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended.get(pid)


def _become(program: Mapping[str, Any]) -> None:
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which is ignored where the tests run under `nohup`
    log = os.open(program["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for given, place in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(given, place)
    os.environ.clear()
    os.environ.update(program["env"])
    sys.argv = list(program["arguments"])
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    os._exit(0)


if __name__ == "__main__":
    main()
