"""Prompts: got or made, numbered, de-duplicated, served by weight; variables read from their tags."""

import time
from typing import Any

import pytest
from literalai import LiteralClient

from literal_server import prompt_variables
from tests.literal_server.wire import Wire, gql

TEMPLATE = """Hello, this is a {{test_var}} and this

{{#items}}
* {{.}}
{{/items}}

is a templated list."""
SETTINGS = {"provider": "openai", "model": "gpt-4o", "temperature": 1}


def messages(content: str = TEMPLATE) -> Any:
    return [{"role": "user", "content": content}]


def test_get_or_create(client: Any) -> None:
    """A prompt that is made once is answered again for the same content, with the provider where it was and uuids."""
    made = client.api.get_or_create_prompt(name="Default", template_messages=messages(), settings=SETTINGS)
    project = client.api.get_my_project_id()
    assert (made.name, made.version) == ("Default", 0)

    read = client.api.get_prompt(name="Default", version=0)
    assert (read.id, read.provider, read.settings) == (made.id, "openai", {"model": "gpt-4o", "temperature": 1})
    assert read.url.endswith(f"/projects/{project}/playground?name=Default&version=0")
    assert read.template_messages[0]["uuid"]
    assert read.variables == [{"name": "test_var", "language": "plaintext"}, {"name": "items", "language": "json"}]
    again = client.api.get_or_create_prompt(
        name="Default", template_messages=read.template_messages, settings=read.settings, tools=read.tools
    )
    assert again.id == made.id
    assert client.api.get_prompt(id=made.id).version == 0
    changed = client.api.get_or_create_prompt(name="Default", template_messages=messages("Other"))
    assert (changed.version, changed.id != made.id) == (1, True)
    assert client.api.get_or_create_prompt_lineage("Default")["id"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"settings": None}, {"settings": {}}, True),
        ({"settings": {"provider": "a"}}, {"settings": {"provider": "b"}}, True),
        ({"settings": {"model": "a"}}, {"settings": {"model": "b"}}, False),
        ({"tools": None}, {"tools": []}, True),
        ({"tools": []}, {"tools": [{"type": "function"}]}, False),
        ({"settings": {"a": 1, "b": 2}}, {"settings": {"b": 2.0, "a": 1.0}}, True),
        ({"templateMessages": [{"role": "user", "uuid": "u"}]}, {"templateMessages": [{"role": "user"}]}, True),
        ({"templateMessages": [{"role": "user"}]}, {"templateMessages": [{"role": "system"}]}, False),
        ({"variablesDefaultValues": {"a": 1}}, {"variablesDefaultValues": {"a": 2}}, False),
        ({"variablesDefaultValues": {"a": 1}}, {}, True),
    ],
)
@pytest.mark.anyio
async def test_what_counts_as_the_same_content(
    wire: Wire, one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    """A version is answered again for content that differs in nothing that counts."""
    lineage = (await wire.send(gql.CREATE_PROMPT_LINEAGE, {"name": "p"}))["id"]
    first = await wire.send(gql.CREATE_PROMPT_VERSION, {"lineageId": lineage, **one})
    second = await wire.send(gql.CREATE_PROMPT_VERSION, {"lineageId": lineage, **other})

    assert (first["id"] == second["id"]) is same
    assert second["version"] == (0 if same else 1)
    assert all(message["uuid"] for message in first["templateMessages"])


def test_any_earlier_version_is_found_again(client: Any) -> None:
    """Content that an older version has is that version, not a new one."""
    ids = [client.api.get_or_create_prompt("p", messages(text)).id for text in ("a", "b", "a", "b", "c")]
    assert ids[:2] == ids[2:4]
    assert client.api.get_prompt(name="p", version=2).id == ids[4]


def test_rollout_is_replaced_and_read_back(client: Any) -> None:
    """The first version is served in full; a new set of weights replaces the old one."""
    client.api.get_or_create_prompt("p", messages("Hello"))
    assert client.api.get_prompt_ab_testing("p") == [{"version": 0, "rollout": 100}]
    client.api.get_or_create_prompt("p", messages("Hello 2"))
    assert client.api.get_prompt_ab_testing("p") == [{"version": 0, "rollout": 100}]

    answer = client.api.update_prompt_ab_testing("p", [{"version": 1, "rollout": 40}, {"version": 0, "rollout": 60}])
    assert answer == {"ok": True, "message": None, "errorCode": None}
    assert client.api.get_prompt_ab_testing("p") == [{"version": 0, "rollout": 60}, {"version": 1, "rollout": 40}]
    client.api.update_prompt_ab_testing("p", [{"version": 1, "rollout": 0.5}])
    assert client.api.get_prompt_ab_testing("p") == [{"version": 1, "rollout": 0.5}]
    assert client.api.get_prompt_ab_testing("nothing") == []


@pytest.mark.anyio
async def test_a_version_is_chosen_by_weight(wire: Wire) -> None:
    """Without a number both weighted versions are served and no other; with weights of nothing the newest is."""
    lineage = (await wire.send(gql.CREATE_PROMPT_LINEAGE, {"name": "p"}))["id"]
    for text in ("a", "b", "c"):
        await wire.send(gql.CREATE_PROMPT_VERSION, {"lineageId": lineage, "templateMessages": messages(text)})

    async def served(times: int, *weights: dict[str, Any]) -> set[int]:
        await wire.send(gql.UPDATE_PROMPT_AB_TESTING, {"name": "p", "rollouts": list(weights)})
        return {(await wire.send(gql.GET_PROMPT_VERSION, {"name": "p"}))["version"] for _ in range(times)}

    # Two out of two: the chance that either never shows in 200 draws is below 1e-40.
    assert await served(200, {"version": 0, "rollout": 0.6}, {"version": 1, "rollout": 0.4}) == {0, 1}
    assert await served(20, {"version": 0, "rollout": 0}, {"version": 1, "rollout": 1}) == {1}
    assert await served(1, {"version": 0, "rollout": 0}) == {2}
    assert await served(1) == {2}
    numbered = await wire.send(gql.GET_PROMPT_VERSION, {"name": "p", "version": 0})
    assert numbered["version"] == 0


def test_variants(client: Any) -> None:
    """A variant is kept beside the versions, of a lineage or of none, and its messages get uuids."""
    client.api.get_or_create_prompt("p", messages())
    for name in ("p", "nothing"):
        assert client.api.create_prompt_variant(name, messages("{{a}}"), {"temperature": 0.5})
    answer = client.api.make_gql_call(
        "create",
        "mutation ($m: Json) { createPromptExperiment(templateMessages: $m) "
        "{ id fromLineageId projectId variables templateMessages settings } }",
        {"m": messages("{{a}}")},
    )["data"]["createPromptExperiment"]
    assert (answer["fromLineageId"], answer["settings"]) == (None, {})
    assert answer["variables"] == [{"name": "a", "language": "plaintext"}]
    assert answer["templateMessages"][0]["uuid"]
    assert client.api.get_prompt_ab_testing("p") == [{"version": 0, "rollout": 100}]


def test_the_sdk_renders_it(client: Any) -> None:
    """Defaults and given values fill the template as the client renders it."""
    lineage = client.api.get_or_create_prompt_lineage("Default")
    client.api.make_gql_call(
        "create",
        gql.CREATE_PROMPT_VERSION,
        {
            "lineageId": lineage["id"],
            "templateMessages": messages(),
            "variablesDefaultValues": {"test_var": "test value", "items": ["item 0", "item 1", "item 2"]},
        },
    )
    prompt = client.api.get_prompt(name="Default")
    expected = "Hello, this is a test value and this\n\n* item 0\n* item 1\n* item 2\n\nis a templated list."
    assert [one["content"] for one in prompt.format_messages()] == [expected]
    edited = prompt.format_messages(test_var="Edited value")
    assert [one["content"] for one in edited] == [expected.replace("test value", "Edited value")]


def test_a_wrong_key_is_refused_at_once(client: Any, address: str) -> None:
    """A client with a cached prompt falls back to it, as it is refused well within the second that it waits."""
    made = client.api.get_or_create_prompt("p", messages())
    client.api.get_prompt(id=made.id)
    stranger = LiteralClient(url=address, api_key="wrong", disabled=True)
    begun = time.monotonic()
    assert stranger.api.get_prompt(id=made.id).id == made.id
    assert time.monotonic() - begun < 1


@pytest.mark.anyio
async def test_what_cannot_be_done_is_explained(wire: Wire) -> None:
    """A prompt that is not there and weights that make no sense are errors in words."""
    lineage = (await wire.send(gql.CREATE_PROMPT_LINEAGE, {"name": "p"}))["id"]
    await wire.send(gql.CREATE_PROMPT_VERSION, {"lineageId": lineage})
    zero = {"version": 0, "rollout": 1}
    for document, variables, words in (
        (gql.GET_PROMPT_VERSION, {"id": "nothing"}, "no prompt with the id"),
        (gql.GET_PROMPT_VERSION, {"name": "nothing"}, "no prompt with the name"),
        (gql.GET_PROMPT_VERSION, {"name": "p", "version": 9}, "and the version 9"),
        (gql.GET_PROMPT_VERSION, {}, "by id or by name"),
        (gql.CREATE_PROMPT_VERSION, {"lineageId": "nothing"}, "no prompt lineage"),
        (gql.CREATE_PROMPT_VERSION, {"lineageId": lineage, "templateMessages": "text"}, "list of objects"),
        (gql.CREATE_PROMPT_VARIANT, {"fromLineageId": "nothing"}, "no prompt lineage"),
        (gql.UPDATE_PROMPT_AB_TESTING, {"name": "nothing", "rollouts": []}, "no prompt with the name"),
        (gql.UPDATE_PROMPT_AB_TESTING, {"name": "p", "rollouts": [zero, zero]}, "once"),
        (gql.UPDATE_PROMPT_AB_TESTING, {"name": "p", "rollouts": [{"version": 0, "rollout": -1}]}, "0 or more"),
        (gql.UPDATE_PROMPT_AB_TESTING, {"name": "p", "rollouts": [zero, {"version": 7, "rollout": 1}]}, "version 7"),
    ):
        body = await wire.post(document, variables)
        assert words in body["errors"][0]["message"], variables
    assert await wire.send(gql.GET_PROMPT_LINEAGE, {"name": "nothing"}) is None


@pytest.mark.parametrize(
    ("content", "variables"),
    [
        ("no tags", []),
        ("{{a}} {{ b }} {{{c}}} {{&d}} {{a}}", [("a", "plaintext"), ("b", "plaintext"), ("c", "plaintext"),
                                                ("d", "plaintext")]),
        ("{{#list}}{{name}}{{/list}} {{after}}", [("list", "json"), ("after", "plaintext")]),
        ("{{^none}}empty{{/none}}", [("none", "json")]),
        ("{{user.name}}", [("user", "json")]),
        ("{{! a comment }} {{> partial }} {{.}} {{", []),
        ("{{#a}}{{#b}}{{x}}{{/b}}{{y}}{{/a}}{{z}}", [("a", "json"), ("z", "plaintext")]),
        ("{{/never}} {{a}}", [("a", "plaintext")]),
        ([{"type": "text", "text": "{{a}}"}, {"type": "image_url", "image_url": {"url": "{{no}}"}}, "odd"],
         [("a", "plaintext")]),
        (None, []),
        (7, []),
    ],
)  # fmt: skip
def test_variables_are_read_from_the_tags(content: Any, variables: list[tuple[str, str]]) -> None:
    """Each variable is named once, with the kind of value it takes."""
    found = prompt_variables.of_messages([{"role": "user", "content": content}])
    assert [(one["name"], one["language"]) for one in found] == variables
