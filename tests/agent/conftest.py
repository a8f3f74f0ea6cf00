"""Fixtures for the tests of the agent."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.agent.turns import tasks


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """Fail if the test leaves a task behind, or an exception that nobody has retrieved."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    theirs = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, complaint: complaints.append(complaint))
    before = tasks()
    gc.freeze()  # so that only what the test made is looked through
    yield
    gc.collect()
    gc.unfreeze()
    await asyncio.sleep(0)
    loop.set_exception_handler(theirs)
    assert tasks() - before == set()
    assert complaints == []
