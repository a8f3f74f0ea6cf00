"""Throw-away environments with exact pins, made once and kept until the pins change."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.app_process import ROOT

UV = ROOT / ".venv" / "setup" / "bin" / "uv"

_PATIENCE_SECONDS = 1_200


class MissingError(Exception):
    """This machine lacks what an environment needs; the text names it."""


def python_environment(cache: Path, pins: Path) -> Path:
    """Return the Python of an environment under `cache` with the packages of a file of pins. Raises MissingError."""
    folder = _made(cache, pins.stem, [pins], lambda made: _install_python(made, pins))
    return folder / "bin" / "python"


def node_environment(cache: Path, source: Path) -> Path:
    """Return a folder with the `node_modules` of the `package-lock.json` in `source`. Raises MissingError."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise MissingError(f"this machine has no {program} (Node.js 20 or newer is needed)")
    files = [source / "package.json", source / "package-lock.json"]
    return _made(cache, "node", files, lambda made: _install_node(made, files))


def _made(cache: Path, name: str, pins: Sequence[Path], install: Callable[[Path], None]) -> Path:
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in pins)).hexdigest()
    folder = cache / f"{name}-{digest[:12]}"
    stamp = folder / "stamp"
    # An environment names its own place: one that was moved with the folder around it is made anew.
    if not (stamp.exists() and stamp.read_text() == str(folder)):
        for old in cache.glob(f"{name}-{'?' * 12}"):
            shutil.rmtree(old)
        print(f"Making the environment {name}, once ...", flush=True)
        install(folder)
        stamp.write_text(str(folder))
    return folder


def _install_python(folder: Path, pins: Path) -> None:
    python = str(folder / "bin" / "python")
    _run([sys.executable, "-m", "venv", str(folder)])
    packages = ["--no-deps", "-r", str(pins)]
    try:
        _run([str(UV), "pip", "install", "--quiet", "--python", python, *packages])
    except (MissingError, FileNotFoundError):  # an index that only pip is told of, say
        _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])


def _install_node(folder: Path, files: Sequence[Path]) -> None:
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder)
    _run(["npm", "ci", "--omit=optional", "--no-audit", "--no-fund", "--prefix", str(folder)])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE_SECONDS, check=False
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip()[-2_000:]
        raise MissingError(f"`{' '.join(command[:4])} ...` ended with {done.returncode}:\n{last}")
