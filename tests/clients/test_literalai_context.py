"""The SDK's decorators, context managers, environments and background queue, as applications use them."""

import asyncio
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from literalai import AsyncLiteralClient, LiteralClient

from tests.app_process import free_port
from tests.clients.faces import fresh
from tests.server_process import KEY

pytestmark = pytest.mark.anyio


def test_threads_as_context_and_decorator(client: Any) -> None:
    """A thread of the client's own making is readable as soon as it is left, as a block and as a decorator."""
    identity = str(uuid.uuid4())

    @client.thread(thread_id=identity, name="decorated", metadata={"m": 1}, tags=["t"])  # type: ignore[untyped-decorator] # the SDK tells no types
    def whole() -> str:
        return str(client.get_current_thread().id)

    assert whole() == identity
    found = client.api.get_thread(identity)
    assert (found.name, found.metadata, found.tags) == ("decorated", {"m": 1}, ["t"])
    with client.thread(name="block") as thread:
        thread.metadata = {"late": True}
    assert client.api.get_thread(thread.id).metadata == {"late": True}
    assert client.api.delete_thread(identity)


def test_tree_of_a_run(client: Any) -> None:
    """Nested functions arrive as a tree of steps, parents first, although the SDK sends children first."""

    @client.step(type="tool", name="double")  # type: ignore[untyped-decorator] # the SDK tells no types
    def double(number: int) -> int:
        return number * 2

    @client.step(type="undefined")  # type: ignore[untyped-decorator] # the SDK tells no types
    def middle(number: int) -> dict[str, int]:
        return {"doubled": double(number)}

    @client.run(name="agent")  # type: ignore[untyped-decorator] # the SDK tells no types
    def agent(number: int) -> int:
        client.message(content="thinking", type="assistant_message", name="agent")
        return int(middle(number)["doubled"])

    with client.thread(name=fresh("tree")) as thread:
        client.message(content="double four", type="user_message", name="ada")
        assert agent(4) == 8
    client.flush()
    found = client.api.get_thread(thread.id)
    shown = {step.name: step for step in found.steps}
    assert [step.name for step in found.steps if step.name not in ("agent", "ada")] == ["middle", "double"]
    run = next(step for step in found.steps if step.type == "run")
    thought = next(step for step in found.steps if step.type == "assistant_message")
    assert (run.parent_id, thought.parent_id) == (None, run.id)
    assert (shown["middle"].parent_id, shown["double"].parent_id) == (run.id, shown["middle"].id)
    assert (shown["double"].input, shown["double"].output) == ({"number": 4}, {"content": 8})
    assert (shown["middle"].output, run.output) == ({"doubled": 8}, {"content": 8})
    positions = [step.id for step in found.steps]
    assert all(positions.index(step.parent_id) < positions.index(step.id) for step in found.steps if step.parent_id)
    everything = found.to_dict()
    assert (everything["id"], len(everything["steps"])) == (thread.id, 5)


async def test_tree_of_an_asynchronous_run(async_client: Any) -> None:
    """The same holds for coroutines."""

    @async_client.step(type="retrieval", name="look up")  # type: ignore[untyped-decorator] # the SDK tells no types
    async def look_up(word: str) -> list[str]:
        await asyncio.sleep(0)
        return [word]

    @async_client.run(name="agent")  # type: ignore[untyped-decorator] # the SDK tells no types
    async def agent(word: str) -> str:
        return str((await look_up(word))[0])

    async with async_client.thread(name=fresh("async")) as thread:
        assert await agent("tide") == "tide"
    await async_client.flush()
    run, inside = (await async_client.api.get_thread(thread.id)).steps
    assert (run.type, run.name, run.output) == ("run", "agent", {"content": "tide"})
    assert (inside.type, inside.parent_id, inside.output) == ("retrieval", run.id, {"content": ["tide"]})


def test_run_without_a_thread(client: Any) -> None:
    """A run outside any thread is readable right after a flush, and deletable."""
    found = None

    @client.run  # type: ignore[untyped-decorator] # the SDK tells no types
    def alone(word: str) -> str:
        nonlocal found
        found = client.get_current_step()
        return word.upper()

    assert alone("tide") == "TIDE"
    client.flush()
    assert found is not None
    step = client.api.get_step(found.id)
    assert (step.type, step.thread_id, step.output) == ("run", None, {"content": "TIDE"})
    assert client.api.delete_step(found.id)


