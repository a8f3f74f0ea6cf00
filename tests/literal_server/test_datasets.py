"""Datasets and experiments, as the SDK and the export over REST know them."""

from typing import Any

import httpx
import pytest
from literalai import AsyncLiteralClient
from literalai.observability.generation import ChatGeneration, CompletionGeneration

from tests.literal_server.wire import KEY, Wire, gql


def test_a_dataset_and_its_items(client: Any) -> None:
    """A dataset and its items are made, changed, exported by id and by name, and deleted."""
    dataset = client.api.create_dataset(name="cities", description="where", metadata={"a": 1})
    assert (dataset.type, dataset.metadata) == ("key_value", {"a": 1})
    dataset.update(name="towns")
    first = dataset.create_item({"q": 1}, {"a": 2}, {"m": 3})
    second = dataset.create_item({"q": "two"})

    for wanted in ({"id": dataset.id}, {"name": "towns"}, {"id": dataset.id, "name": "towns"}):
        found = client.api.get_dataset(**wanted)
        assert (found.id, found.name, found.description, found.metadata) == (dataset.id, "towns", "where", {"a": 1})
        assert [item.to_dict() for item in found.items] == [first.to_dict(), second.to_dict()]
    assert (first.input, first.expected_output, first.metadata) == ({"q": 1}, {"a": 2}, {"m": 3})
    assert (second.expected_output, second.metadata, second.intermediary_steps) == (None, {}, [])
    assert client.api.get_dataset_item(first.id).input == {"q": 1}

    dataset.delete_item(first.id)
    assert [item.id for item in client.api.get_dataset(id=dataset.id).items] == [second.id]
    dataset.delete()
    assert client.api.get_dataset(id=dataset.id) is None
    assert client.api.get_dataset(name="towns") is None


def test_the_newest_of_a_name(client: Any) -> None:
    """Names may repeat, and the newest dataset answers to its name until it is deleted."""
    older, newer = (client.api.create_dataset(name="same") for _ in range(2))
    assert client.api.get_dataset(name="same").id == newer.id
    newer.delete()
    assert client.api.get_dataset(name="same").id == older.id


def test_a_run_becomes_an_item(client: Any) -> None:
    """A step gives its input and output, and all living steps below it in order; an outsider does not come along."""
    client.api.send_steps(
        [
            {"id": "tool", "parentId": "llm", "type": "tool", "name": "search", "input": {"q": 1}, "output": {"r": 2},
             "startTime": "2025-01-01T00:00:03Z"},
            {"id": "run", "type": "run", "input": {"content": "hello"}, "output": {"content": "hello!"}},
            {"id": "llm", "parentId": "run", "type": "llm", "name": "gpt", "startTime": "2025-01-01T00:00:02Z"},
            {"id": "gone", "parentId": "run", "type": "tool"},
            {"id": "other", "type": "run"},
        ]
    )  # fmt: skip
    client.api.delete_step("gone")
    dataset = client.api.create_dataset(name="runs")
    item = dataset.add_step("run", {"m": 1})

    assert (item.input, item.expected_output, item.metadata) == ({"content": "hello"}, {"content": "hello!"}, {"m": 1})
    below = [(one["id"], one["parentId"], one["type"], one["name"]) for one in item.intermediary_steps]
    assert below == [("llm", "run", "llm", "gpt"), ("tool", "llm", "tool", "search")]
    assert (item.intermediary_steps[1]["input"], item.intermediary_steps[1]["output"]) == ({"q": 1}, {"r": 2})


def test_a_circle_of_steps_becomes_an_item(client: Any) -> None:
    """Steps that are each other's parents do not keep the server going in a circle."""
    client.api.send_steps([{"id": "a", "parentId": "b", "type": "run"}, {"id": "b", "parentId": "a", "type": "tool"}])

    item = client.api.create_dataset(name="circle").add_step("a")
    assert [one["id"] for one in item.intermediary_steps] == ["b"]


def test_a_chat_generation_becomes_an_item(client: Any) -> None:
    """A chat generation gives exactly its messages, what was answered, and its type."""
    messages: Any = [{"role": "user", "content": "input"}]
    answered = client.api.create_generation(
        ChatGeneration(messages=messages, message_completion={"role": "assistant", "content": "output"})
    )
    silent = client.api.create_generation(ChatGeneration(messages=messages))
    dataset = client.api.create_dataset(name="chats", type="generation")

    item = dataset.add_generation(answered.id, {"m": 1})
    assert item.input == {"messages": messages}
    assert item.expected_output == {"role": "assistant", "content": "output"}
    assert item.metadata == {"m": 1, "promptType": "CHAT"}
    assert dataset.add_generation(silent.id).expected_output == {}
    by_hand = dataset.create_item({"messages": messages}, {"role": "assistant", "content": "x"}, {"type": "CHAT"})
    assert by_hand.metadata == {"type": "CHAT"}
    assert client.api.get_dataset(id=dataset.id).type == "generation"


def test_a_completion_becomes_an_item(client: Any) -> None:
    """A completion gives its prompt and its completion."""
    made = client.api.create_generation(CompletionGeneration(prompt="1, 2,", completion=" 3"))
    item = client.api.create_dataset(name="completions", type="generation").add_generation(made.id)

    assert (item.input, item.expected_output) == ({"prompt": "1, 2,"}, {"completion": " 3"})
    assert item.metadata == {"promptType": "COMPLETION"}


