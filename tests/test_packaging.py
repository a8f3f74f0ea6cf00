"""What is installed is pinned to the last package, comes from no particular host, and is what our files import."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.test_floors import own_modules

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.txt", "requirements-dev.txt")
PIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*==[0-9][0-9A-Za-z.!+]*( ; [^#]+)?")
HOST_OR_PATH = re.compile(r"://|file:|--(index|extra|find|trusted)|@|(^|\s)[/~]|\\")


def lines(name: str) -> list[str]:
    """Return the lines of a requirements file that name a package."""
    text = (line.split("#")[0].rstrip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in text if line and not line.startswith("-c ")]


def names(file: str) -> set[str]:
    """Return the packages that a requirements file names, in the registry's spelling."""
    found = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines(file))
    return {re.sub(r"[-_.]+", "-", match[0]).lower() for match in found if match}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned(lock: str) -> None:
    """Each line of a lock file is one package in one version."""
    assert len(lines(lock)) > 10
    assert [line for line in lines(lock) if not PIN.fullmatch(line)] == []


@pytest.mark.parametrize("file", [*LOCKS, "requirements.in", "requirements-dev.in"])
def test_no_host_and_no_path(file: str) -> None:
    """A requirements file names packages, not where one machine got them."""
    assert [line for line in (ROOT / file).read_text().splitlines() if HOST_OR_PATH.search(line)] == []


def test_locks_hold_what_was_asked_for() -> None:
    """Every package of an .in file is in the lock made of it."""
    assert names("requirements.in") <= names("requirements.txt")
    assert names("requirements-dev.in") <= names("requirements-dev.txt")


def test_locks_agree() -> None:
    """A package that both locks name has one version."""
    run, dev = ({line.split(" ;")[0] for line in lines(lock)} for lock in LOCKS)
    in_both = names(LOCKS[0]) & names(LOCKS[1])

    assert {pin for pin in dev - run if pin.split("==")[0] in in_both} == set()


def test_imports_are_asked_for() -> None:
    """Every package that our files import stands in requirements.in; those of others' are not for us to rely on."""
    distributions = packages_distributions()
    imported = {module for path in own_modules(ROOT).values() for module in _imported(path)}
    foreign = {name for name in imported if name not in sys.stdlib_module_names and name in distributions}
    asked_for = names("requirements.in")

    unasked = {name for name in foreign if not asked_for & {_spelled(each) for each in distributions[name]}}
    assert unasked == set()


def _imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    whole = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in whole | parts}


def _spelled(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
