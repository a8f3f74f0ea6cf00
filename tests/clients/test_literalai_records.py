"""The SDK's calls about what was recorded: users, threads, steps, generations, scores and attachments."""

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from literalai.observability.generation import ChatGeneration

from tests.clients.faces import NEWEST, Face, fresh

pytestmark = pytest.mark.anyio


async def test_users(api: Face) -> None:
    """Users are made, changed, found by id and identifier, listed and deleted."""
    name = fresh("ada")
    made = await api.create_user(name, {"a": 1})
    assert made.id
    assert made.metadata == {"a": 1}
    changed = await api.update_user(made.id, metadata={"b": 2})
    assert changed.metadata == {"b": 2}
    assert (await api.get_user(id=made.id)).identifier == name
    assert (await api.get_user(identifier=name)).metadata == {"b": 2}
    assert (await api.get_or_create_user(name)).id == made.id
    listed = (await api.get_users(first=1)).data
    assert [user.id for user in listed] == [made.id]
    await api.delete_user(made.id)
    assert await api.get_user(id=made.id) is None
    assert await api.get_user(identifier=fresh("nobody")) is None


async def test_threads(api: Face) -> None:
    """A thread keeps its participant, takes new tags, is found in both lists, and outlives neither delete."""
    user = await api.create_user(fresh("ada"))
    made = await api.create_thread(
        name="first", metadata={"topic": "tides"}, participant_id=user.id, tags=["old", "older"]
    )
    assert made.participant_id == user.id
    found = await api.get_thread(made.id)
    assert (found.name, found.metadata, found.tags) == ("first", {"topic": "tides"}, ["old", "older"])
    assert (await api.update_thread(made.id, tags=["new"])).tags == ["new"]
    for listing in (api.get_threads, api.list_threads):
        newest = (await listing(first=1, order_by=NEWEST)).data
        assert [(thread.id, thread.name, thread.tags) for thread in newest] == [(made.id, "first", ["new"])]
    assert await api.delete_thread(made.id)
    assert await api.get_thread(made.id) is None
    await api.delete_user(user.id)


async def test_thread_upsert_takes_what_is_given(api: Face) -> None:
    """An upsert makes the thread, and later ones change only what they name; an identifier is as good as an id."""
    identity, name = str(uuid.uuid4()), fresh("bob")
    await api.upsert_thread(id=identity, name="first", metadata={"a": 1}, participant_id=name, tags=["x"])
    await api.upsert_thread(id=identity, name="second")
    found = await api.get_thread(identity)
    assert (found.name, found.metadata, found.tags) == ("second", {"a": 1}, ["x"])
    assert found.participant_identifier == name
    assert (await api.get_user(identifier=name)).id == found.participant_id


async def test_steps(api: Face) -> None:
    """A step is changed without losing what the change does not name, sent again as fetched, and deleted."""
    thread = await api.create_thread()
    step = await api.create_step(
        thread_id=thread.id, type="run", name="plan", input={"content": "q"}, metadata={"first": True}
    )
    assert step.thread_id == thread.id
    await api.update_step(step.id, metadata={"second": True}, tags=["seen"])
    found = await api.get_step(step.id)
    assert (found.name, found.type, found.input) == ("plan", "run", {"content": "q"})
    assert (found.metadata, found.tags, found.parent_id, found.error) == ({"second": True}, ["seen"], None, None)
    answer = await api.send_steps([found.to_dict()])
    assert len(answer["data"]) == 1
    again = await api.get_step(step.id)
    assert again.to_dict() == found.to_dict()
    assert await api.delete_step(step.id)
    assert await api.get_step(step.id) is None
    await api.send_steps([found.to_dict()])
    assert await api.get_step(step.id) is None
    await api.delete_thread(thread.id)


async def test_steps_by_filter(api: Face) -> None:
    """The newest step with a tag is the one just made."""
    tag = fresh("to_score")
    thread = await api.create_thread()
    steps = [await api.create_step(thread_id=thread.id, tags=[tag, str(number)]) for number in range(2)]
    both: Any = [{"field": "tags", "operator": "in", "value": [tag]}]
    newest = await api.get_steps(first=1, filters=both)
    assert [step.id for step in newest.data] == [steps[1].id]
    assert newest.page_info.has_next_page
    older = await api.get_steps(first=1, after=newest.page_info.end_cursor, filters=both)
    assert [step.id for step in older.data] == [steps[0].id]
    one: Any = [*both, {"field": "id", "operator": "eq", "value": steps[0].id}]
    assert [step.id for step in (await api.get_steps(filters=one)).data] == [steps[0].id]
    await api.delete_step(steps[0].id)
    assert await api.get_step(steps[0].id) is None


async def test_step_types_to_keep(api: Face) -> None:
    """A list of threads shows only steps of the types asked for."""
    thread = await api.create_thread()
    for kind in ("run", "tool", "user_message"):
        await api.create_step(thread_id=thread.id, type=kind)
    kept = await api.get_threads(first=1, order_by=NEWEST, step_types_to_keep=["tool"])
    assert [step.type for step in kept.data[0].steps] == ["tool"]


async def test_generations(api: Face) -> None:
    """A generation is stored by itself, comes first in the list, and reads back as it was given."""
    made = await api.create_generation(
        ChatGeneration(
            provider="openai",
            model="gpt-4o",
            messages=[{"role": "user", "content": "hello"}],
            message_completion={"role": "assistant", "content": "hi"},
            settings={"temperature": 0.5},
            input_token_count=3,
            output_token_count=2,
            token_count=5,
        )
    )
    assert made.id
    newest = (await api.get_generations(first=1, order_by=NEWEST)).data
    assert [generation.id for generation in newest] == [made.id]
    assert (newest[0].model, newest[0].provider, newest[0].token_count) == ("gpt-4o", "openai", 5)
    assert newest[0].message_completion["content"] == "hi"
    assert newest[0].settings == {"temperature": 0.5}


