"""The Literal server as a process of its own, and a relay before it that can cut connections in the middle."""

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import pytest

from tests.app_process import ROOT, Launch, Running, clean_environment, free_port, is_healthy, launch, wait_until

KEY = "key-of-the-tests"


class ServerProcess:
    """`python -m literal_server` on a free port with a data folder of its own."""

    def __init__(self, data: Path, launch: Launch = launch) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data.parent / f"{data.name}-{self.port}.log"
        settings = {"DATA_DIR": str(data), "PORT": str(self.port), "LITERAL_API_KEY": KEY}
        self._environment = clean_environment() | settings
        self._launch = launch
        self._process: Running | None = None

    def start(self) -> "ServerProcess":
        """Start the server and wait until it answers."""
        self._process = self._launch(["literal_server"], self._environment, self.log, ROOT)
        wait_until(self._answers, 60, lambda: f"The server did not start:\n{self.log.read_text()}")
        return self

    @property
    def pid(self) -> int:
        """The process that runs the server."""
        assert self._process is not None
        return self._process.pid

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the server."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, how)
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"The server ended with code {self._process.returncode}:\n{self.log.read_text()}")
        return is_healthy(self.port)


class Relay:
    """A TCP relay to one port. While `cutting`, each connection ends after a random number of bytes, either way."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self.cutting = False
        self.cuts = 0
        self.url = ""
        self._port = port
        self._chance = chance
        self._server: asyncio.Server | None = None

    async def start(self) -> "Relay":
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def close(self) -> None:
        """Listen no more."""
        assert self._server is not None
        self._server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        left = [self._chance.randint(1, 30_000)]

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(1_000):
                target.write(data)
                await target.drain()
                left[0] -= len(data)
                if self.cutting and left[0] < 0:
                    self.cuts += 1
                    return

        with contextlib.suppress(OSError):
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._port)
            writers.append(to_writer)
            pumps = [asyncio.create_task(pump(reader, to_writer)), asyncio.create_task(pump(to_reader, writer))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        for one in writers:
            one.transport.abort()
