"""The SDK's synchronous and asynchronous faces as one, so that one test asks both."""

import inspect
import uuid
from typing import Any


class Face:
    """The calls of an API of the SDK; each is awaited, whichever face is behind it."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._api, name)

        async def awaited(*arguments: Any, **named: Any) -> Any:
            answer = call(*arguments, **named)
            return await answer if inspect.isawaitable(answer) else answer

        return awaited


def fresh(name: str) -> str:
    """Return a name that no other test has used: all clients of a run share one project."""
    return f"{name} {uuid.uuid4()}"


NEWEST: Any = {"column": "createdAt", "direction": "DESC"}


def only_call(client: Any, thread: str) -> Any:
    """Return the one step of a thread, a model call, once all was sent."""
    client.flush()
    (step,) = client.api.get_thread(thread).steps
    assert (step.type, step.thread_id) == ("llm", thread)
    assert step.start_time
    assert step.end_time
    return step