async def test_scores(api: Face) -> None:
    """A score keeps its comment through a change of its value, and value 0 is a value."""
    step = await api.create_step(type="run")
    made = await api.create_score(step_id=step.id, name="clarity", type="HUMAN", value=0.9, comment="good")
    assert made.comment == "good"
    changed = await api.update_score(made.id, {"value": 0})
    assert (changed.value, changed.comment) == (0, "good")
    newest = (await api.get_scores(first=1, order_by=NEWEST)).data
    assert [(score.id, score.comment) for score in newest] == [(made.id, "good")]
    assert [score.id for score in (await api.get_step(step.id)).scores] == [made.id]
    await api.delete_score(made.id)
    assert (await api.get_step(step.id)).scores in (None, [])


async def test_scores_in_a_batch(api: Face) -> None:
    """Many scores in one call come back in their order."""
    step = await api.create_step(type="run")
    given = [{"name": f"s{number}", "type": "CODE", "value": number / 7, "stepId": step.id} for number in range(5)]
    made = await api.create_scores(given)
    shown = [score if isinstance(score, dict) else score.to_dict() for score in made]  # the two faces differ
    assert [(score["name"], score["value"]) for score in shown] == [(one["name"], one["value"]) for one in given]


async def test_attachment_by_address(api: Face) -> None:
    """An attachment that lies elsewhere keeps its address, and a new name leaves its metadata alone."""
    thread = await api.create_thread()
    step = await api.create_step(thread_id=thread.id)
    made = await api.create_attachment(
        step_id=step.id, url="https://files.test/a.txt", name="a.txt", mime="text/plain", metadata={"pages": 2}
    )
    found = await api.get_attachment(made.id)
    assert (found.url, found.step_id, found.thread_id) == ("https://files.test/a.txt", step.id, thread.id)
    renamed = await api.update_attachment(made.id, {"name": "b.txt"})
    assert (renamed.name, renamed.metadata) == ("b.txt", {"pages": 2})
    await api.delete_attachment(made.id)
    assert await api.get_attachment(made.id) is None


@pytest.mark.parametrize("source", ["bytes", "text", "path"])
async def test_attachment_by_upload(api: Face, tmp_path: Path, source: str) -> None:
    """A file's content is uploaded, hangs on its step, and is read back byte by byte at its address."""
    thread = await api.create_thread()
    step = await api.create_step(thread_id=thread.id)
    content = "naïve\x00\r\n".encode() * 1_000
    (tmp_path / "notes.txt").write_bytes(content)
    ways: dict[str, dict[str, Any]] = {
        "bytes": {"content": content},
        "text": {"content": content.decode()},
        "path": {"path": str(tmp_path / "notes.txt")},
    }
    made = await api.create_attachment(
        thread_id=thread.id, step_id=step.id, name="notes.txt", mime="text/plain", metadata={"k": "v"}, **ways[source]
    )
    assert made.object_key
    (seen,) = (await api.get_thread(thread.id)).steps[0].attachments
    assert (seen.id, seen.name, seen.mime, seen.metadata) == (made.id, "notes.txt", "text/plain", {"k": "v"})
    assert seen.object_key == made.object_key
    read = httpx.get(seen.url)
    assert read.status_code == 200, read.text
    assert read.content == content


async def test_project(api: Face) -> None:
    """The key tells its project."""
    assert (await api.get_my_project_id()).startswith("verbatim-")


async def test_history_of_a_user(api: Face) -> None:
    """What a chat's sidebar asks: a user's threads, newest first, in pages, by their words and by their feedback."""
    user = await api.create_user(fresh("ada"), {"role": "admin"})
    threads = [str(uuid.uuid4()) for _ in range(3)]
    for number, thread in enumerate(threads):
        await api.upsert_thread(id=thread, name=f"q{number}", participant_id=user.id)
        await api.send_steps(
            [
                {"id": f"m{thread}", "threadId": thread, "type": "user_message", "output": {"content": "hi"}},
                {"id": f"a{thread}", "threadId": thread, "type": "assistant_message",
                 "output": {"content": f"Answer {number}"}},
            ]
        )  # fmt: skip
    score = await api.create_score(step_id=f"a{threads[1]}", value=1, name="user-feedback", type="HUMAN")
    mine: dict[str, Any] = {"field": "participantId", "operator": "eq", "value": user.id}
    search: dict[str, Any] = {"field": "stepOutput", "operator": "ilike", "value": "answer 2", "path": "content"}
    liked: dict[str, Any] = {"field": "scoreValue", "operator": "eq", "value": 1, "path": "user-feedback"}

    async def history(*filters: Any, **page: Any) -> list[str]:
        found = await api.list_threads(filters=list(filters), order_by=NEWEST, **page)
        return [thread.id for thread in found.data]

    assert await history(mine) == threads[::-1]
    assert await history(mine, search) == [threads[2]]
    assert await history(mine, liked) == [threads[1]]
    first = await api.list_threads(first=2, filters=[mine], order_by=NEWEST)
    assert await history(mine, first=2, after=first.page_info.end_cursor) == [threads[0]]
    await api.update_score(id=score.id, update_params={"comment": "better", "value": 0})
    assert await history(mine, liked) == []
    await api.delete_score(id=score.id)
