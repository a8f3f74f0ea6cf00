"""The SDK's calls about judging a model: datasets, experiments and prompts."""

import uuid
from typing import Any

import pytest
from literalai import LiteralClient
from literalai.observability.generation import ChatGeneration

from tests.clients.faces import Face, fresh
from tests.server_process import KEY

pytestmark = pytest.mark.anyio

QUESTION: Any = {"role": "user", "content": "How high is the tide?"}
ANSWER: Any = {"role": "assistant", "content": "Two metres."}


async def test_datasets(api: Face) -> None:
    """A dataset is made, renamed without losing its description, filled, read by id and name, emptied, deleted."""
    name = fresh("tides")
    made = await api.create_dataset(name=name, description="of the North Sea", metadata={"k": "v"})
    assert (made.name, made.description, made.metadata, made.type) == (
        name,
        "of the North Sea",
        {"k": "v"},
        "key_value",
    )
    renamed = await api.update_dataset(made.id, name=f"{name}!")
    assert (renamed.name, renamed.description) == (f"{name}!", "of the North Sea")
    items = [
        await api.create_dataset_item(made.id, {"content": f"q{number}"}, {"content": f"a{number}"}, {"n": number})
        for number in range(2)
    ]
    found = await api.get_dataset_item(items[0].id)
    assert (found.dataset_id, found.input, found.expected_output) == (made.id, {"content": "q0"}, {"content": "a0"})
    for chosen in ({"id": made.id}, {"name": f"{name}!"}):
        whole = await api.get_dataset(**chosen)
        assert {item.id for item in whole.items} == {item.id for item in items}
    await api.delete_dataset_item(items[0].id)
    assert [item.id for item in (await api.get_dataset(id=made.id)).items] == [items[1].id]
    await api.delete_dataset(made.id)
    assert await api.get_dataset(id=made.id) is None
    assert await api.get_dataset(name=fresh("none")) is None


def test_dataset_as_an_object(client: Any) -> None:
    """The dataset that the SDK hands out acts for itself."""
    dataset = client.api.create_dataset(name=fresh("object"))
    item = dataset.create_item({"content": "q"}, {"content": "a"})
    dataset.update(description="new words")
    assert client.api.get_dataset(id=dataset.id).description == "new words"
    dataset.delete_item(item.id)
    assert client.api.get_dataset(id=dataset.id).items == []
    dataset.delete()
    assert client.api.get_dataset(id=dataset.id) is None


async def test_dataset_from_a_run(api: Face) -> None:
    """A recorded run becomes an item: its input, its output, and the steps in between."""
    thread = await api.create_thread()
    run = await api.create_step(
        thread_id=thread.id, type="run", name="agent", input={"content": "q"}, output={"content": "a"}
    )
    await api.create_step(
        thread_id=thread.id, parent_id=run.id, type="tool", name="look up", input={"w": "q"}, output={"content": "x"}
    )
    dataset = await api.create_dataset(name=fresh("from runs"))
    item = await api.add_step_to_dataset(dataset.id, run.id, {"why": "good"})
    assert (item.input, item.expected_output, item.metadata["why"]) == ({"content": "q"}, {"content": "a"}, "good")
    (between,) = item.intermediary_steps
    assert {name: between[name] for name in ("name", "type", "input", "output")} == {
        "name": "look up",
        "type": "tool",
        "input": {"w": "q"},
        "output": {"content": "x"},
    }


async def test_dataset_from_a_generation(api: Face) -> None:
    """A recorded model call becomes an item: its messages in, its completion expected."""
    generation = await api.create_generation(ChatGeneration(messages=[QUESTION], message_completion=ANSWER))
    dataset = await api.create_dataset(name=fresh("from calls"), type="generation")
    assert dataset.type == "generation"
    item = await api.add_generation_to_dataset(dataset.id, generation.id)
    assert item.input == {"messages": [QUESTION]}
    assert item.expected_output == ANSWER
    assert item.metadata["promptType"] == "CHAT"


async def test_experiments(api: Face) -> None:
    """An experiment needs neither parameters nor a dataset, and its dataset can be deleted."""
    dataset = await api.create_dataset(name=fresh("judged"))
    bare = await api.create_experiment(name="bare", dataset_id=dataset.id)
    assert (bare.name, bare.dataset_id, bare.params) == ("bare", dataset.id, None)
    alone = await api.create_experiment(name="alone", params={"temperature": 0})
    assert (alone.dataset_id, alone.params) == (None, {"temperature": 0})
    await api.delete_dataset(dataset.id)
    assert await api.get_dataset(id=dataset.id) is None


def test_experiment_run(client: Any) -> None:
    """A run of an experiment: the item and its score come first, the step after, all in its own environment."""
    dataset = client.api.create_dataset(name=fresh("runs"))
    expected = dataset.create_item({"content": "q"}, {"content": "a"})
    experiment = dataset.create_experiment(name="first", params={"model": "m"})
    run_id = ""

    @client.experiment_item_run  # type: ignore[untyped-decorator] # the SDK tells no types
    def judged() -> Any:
        nonlocal run_id
        run_id = client.get_current_step().id
        score = {"name": "match", "type": "CODE", "value": 1.0}
        return experiment.log(
            {
                "datasetItemId": expected.id,
                "input": {"content": "q"},
                "output": {"content": "a"},
                "scores": [score],
            }
        )

    logged = judged()
    assert (logged.experiment_run_id, logged.dataset_item_id) == (run_id, expected.id)
    assert [score["value"] for score in logged.scores] == [1.0]
    client.flush()
    step = client.api.get_step(run_id)
    assert (step.name, step.type, step.environment) == ("Experiment Run", "run", "experiment")


