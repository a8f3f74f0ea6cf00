"""The model client over a real connection: what odd servers send, and how pieces become one message."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from agent.errors import AgentError, KeyRefusedError, NoConnectionError, StreamCutError, UnreadableAnswerError
from agent.events import Usage
from agent.model import ChatModel, ModelCall, _ToolCalls, openai_client
from tests.agent.raw_server import delta, http, piece, serve, stream
from tests.agent.turns import QUESTION

pytestmark = pytest.mark.anyio
STOP = delta("stop")


async def ask(answer: bytes, **options: Any) -> ModelCall:
    """Make one call to a server that answers with these bytes."""
    async with serve(answer) as url:
        model = ChatModel(openai_client(base_url=f"{url}/v1", max_retries=0, timeout_seconds=5, **options), "m")
        call = model.call(QUESTION, [], "auto")
        try:
            await call.read(lambda _: None)
        finally:
            await model.close()
    return call


async def failure(answer: bytes, **options: Any) -> AgentError:
    with pytest.raises(AgentError) as caught:
        await ask(answer, **options)
    return caught.value


async def calls_of(*pieces: Any) -> list[tuple[str, str]]:
    """Return name and arguments of the calls that these chunks make."""
    call = await ask(stream(*pieces, STOP, "[DONE]"))
    ids = [made["id"] for made in call.message["tool_calls"]]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    return [(made["function"]["name"], made["function"]["arguments"]) for made in call.message["tool_calls"]]


@settings(max_examples=50)
@given(st.data())
def test_any_way_of_cutting_calls_gives_the_same_message(data: st.DataObject) -> None:
    """However the arguments of calls are cut, and in whichever order the pieces mix, the same calls come out."""
    texts = data.draw(st.lists(st.text(), min_size=1, max_size=4))
    pieces: list[list[dict[str, Any]]] = []
    for index, text in enumerate(texts):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
        parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        first = {"index": index, "id": f"call_{index}", "function": {"name": f"tool_{index}", "arguments": ""}}
        pieces.append([first, *({"index": index, "function": {"arguments": part}} for part in parts)])
    calls = _ToolCalls()
    while any(pieces):
        queue = data.draw(st.sampled_from([queue for queue in pieces if queue]))
        calls.take(ChoiceDeltaToolCall.model_validate(queue.pop(0)))

    assert [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls.as_messages()] == [
        (f"call_{index}", f"tool_{index}", text) for index, text in enumerate(texts)
    ]


ODD_SERVERS = {
    "name in every piece": [piece("a", '{"x"', index=0, id="1"), piece("a", ":1}", index=0, id="1")],
    "a new id for every piece": [piece("a", '{"x"', index=0, id="1"), piece(None, ":1}", index=0, id="2")],
    "no id": [piece("a", '{"x"', index=0), piece(None, ":1}", index=0)],
    "no index": [piece("a", '{"x"', id="1"), piece(None, ":1}", id="1")],
    "no index, no id": [piece("a", '{"x"'), piece(None, ":1}")],
    "arguments as an object": [piece("a", {"x": 1}, index=0, id="1")],
    "an index that is none": [piece("a", '{"x"', index="first"), piece(None, ":1}", index="first")],
    "name later": [piece("", "", index=0, id="1"), piece("a", '{"x":1}', index=0)],
}


@pytest.mark.parametrize("pieces", ODD_SERVERS.values(), ids=ODD_SERVERS)
async def test_one_call_from_an_odd_server(pieces: list[Any]) -> None:
    """One call stays one, whatever the server leaves out or repeats."""
    [(name, arguments)] = await calls_of(*pieces)

    assert (name, json.loads(arguments)) == ("a", {"x": 1})


TWO_FROM_ODD_SERVERS = {
    "both have index 0": [piece("a", "{}", index=0, id="1"), piece("b", "{}", index=0, id="2")],
    "no index": [piece("a", "{}", id="1"), piece("b", "{}", id="2")],
    "no index, no id": [piece("a", "{}"), piece("b", "{}")],
    "the same id": [piece("a", "{}", index=0, id="1"), piece("b", "{}", index=1, id="1")],
    "later one first": [piece("b", "{}", index=1, id="2"), piece("a", "{}", index=0, id="1")],
}


@pytest.mark.parametrize("pieces", TWO_FROM_ODD_SERVERS.values(), ids=TWO_FROM_ODD_SERVERS)
async def test_two_calls_from_an_odd_server(pieces: list[Any]) -> None:
    """Two calls stay two, each with an id of its own."""
    assert await calls_of(*pieces) == [("a", "{}"), ("b", "{}")]


@pytest.mark.parametrize(
    ("chunks", "usage"),
    [
        ([delta(content="Hi"), STOP], None),
        (
            [delta(content="Hi"), STOP, {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}],
            (3, 1, 4),
        ),
        ([{**delta(content="Hi"), "usage": None}, {**STOP, "usage": {"total_tokens": 4}}], (0, 0, 4)),
        ([{**delta(content="Hi"), "choices": None}, delta(content="Hi"), delta("stop", content=None)], None),
    ],
)
async def test_usage_comes_in_many_ways_or_not_at_all(chunks: list[Any], usage: tuple[int, int, int] | None) -> None:
    """Token counts are taken where they are; without any the answer is as good."""
    call = await ask(stream(*chunks, "[DONE]"))

    assert call.message == {"role": "assistant", "content": "Hi"}
    assert call.usage == (Usage(*usage) if usage else None)


async def test_half_a_character_does_no_harm() -> None:
    """Half of a surrogate pair, which could be neither sent nor stored, becomes a question mark."""
    call = await ask(stream('{"choices": [{"index": 0, "delta": {"content": "a\\ud83db"}}]}', STOP))

    assert call.message["content"] == "a?b"


async def test_a_refusal_is_what_the_model_has_to_say() -> None:
    """Text in the field `refusal` is the answer."""
    assert (await ask(stream(delta(refusal="No."), STOP))).message["content"] == "No."


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (stream(delta(content="Hi"), whole=False), StreamCutError),
        (stream(delta(content="Hi")), StreamCutError),
        (stream("[DONE]"), UnreadableAnswerError),
        (stream("this is not JSON"), UnreadableAnswerError),
        (stream('"a string"'), UnreadableAnswerError),
        (stream({"choices": "none"}), UnreadableAnswerError),
        (stream({"choices": [1]}), UnreadableAnswerError),
        (stream(delta(content=5)), UnreadableAnswerError),
        (http("<html>Welcome</html>", kind="text/html"), UnreadableAnswerError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", NoConnectionError),
        (b"", NoConnectionError),
    ],
)
async def test_what_no_server_should_send_is_a_clear_failure(answer: bytes, kind: type[AgentError]) -> None:
    """Whatever comes over the wire, one of our errors says what to look at."""
    error = await failure(answer)

    assert type(error) is kind
    assert "127.0.0.1" in error.message
    assert "OPENAI_BASE_URL" in error.message


async def test_an_error_in_the_middle_of_a_stream_is_quoted() -> None:
    """A server that fails after it began to answer is heard, in few words."""
    error = await failure(stream(delta(content="Hi"), {"error": {"message": "CUDA is out of memory. " * 50}}))

    assert "CUDA is out of memory" in error.message
    assert len(error.message) < 400


async def test_a_key_is_never_repeated() -> None:
    """A server that quotes the whole key in its refusal is quoted without it."""
    body = json.dumps({"error": {"message": "Incorrect API key provided: sk-verysecret."}})
    error = await failure(http(body, "401 Unauthorized"), api_key="sk-verysecret")

    assert isinstance(error, KeyRefusedError)
    assert "Incorrect API key" in error.message
    assert "verysecret" not in error.message


async def test_a_key_that_cannot_be_sent_is_named() -> None:
    """A key with characters that no header can hold is the key's fault, not the server's."""
    assert isinstance(await failure(b"", api_key="ключ"), KeyRefusedError)


@pytest.mark.parametrize(
    ("url", "provider"),
    [(None, "openai"), ("http://localhost:11434/v1", "localhost"), ("https://api.mistral.ai/v1", "api.mistral.ai")],
)
def test_the_provider_is_told_by_the_address(url: str | None, provider: str) -> None:
    """OpenAI has its name, anyone else is known by the host."""
    assert ChatModel(openai_client(base_url=url), "m").provider == provider


def test_settings_are_part_of_each_call() -> None:
    """What is set for the model is in the settings of a call; with no tools there is no choice among them."""
    model = ChatModel(openai_client(base_url="http://localhost/v1"), "m", {"temperature": 0.2})

    assert model.call(QUESTION, [], "auto").settings == {
        "temperature": 0.2,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert model.call(QUESTION, [{"type": "function"}], "none").settings["tool_choice"] == "none"