def test_llm_step_without_a_generation(client: Any) -> None:
    """An llm step that reports no generation stays an llm step with its tags."""
    with client.step(type="llm", name="raw", tags=["to_score"]) as step:
        step.output = {"content": "4"}
    client.flush()
    found = client.api.get_step(step.id)
    assert (found.type, found.tags, found.generation) == ("llm", ["to_score"], None)
    assert client.api.delete_step(step.id)


def test_failing_step(client: Any) -> None:
    """A step that ends in an exception tells its error, and the exception goes on its way."""

    @client.step(id=(identity := str(uuid.uuid4())), type="tool")  # type: ignore[untyped-decorator] # the SDK tells no types
    def fails() -> None:
        raise ValueError("out of paper")

    with pytest.raises(ValueError, match="out of paper"):
        fails()
    client.flush()
    assert client.api.get_step(identity).error == "out of paper"


def test_release(address: str) -> None:
    """The release of a client is in the metadata of its steps."""
    client: Any = LiteralClient(url=address, api_key=KEY, release="v1.2.3")
    with client.thread() as thread, client.step(type="run") as step:
        step.output = {"content": "x"}
    client.flush_and_stop()
    assert client.api.get_step(step.id).metadata == {"release": "v1.2.3"}
    assert client.api.get_thread(thread.id).metadata == {"release": "v1.2.3"}
    assert client.api.delete_step(step.id)
    assert client.api.delete_thread(thread.id)


def test_many_at_once(client: Any) -> None:
    """Threads that run side by side keep their steps apart, and none is lost in the queue."""

    def one(number: int) -> str:
        with client.thread(name=f"parallel {number}") as thread:
            for count in range(5):
                with client.step(type="tool", name=str(number)) as step:
                    step.output = {"content": count}
        return str(thread.id)

    with ThreadPoolExecutor(6) as pool:
        threads = list(pool.map(one, range(12)))
    client.flush()
    for number, thread in enumerate(threads):
        steps = client.api.get_thread(thread).steps
        assert [step.name for step in steps] == [str(number)] * 5
        assert [step.output["content"] for step in steps] == list(range(5))


def test_message_with_everything(client: Any) -> None:
    """A message carries tags, metadata and attachments into its thread."""
    with client.thread() as thread:
        message = client.message(content="see", type="user_message", name="ada", tags=["t"], metadata={"k": "v"})
    client.flush()
    (found,) = client.api.get_thread(thread.id).steps
    assert (found.id, found.output, found.type) == (message.id, {"content": "see"}, "user_message")
    assert (found.tags, found.metadata) == (["t"], {"k": "v"})


def test_environment_of_a_client(address: str) -> None:
    """What a client with an environment reports belongs to that environment."""
    client: Any = LiteralClient(url=address, api_key=KEY, environment="staging")
    with client.step(type="run") as step:
        pass
    client.flush_and_stop()
    assert client.api.get_step(step.id).environment == "staging"


def test_environment_of_a_block(client: Any) -> None:
    """An environment holds for the calls inside its block or function, and for these alone."""
    with client.environment(env="dev"):
        inside = client.api.create_step(type="run")

    @client.environment(env="staging")  # type: ignore[untyped-decorator] # the SDK tells no types
    def decorated() -> Any:
        return client.api.create_step(type="run")

    environments = [client.api.get_step(step.id).environment for step in (inside, decorated())]
    assert environments == ["dev", "staging"]
    assert os.environ["LITERAL_ENV"] == ""
    outside = client.api.create_step(type="run")
    assert client.api.get_step(outside.id).environment == "prod"


def test_wrong_key_fails_loudly(address: str) -> None:
    """A client with a wrong key is told so."""
    client: Any = LiteralClient(url=address, api_key="wrong", disabled=True)
    with pytest.raises(Exception, match="key in the header"):
        client.api.get_thread("t")


async def test_no_server_does_no_harm() -> None:
    """An application goes on when nobody listens; its reads fail with an exception."""
    client: Any = AsyncLiteralClient(url=f"http://127.0.0.1:{free_port()}", api_key=KEY)
    async with client.thread():
        client.message(content="lost", type="user_message")
    await client.flush()
    with pytest.raises(Exception, match=r"thread|connect"):
        await client.api.get_thread("t")
    client.flush_and_stop()
