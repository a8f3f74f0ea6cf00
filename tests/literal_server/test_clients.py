"""The real SDK, as old applications have it installed, against a real server on a socket."""

import uuid
from typing import Any

import pytest
from literalai import AsyncLiteralClient, LiteralClient

from tests.literal_server.wire import KEY

pytestmark = pytest.mark.anyio


def test_users(client: Any) -> None:
    """Users are made, changed, found, listed and deleted."""
    made = client.api.create_user("ada", {"a": 1})
    assert made.metadata == {"a": 1}
    client.api.update_user(made.id or "", metadata={"b": 2})
    found = client.api.get_user(identifier="ada")
    assert found is not None
    assert (found.id, found.metadata) == (made.id, {"b": 2})
    assert [user.id for user in client.api.get_users(first=1).data] == [made.id]
    client.api.delete_user(made.id or "")
    assert client.api.get_user(id=made.id) is None


def test_threads_and_steps(client: Any) -> None:
    """Threads and steps are made, changed, read in both ways, listed and deleted."""
    user = client.api.create_user("ada")
    made = client.api.create_thread(name="one", metadata={"a": 1}, participant_id=user.id, tags=["x"])
    assert made.participant_id == user.id
    client.api.update_thread(made.id, tags=["y"])
    step = client.api.create_step(thread_id=made.id, type="run", input={"content": "q"}, tags=["to_score"])
    client.api.update_step(step.id, metadata={"k": "v"}, output={"content": "a"})
    assert client.api.send_steps([client.api.get_step(step.id).to_dict()])["data"].keys() == {"step0"}
    thread = client.api.get_thread(made.id)
    assert thread is not None
    assert thread.steps is not None
    assert (thread.tags, thread.name, thread.metadata) == (["y"], "one", {"a": 1})
    assert [(one.input, one.output, one.metadata) for one in thread.steps] == [
        ({"content": "q"}, {"content": "a"}, {"k": "v"})
    ]
    newest: Any = {"column": "createdAt", "direction": "DESC"}
    assert [one.id for one in client.api.get_threads(first=1, order_by=newest).data] == [made.id]
    tagged: Any = [{"field": "tags", "operator": "in", "value": ["to_score"]}]
    assert [one.id for one in client.api.get_steps(first=1, filters=tagged).data] == [step.id]
    assert client.api.delete_step(step.id)
    assert client.api.get_step(step.id) is None
    assert client.api.delete_thread(made.id)
    assert client.api.get_thread(made.id) is None


def test_decorators_and_flush(client: Any) -> None:
    """Nested decorated functions arrive as a tree of steps in their thread right after a flush."""
    thread_id = str(uuid.uuid4())

    @client.step(type="tool", name="double")  # type: ignore[untyped-decorator] # the SDK tells no types
    def double(number: int) -> int:
        return number * 2

    @client.run(name="agent")  # type: ignore[untyped-decorator] # the SDK tells no types
    def agent(number: int) -> int:
        client.message(content="thinking", type="assistant_message", name="agent")
        return int(double(number))

    with client.thread(thread_id=thread_id, name="decorated", metadata={"m": 1}, tags=["t"]):
        assert agent(4) == 8
    client.flush()
    thread = client.api.get_thread(thread_id)
    assert thread is not None
    assert thread.steps is not None
    assert (thread.name, thread.tags, thread.metadata) == ("decorated", ["t"], {"m": 1})
    run, *inside = thread.steps
    assert (run.name, run.type, run.parent_id) == ("agent", "run", None)
    assert {(one.type, one.parent_id) for one in inside} == {("assistant_message", run.id), ("tool", run.id)}
    assert next(one for one in inside if one.type == "tool").output == {"content": 8}


def test_environment(address: str) -> None:
    """The environment of the client is that of its steps."""
    staging = LiteralClient(url=address, api_key=KEY, environment="staging", disabled=True)
    staging.api.send_steps([{"id": "s", "type": "run"}])
    found = staging.api.get_step("s")
    assert found is not None
    assert found.environment == "staging"


def test_wrong_key_fails_loudly(address: str) -> None:
    """A client with a wrong key is told so."""
    with pytest.raises(Exception, match="key in the header"):
        LiteralClient(url=address, api_key="wrong", disabled=True).api.get_thread("t")


async def test_chat_data_layer(address: str) -> None:
    """What a chat's data layer asks: the history of a user with search and feedback, the debug link."""
    client: Any = AsyncLiteralClient(url=address, api_key=KEY, disabled=True)
    user = await client.api.create_user("ada", {"role": "admin"})
    for number in range(3):
        await client.api.upsert_thread(id=f"t{number}", name=f"q{number}", participant_id=user.id)
        await client.api.send_steps(
            [
                {"id": f"m{number}", "threadId": f"t{number}", "type": "user_message", "output": {"content": "hi"}},
                {"id": f"a{number}", "threadId": f"t{number}", "type": "assistant_message",
                 "output": {"content": f"Answer {number}"}},
            ]
        )  # fmt: skip
    score = await client.api.create_score(step_id="a1", value=1, name="user-feedback", type="HUMAN", comment=None)
    mine: dict[str, Any] = {"field": "participantId", "operator": "eq", "value": user.id}
    search = {"field": "stepOutput", "operator": "ilike", "value": "answer 2", "path": "content"}
    liked = {"field": "scoreValue", "operator": "eq", "value": 1, "path": "user-feedback"}
    newest: Any = {"column": "createdAt", "direction": "DESC"}

    async def history(*filters: Any, **page: Any) -> list[str]:
        found = await client.api.list_threads(filters=list(filters), order_by=newest, **page)
        return [thread.id for thread in found.data]

    assert await history(mine) == ["t2", "t1", "t0"]
    assert await history(mine, search) == ["t2"]
    assert await history(mine, liked) == ["t1"]
    first = await client.api.list_threads(first=2, filters=[mine], order_by=newest)
    assert await history(mine, first=2, after=first.page_info.end_cursor) == ["t0"]
    thread = await client.api.get_thread("t1")
    assert thread is not None
    assert thread.participant_identifier == "ada"
    assert [one.value for step in thread.steps or [] for one in step.scores] == [1.0]
    await client.api.update_score(id=score.id or "", update_params={"comment": "better", "value": 0})
    assert await history(mine, liked) == []
    await client.api.delete_score(id=score.id or "")
    assert (await client.api.get_my_project_id()).startswith("verbatim-")


async def test_attachment_of_a_step(address: str) -> None:
    """An element of the chat hangs on its step, is found by its id and goes away."""
    client: Any = AsyncLiteralClient(url=address, api_key=KEY, disabled=True)
    element: Any = {
        "id": "e",
        "name": "a.png",
        "mime": "image/png",
        "url": "https://x.test/a",
        "metadata": {"size": "s"},
    }
    await client.api.send_steps([{"id": "s", "threadId": "t", "attachments": [element]}])
    found = await client.api.get_attachment("e")
    assert found is not None
    assert (found.thread_id, found.step_id, found.metadata, found.url) == ("t", "s", {"size": "s"}, "https://x.test/a")
    await client.api.delete_attachment("e")
    assert await client.api.get_attachment("e") is None
