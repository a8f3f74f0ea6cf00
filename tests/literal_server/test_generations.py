"""Generations: made by themselves or as part of a step, listed with the way to their thread."""

from typing import Any

from literalai.observability.generation import ChatGeneration, CompletionGeneration, GenerationType

NEWEST: Any = {"column": "createdAt", "direction": "DESC"}


def test_a_generation_of_its_own(client: Any) -> None:
    """A generation that is made without a step is listed first, is a step of its id, and reads back as it was."""
    made = client.api.create_generation(
        ChatGeneration(
            provider="test",
            model="small",
            messages=[{"role": "user", "content": "Hello"}],
            message_completion={"role": "assistant", "content": "Hi"},
            tags=["to_score"],
            settings={"temperature": 0.5},
            input_token_count=3,
            output_token_count=4,
            duration=1.25,
        )
    )
    page = client.api.get_generations(first=1, order_by=NEWEST)

    (found,) = page.data
    assert (found.id, made.type) == (made.id, GenerationType.CHAT)
    assert found.messages == [{"role": "user", "content": "Hello"}]
    assert found.message_completion == {"role": "assistant", "content": "Hi"}
    assert (found.token_count, found.duration, found.tags) == (7, 1.25, ["to_score"])
    step = client.api.get_step(made.id)
    assert (step.type, step.thread_id, step.tags) == ("llm", None, ["to_score"])


def test_a_completion(client: Any) -> None:
    """A generation with a prompt and a completion is of that type."""
    made = client.api.create_generation(CompletionGeneration(model="old", prompt="1, 2,", completion=" 3"))

    (found,) = client.api.get_generations().data
    assert (found.id, found.type) == (made.id, GenerationType.COMPLETION)
    assert (found.prompt, found.completion) == ("1, 2,", " 3")


def test_steps_with_a_generation_are_listed(client: Any) -> None:
    """Steps that carry a generation are in the list under their own ids, whatever their type; others are not."""
    user = client.api.create_user("ada")
    client.api.upsert_thread(id="t", participant_id=user.id)
    client.api.send_steps(
        [
            {"id": "plain", "threadId": "t", "type": "llm"},
            {"id": "empty", "threadId": "t", "type": "llm", "generation": {}},
            {"id": "call", "threadId": "t", "type": "llm", "generation": {"model": "m", "messages": []}},
            {"id": "run", "threadId": "t", "type": "run", "generation": {"provider": "p", "error": "refused"}},
        ]
    )
    client.api.send_steps([{"id": "gone", "type": "llm", "generation": {"model": "m"}}])
    client.api.delete_step("gone")

    assert {found.id for found in client.api.get_generations().data} == {"call", "run"}
    way = "step { threadId thread { participant { identifier } } }"
    answer = client.api.make_gql_call("read", f"{{ generations {{ edges {{ node {{ id error {way} }} }} }} }}", {})
    nodes = {edge["node"]["id"]: edge["node"] for edge in answer["data"]["generations"]["edges"]}
    assert nodes["run"]["error"] == "refused"
    assert nodes["call"]["step"] == {"threadId": "t", "thread": {"participant": {"identifier": "ada"}}}


def test_making_one_again_changes_nothing(client: Any) -> None:
    """A generation that brings its id is made once, however often it is sent."""
    for _ in range(2):
        client.api.create_generation(ChatGeneration(id="mine", model="m"))

    assert [found.id for found in client.api.get_generations().data] == ["mine"]
