"""Others' programs to measure beside ours, each in a throw-away environment with the pins of `bench/pins/`."""

from pathlib import Path

from tests.app_process import ROOT
from tests.environments import python_environment

CACHE = ROOT / ".bench"
PINS = ROOT / "bench" / "pins"


def peer_python(name: str) -> Path:
    """Return the Python that has the packages of `pins/NAME.txt`, installed at first. Raises MissingError."""
    return python_environment(CACHE, PINS / f"{name}.txt")


def pinned_version(package: str) -> str | None:
    """Return the version that a peer's pins name for a package, None if no peer's do."""
    for pins in sorted(PINS.glob("*.txt")):
        for line in pins.read_text().splitlines():
            name, _, version = line.partition("==")
            if name.lower() == package.lower():
                return version.split()[0]
    return None