def test_experiment_run_without_a_score(client: Any) -> None:
    """An item without scores is logged too, although the SDK then sends a mutation with nothing in it."""
    experiment = client.api.create_experiment(name="no scores")
    item = experiment.log({"input": {"content": "q"}, "output": {"content": "a"}})
    assert (item.input, item.output, item.scores) == ({"content": "q"}, {"content": "a"}, [])


async def test_experiment_with_a_variant(api: Face) -> None:
    """A variant of a prompt is made from a lineage, or from none, and an experiment keeps which one it tried."""
    variant = await api.create_prompt_variant(name="Default", template_messages=[QUESTION])
    assert variant
    experiment = await api.create_experiment(name="variant", prompt_variant_id=variant)
    assert experiment.prompt_variant_id == variant
    assert await api.create_prompt_variant(name=fresh("no lineage"), template_messages=[QUESTION])


async def test_prompt(api: Face) -> None:
    """A prompt is found by name and by id, tells its provider and its page, and renders with its defaults."""
    prompt = await api.get_prompt(name="Default", version=0)
    project = await api.get_my_project_id()
    assert (prompt.name, prompt.version, prompt.provider) == ("Default", 0, "openai")
    assert prompt.url.endswith(f"/projects/{project}/playground?name=Default&version=0")
    assert (await api.get_prompt(id=prompt.id)).template_messages == prompt.template_messages
    assert (await api.get_prompt(name="Default")).id == prompt.id
    (message,) = prompt.format_messages()
    items = "* item 0\n* item 1\n* item 2\n"
    assert message["content"] == f"Hello, this is a test value and this\n\n{items}\nis a templated list."
    (changed,) = prompt.format_messages(test_var="Edited value")
    assert changed["content"].startswith("Hello, this is a Edited value and this")
    assert message["role"] == "user"


async def test_same_prompt_is_the_same_version(api: Face) -> None:
    """What equals an earlier version gets that version, whatever the SDK leaves out or adds when sending it back."""
    prompt = await api.get_prompt(name="Default", version=0)
    again = await api.get_or_create_prompt(
        name="Default", template_messages=prompt.template_messages, settings=prompt.settings, tools=prompt.tools
    )
    assert (again.id, again.version) == (prompt.id, 0)


async def test_rollout(api: Face) -> None:
    """The first version gets everything; a new rollout takes the place of the old one."""
    name = fresh("A/B")
    for number, words in enumerate(("Hello", "Hello 2")):
        version = await api.get_or_create_prompt(name=name, template_messages=[{"role": "user", "content": words}])
        assert version.version == number

    async def rolled_out() -> list[tuple[int, float]]:
        return sorted((one["version"], one["rollout"]) for one in await api.get_prompt_ab_testing(name=name))

    assert await rolled_out() == [(0, 100)]
    answer = await api.update_prompt_ab_testing(
        name=name, rollouts=[{"version": 0, "rollout": 60}, {"version": 1, "rollout": 40}]
    )
    assert answer["ok"]
    assert await rolled_out() == [(0, 60), (1, 40)]
    await api.update_prompt_ab_testing(name=name, rollouts=[{"version": 1, "rollout": 100}])
    assert await rolled_out() == [(1, 100)]
    assert (await api.get_prompt(name=name)).version == 1


async def test_prompt_cache(api: Face, client: Any) -> None:
    """A client that is refused all at once goes on with the prompt it has seen before."""
    prompt = await api.get_prompt(name="Default", version=0)
    refused: Any = LiteralClient(url=client.api.url, api_key="wrong", disabled=True)
    assert refused.api.get_prompt(name="Default", version=0).id == prompt.id
    assert refused.api.get_prompt(id=prompt.id).id == prompt.id


async def test_unknown_prompt(api: Face) -> None:
    """A prompt that is not there is said to be missing, in words."""
    name = fresh("no such prompt")
    with pytest.raises(Exception, match="no such prompt"):
        await api.get_prompt(name=name)


async def test_prompt_of_a_logged_call(api: Face) -> None:
    """A call made with a prompt keeps which prompt and which variables it was made with."""
    prompt = await api.get_prompt(name="Default", version=0)
    assert all(message["uuid"] for message in prompt.template_messages)
    step = str(uuid.uuid4())
    generation = {"type": "CHAT", "promptId": prompt.id, "variables": {"test_var": "x"}, "messages": [QUESTION]}
    await api.send_steps([{"id": step, "type": "llm", "name": "call", "generation": generation}])
    lineage: Any = [{"field": "promptLineage", "operator": "eq", "value": "Default"}]
    assert step in [one.id for one in (await api.get_generations(first=100, filters=lineage)).data]
    assert (await api.get_step(step)).generation.variables == {"test_var": "x"}


def test_key_of_the_environment(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two variables are all that an application changes."""
    monkeypatch.setenv("LITERAL_API_URL", address)
    monkeypatch.setenv("LITERAL_API_KEY", KEY)
    client: Any = LiteralClient(disabled=True)
    assert client.api.get_my_project_id()
