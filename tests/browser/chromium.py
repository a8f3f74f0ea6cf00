"""Finds the Chromium that the browser tests drive; run as a program, it also gets one where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

SYSTEM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NONE_FOUND = (
    "The browser tests need Chromium, and there is none: install it (Debian, as root: apt-get install chromium)."
)


def find_chromium() -> str | None:
    """Return the path of a Chromium that runs: the system's, else the one Playwright has downloaded, else None."""
    system = [path for name in SYSTEM_NAMES if (path := shutil.which(name))]
    return next((path for path in system if _runs(path)), None) or _playwrights_own()


def _playwrights_own() -> str | None:
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() and _runs(path) else None


def _runs(path: str) -> bool:
    """Tell whether a program starts: some are stubs that ask for another package, others lack a system library."""
    return subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0


def _get_chromium() -> None:
    """Get a Chromium as well as it can be had here, and say how."""
    print("No Chromium on this system: downloading Playwright's own ...", flush=True)
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if _playwrights_own():
        return
    if os.geteuid() == 0 and (apt := shutil.which("apt-get")):
        print("That did not give one that runs: apt-get install chromium, as we are root ...", flush=True)
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run([apt, "-q", "update"], check=False, env=quiet)
        subprocess.run([apt, "-q", "install", "-y", "--no-install-recommends", "chromium"], check=False, env=quiet)


if __name__ == "__main__":
    if find_chromium() is None:
        _get_chromium()
    if find_chromium() is None:
        print(NONE_FOUND, file=sys.stderr)  # the browser tests will say so too; the others can still be run
