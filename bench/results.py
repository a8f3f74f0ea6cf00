"""The file of results: a section for each room, with the machine, the versions and the date of its measurement."""

import os
import platform
import re
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench.peers import pinned_version

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"


def stamped(section: str, packages: Sequence[str]) -> str:
    """Return a section with a line under its heading: when, on what machine and with which versions it was measured."""
    heading, _, text = section.strip().partition("\n")
    versions = ", ".join([f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}", *_of(packages)])
    stamp = f"*Measured on {datetime.now(UTC):%Y-%m-%d} on {machine()}; {versions}.*"
    return f"{heading}\n\n{stamp}\n\n{text.strip()}\n"


def machine() -> str:
    """Return the machine's processor, cores and memory in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()} ({cores} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()})"


def put(section: str, file: Path = RESULTS) -> None:
    """Write a section in place of the earlier one with the same heading, else at the end of the file."""
    before, *sections = re.split(r"^(?=## )", file.read_text(), flags=re.MULTILINE)
    heading = section.partition("\n")[0]
    headings = [earlier.partition("\n")[0] for earlier in sections]
    if heading in headings:
        sections[headings.index(heading)] = section
    else:
        sections.append(section)
    file.write_text("\n\n".join(part.strip() for part in [before, *sections]) + "\n")


def _of(packages: Sequence[str]) -> list[str]:
    versions = {package: _installed(package) or pinned_version(package) for package in packages}
    return [f"{package} {version}" for package, version in versions.items() if version is not None]


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:  # another system than Linux
        return platform.processor() or "an unnamed processor"
    named = re.search(r"^model name\s*: (.+)$", told, re.MULTILINE)
    return named[1].strip() if named else "an unnamed processor"
