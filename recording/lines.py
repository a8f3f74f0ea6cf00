"""What goes between the chat and the process that keeps its record: a JSON text a line, over a socket."""

import asyncio
from collections.abc import Sequence
from typing import cast


class Lines(asyncio.Protocol):
    """One end of a connection; a subclass says what becomes of the lines that come, all that came at once together."""

    transport: asyncio.Transport | None = None

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take in what has come, and pass on the lines that are whole."""
        self._begun.append(data)
        if b"\n" in data:
            *whole, rest = b"".join(self._begun).split(b"\n")
            self._begun = [rest]
            self.lines_received(whole)

    def lines_received(self, lines: Sequence[bytes]) -> None:
        """Take some lines, in the order in which they were sent."""
        raise NotImplementedError

    def send(self, *lines: str) -> None:
        """Send some lines at once, if there is still somebody to send them to; in JSON there is no break."""
        if self.transport and not self.transport.is_closing():
            self.transport.write("\n".join([*lines, ""]).encode())
