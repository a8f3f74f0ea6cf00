"""Fixtures that all tests share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.app_process import AppProcess, clean_environment
from tests.preloaded import Preloaded

SLOW_FILES = ("tests/browser/", "tests/test_kills.py", "tests/test_watch.py", "tests/test_turns.py", "tests/clients/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files first that take long, so that no worker has much left to do when the others have ended."""

    def place(item: pytest.Item) -> int:
        return next((n for n, name in enumerate(SLOW_FILES) if item.nodeid.startswith(name)), len(SLOW_FILES))

    items.sort(key=place)
    for item in items:
        # A browser on a busy machine now and then misses something that no person would: it is tried once more, and
        # the summary names the test.
        if item.nodeid.startswith("tests/browser/"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)
    monkeypatch.setenv("CHAINLIT_ENV_FILE", os.devnull)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Preloaded]:
    """The libraries, imported once for the apps that tests start."""
    process = Preloaded()
    yield process
    process.close()


@pytest.fixture
def start_app(tmp_path: Path, preloaded: Preloaded) -> Iterator[Callable[..., AppProcess]]:
    """Start apps with the settings given, and end them with the test."""
    started: list[AppProcess] = []

    def start(data: Path | None = None, **settings: str) -> AppProcess:
        started.append(AppProcess(data or tmp_path / "data", settings=settings, launch=preloaded.launch))
        return started[-1].start()

    yield start
    for app in started:
        app.stop()


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory, preloaded: Preloaded) -> Iterator[AppProcess]:
    """The app in its default form, one for all tests that need nothing else."""
    process = AppProcess(tmp_path_factory.mktemp("app") / "data", launch=preloaded.launch).start()
    yield process
    process.stop()
