"""What only 0.1.300 has: a hook that changes steps before they leave the application."""

from typing import Any


def test_steps_changed_before_they_leave(client: Any) -> None:
    """What an application blots out in its own hook never arrives."""

    def blot(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for step in steps:
            step["output"] = {"content": step["output"]["content"].replace("0171 555", "***")}
        return steps

    client.set_preprocess_steps_function(blot)
    with client.thread() as thread:
        client.message(content="call 0171 555", type="user_message")
    client.flush()
    (found,) = client.api.get_thread(thread.id).steps
    assert found.output == {"content": "call ***"}