def test_an_experiment_run(client: Any) -> None:
    """An experiment on a dataset is logged before its runs arrive, and the dataset can be deleted afterwards."""
    dataset = client.api.create_dataset(name="trials")
    item = dataset.create_item({"q": 1})
    experiment = dataset.create_experiment(name="first", params={"model": "small"})
    assert (experiment.dataset_id, experiment.params) == (dataset.id, {"model": "small"})

    with client.experiment_item_run():
        logged = experiment.log(
            {"datasetItemId": item.id, "input": {"q": 1}, "output": {"a": 2},
             "scores": [{"name": "good", "type": "AI", "value": 1}]}
        )  # fmt: skip
    assert (logged.input, logged.output, logged.dataset_item_id) == ({"q": 1}, {"a": 2}, item.id)
    run = client.api.get_step(logged.experiment_run_id)
    assert (run.name, run.environment) == ("Experiment Run", "experiment")
    (score,) = client.api.get_scores().data
    assert score.dataset_experiment_item_id == logged.id
    assert experiment.log({"input": {}, "output": {}}).experiment_run_id is None
    dataset.delete()


def test_an_experiment_of_its_own(client: Any) -> None:
    """An experiment needs neither a dataset nor parameters, which may also be a list."""
    plain = client.api.create_experiment(name="plain")
    assert (plain.dataset_id, plain.params, plain.prompt_variant_id) == (None, None, None)
    assert client.api.create_experiment(name="listed", params=[1, {"a": 2}]).params == [1, {"a": 2}]
    variant = client.api.create_prompt_variant("nothing", [{"role": "user", "content": "x"}])
    assert client.api.create_experiment(name="on a prompt", prompt_variant_id=variant).prompt_variant_id == variant


@pytest.mark.anyio
async def test_the_asynchronous_client(address: str) -> None:
    """The same over the SDK's other client."""
    client: Any = AsyncLiteralClient(url=address, api_key=KEY, disabled=True)
    dataset = await client.api.create_dataset(name="other", type="generation")
    await client.api.create_dataset_item(dataset.id, {"q": 1})
    found = await client.api.get_dataset(name="other")
    assert [item.input for item in found.items] == [{"q": 1}]
    await client.api.delete_dataset(dataset.id)
    assert await client.api.get_dataset(id=dataset.id) is None


@pytest.mark.anyio
async def test_datasets_are_listed(wire: Wire) -> None:
    """The list of datasets leaves out deleted ones and goes on at a cursor; another project's id changes nothing."""
    made = [await wire.send(gql.CREATE_DATASET, {"name": f"d{number}"}) for number in range(5)]
    await wire.send(gql.DELETE_DATASET, {"id": made[2]["id"]})
    document = """query ($after: ID) { datasets(after: $after, first: 3, projectId: "elsewhere") {
        totalCount pageInfo { endCursor hasNextPage } edges { node { id name } } } }"""
    first = await wire.send(document)
    second = await wire.send(document, {"after": first["pageInfo"]["endCursor"]})

    names = [[edge["node"]["name"] for edge in page["edges"]] for page in (first, second)]
    assert names == [["d4", "d3", "d1"], ["d0"]]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (
        4,
        True,
        False,
    )
    assert await wire.send(gql.GET_DATASET_ITEM, {"id": "nothing"}) is None


@pytest.mark.anyio
async def test_what_cannot_be_done_is_explained(wire: Wire) -> None:
    """Changes to what is not there, and steps for a dataset of generations, are errors in words."""
    chats = (await wire.send(gql.CREATE_DATASET, {"name": "chats", "type": "generation"}))["id"]
    await wire.report({"id": "s", "type": "run"})
    for document, variables, words in (
        (gql.UPDATE_DATASET, {"id": "nothing"}, "no dataset"),
        (gql.DELETE_DATASET, {"id": "nothing"}, "no dataset"),
        (gql.CREATE_DATASET_ITEM, {"datasetId": "nothing", "input": {}}, "no dataset"),
        (gql.DELETE_DATASET_ITEM, {"id": "nothing"}, "no dataset item"),
        (gql.ADD_STEP_TO_DATASET, {"datasetId": chats, "stepId": "s"}, "takes generations"),
        (gql.ADD_STEP_TO_DATASET, {"datasetId": "nothing", "stepId": "s"}, "no dataset"),
        (gql.ADD_GENERATION_TO_DATASET, {"datasetId": chats, "generationId": "s"}, "no generation"),
        (gql.CREATE_EXPERIMENT, {"name": "e", "datasetId": "nothing"}, "no dataset"),
        (gql.CREATE_EXPERIMENT_ITEM, {"datasetExperimentId": "nothing"}, "no experiment"),
    ):
        body = await wire.post(document, variables)
        assert words in body["errors"][0]["message"], document


@pytest.mark.anyio
async def test_the_export_over_rest(http: httpx.AsyncClient, wire: Wire) -> None:
    """The export has the names of the wire, is null with status 200 for nothing, and explains a senseless body."""
    made = await wire.send(gql.CREATE_DATASET, {"name": "d"})
    item = await wire.send(gql.CREATE_DATASET_ITEM, {"datasetId": made["id"], "input": {"deep": [1, None]}})

    answer = await http.post("/api/export/dataset", json={"id": made["id"]})
    assert answer.json() == {"data": made | {"items": [item]}}
    for unknown in ({"id": "nothing"}, {"name": "nothing"}, {"id": made["id"], "name": "other"}):
        answer = await http.post("/api/export/dataset", json=unknown)
        assert (answer.status_code, answer.json()) == (200, {"data": None})
    bodies: list[Any] = [{}, {"id": 1}, {"id": None, "name": []}, []]
    for senseless in bodies:
        answer = await http.post("/api/export/dataset", json=senseless)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["message"]
