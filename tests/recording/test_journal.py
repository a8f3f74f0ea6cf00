"""The chat's own file of what it has told: a line is in it when it was appended, and gone when it is needed no more."""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from recording import journal
from recording.journal import Journal, left_behind, lines


def left(folder: Path, own: str = "") -> dict[str, list[tuple[int, bytes]]]:
    """Return what is left of each journal, by its name."""
    return {name: [line for path in paths for line in lines(path)] for name, paths in left_behind(folder, own).items()}


def test_what_is_appended_is_left_behind(tmp_path: Path) -> None:
    """Lines of any characters come back under their numbers, in order, to everybody but the journal's own chat."""
    mine, other = Journal(tmp_path), Journal(tmp_path)
    assert mine.append(7, '["a", "\u2028 ü \u0085"]')
    assert mine.append(8, "[]")
    assert other.append(1, "{}")

    assert left(tmp_path) == {
        mine.name: [(7, '["a", "\u2028 ü \u0085"]\n'.encode()), (8, b"[]\n")],
        other.name: [(1, b"{}\n")],
    }
    assert set(left(tmp_path, own=mine.name)) == {other.name}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_journals_are_taken_up_in_the_order_of_their_chats(tmp_path: Path) -> None:
    """What was said later must come later, also where several chats in a row have left something."""
    made = [Journal(tmp_path) for _ in range(5)]
    for number, one in enumerate(made):
        one.append(1, "[]")
        (path,) = tmp_path.glob(f"*{one.name}*")
        os.utime(path, (number, number))

    assert list(left_behind(tmp_path, "")) == [one.name for one in made]


def test_a_line_that_a_kill_has_torn_is_passed_over(tmp_path: Path) -> None:
    """Whatever of the last line is in the file, nobody was told that it is."""
    made = Journal(tmp_path)
    made.append(1, "[1]")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for torn in (b"2", b"2 ", b"2 [2", b"\n", b" [2]\n"):
        file.write_bytes(whole + torn)

        assert left(tmp_path) == {made.name: [(1, b"[1]\n")]}


def test_files_are_removed_as_they_are_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is begun after so many bytes, and one goes when all in it is confirmed; the last is emptied."""
    monkeypatch.setattr(journal, "FILE_BYTES", 20)
    made = Journal(tmp_path)
    for number in range(1, 8):
        made.append(number, "[1234567]")
    assert len(list(tmp_path.iterdir())) == 4

    made.confirmed(3)
    assert [number for number, _ in left(tmp_path)[made.name]] == [3, 4, 5, 6, 7]
    made.confirmed(7)
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [0]
    made.append(8, "[8]")
    assert left(tmp_path) == {made.name: [(8, b"[8]\n")]}


def test_only_the_file_being_written_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much waits to be confirmed, the chat does not run out of files that it may open."""
    monkeypatch.setattr(journal, "FILE_BYTES", 20)
    made = Journal(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(1, 41):
        made.append(number, "[1234567]")

    assert (len(list(tmp_path.iterdir())), len(os.listdir("/proc/self/fd"))) == (20, before + 1)
    made.end(confirmed=40)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_cannot_be_removed_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named in the log, and the next start removes it: that the record is kept does not end by it."""
    made = Journal(tmp_path)
    made.append(1, "[1]")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", failing(OSError(30, "Read-only file system")))
        made.end(confirmed=1)

    assert "cannot be removed" in caplog.text
    assert made.append(2, "[2]")


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_arguments: object, **_named: object) -> None:
        raise error

    return fail


def test_nothing_follows_half_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes half a line, and will not have it cut off, spoils none of the lines that come after it."""
    made = Journal(tmp_path)
    made.append(1, "[1]")
    with monkeypatch.context() as patched:
        write = os.write
        patched.setattr(os, "write", lambda file, data: write(file, data[:3]))
        patched.setattr(os, "ftruncate", failing(OSError(5, "Input/output error")))
        assert not made.append(2, "[2]")
    assert made.append(3, "[3]")

    assert left(tmp_path) == {made.name: [(1, b"[1]\n"), (3, b"[3]\n")]}


def test_at_the_end_only_what_is_confirmed_goes(tmp_path: Path) -> None:
    """With something in it that is nowhere else the journal stays for the next start."""
    made = Journal(tmp_path)
    made.append(1, "[1]")

    made.end(confirmed=0)
    assert left(tmp_path) == {made.name: [(1, b"[1]\n")]}
    made.end(confirmed=1)
    assert left(tmp_path) == {}


def test_a_full_disk_leaves_no_half_of_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line that finds no room is said not to be there, once in the log; when there is room again lines are."""
    made = Journal(tmp_path)
    made.append(1, "[1]")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        assert [made.append(2, "[2, 2, 2]"), made.append(3, "[3, 3, 3]")] == [False, False]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert made.append(4, "[4]")

    assert left(tmp_path) == {made.name: [(1, b"[1]\n"), (4, b"[4]\n")]}
    assert caplog.text.count("journal cannot be written") == 1


def test_a_folder_that_is_not_there_is_no_room_either(tmp_path: Path) -> None:
    """Where no file can be made, turns wait for the outbox instead."""
    assert Journal(tmp_path / "nowhere").append(1, "[1]") is False
