"""What the chat has told the process that keeps its record and does not know to be on disk there, in files of its own.

To append is one write to a file: once it is made, no kill of the chat, of that process or of both at once loses the
report. It is not flushed to the disk here but by the outbox, some milliseconds later: only a power cut in between loses
it. What a killed chat has left is taken up at the next start.
"""

import contextlib
import logging
import os
import re
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

FILE_BYTES = 1_000_000  # after so many the next file is begun, and it goes when all in it is confirmed
_FILE_NAME = re.compile(r"journal-([0-9a-f]{32})-(\d{6,})\.lines")


class Journal:
    """One chat's; `name` is nobody else's. `folder` must be there when the first line is appended."""

    def __init__(self, folder: Path) -> None:
        self.name = uuid.uuid4().hex
        self._folder = folder
        self._files: deque[_File] = deque()
        self._begun = 0
        self._fails = False

    def append(self, number: int, line: str) -> bool:
        """Write a line, which has no break in it, under a number that grows; tell whether it is in the file, whole."""
        try:
            if not self._files or self._files[-1].size >= FILE_BYTES:
                self._begun += 1
                if self._files:
                    self._files[-1].close()
                self._files.append(_File(self._folder / f"journal-{self.name}-{self._begun:06}.lines"))
            self._files[-1].append(number, f"{number} {line}\n".encode())
        except OSError as error:
            if not self._fails:
                logger.error("The journal cannot be written, so a turn waits for the outbox alone: %s", error)
            self._fails = True
            return False
        self._fails = False
        return True

    def confirmed(self, number: int) -> None:
        """Note that all up to this number is on disk elsewhere: of what is deleted there nothing stays here."""
        while len(self._files) > 1 and self._files[0].last <= number:
            self._files.popleft().remove()
        if self._files and self._files[0].last <= number:
            self._files[0].empty()

    def end(self, confirmed: int) -> None:
        """Remove the files, unless there is something in them that is not confirmed: that is for the next start."""
        if all(file.last <= confirmed for file in self._files):
            while self._files:
                self._files.popleft().remove()


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size = self.last = 0

    def append(self, number: int, line: bytes) -> None:
        if os.write(self._descriptor, line) < len(line):
            self.size = FILE_BYTES  # nothing may follow half a line
            raise OSError("the disk is full")
        self.size += len(line)
        self.last = number

    def empty(self) -> None:
        with contextlib.suppress(OSError):  # then it is emptied the next time, or removed
            os.ftruncate(self._descriptor, 0)
            self.size = 0

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def remove(self) -> None:
        self.close()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s stays until the next start, as it cannot be removed: %s", self._path.name, error)


def left_behind(folder: Path, own: str) -> Mapping[str, Sequence[Path]]:
    """Return the files of each journal in a folder, oldest first, but for those of the chat that runs now."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob("journal-*.lines"), key=lambda path: path.stat().st_mtime_ns):
        if (named := _FILE_NAME.fullmatch(path.name)) and named[1] != own:
            found.setdefault(named[1], []).append((int(named[2]), path))
    return {name: [path for _, path in sorted(files)] for name, files in found.items()}


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield number and text of each line of a file; what a kill has left of a last one was never said to be written."""
    with path.open("rb") as file:
        for line in file:
            number, _, text = line.partition(b" ")
            if text.endswith(b"\n") and number.isdigit():
                yield int(number), text
