"""LlamaIndex with its callback `literalai`: queries, retrievals, embeddings and model calls are one tree of steps."""

from typing import Any

import pytest
from llama_index.callbacks.literalai import literalai_callback_handler
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.llms.openai_like import OpenAILike

from tests.clients.processes import Places
from tests.server_process import KEY

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def handled(running: Places) -> None:
    literalai_callback_handler(api_key=KEY, url=running.server)


@pytest.fixture
def model(handled: None, running: Places) -> Any:
    return OpenAILike(
        model="verbatim-offline", api_base=f"{running.model}/v1", api_key="sk-none", is_chat_model=True, temperature=0.5
    )


def test_query(client: Any, model: Any) -> None:
    """A query of an index is a run with the retrieval and the model call inside."""
    index = VectorStoreIndex.from_documents(
        [Document(text="The tide is two metres high.")], embed_model=MockEmbedding(embed_dim=4)
    )
    with client.thread() as thread:
        answer = index.as_query_engine(llm=model).query("How high is the tide?")
    client.flush()
    found = client.api.get_thread(thread.id)
    said = [(step.type, step.output["content"]) for step in found.steps if step.type.endswith("message")]
    assert said == [("user_message", "How high is the tide?"), ("assistant_message", str(answer))]
    work = [step for step in found.steps if not step.type.endswith("message")]
    assert [step.type for step in work] == ["run", "retrieval", "embedding", "llm"]
    run, retrieval, embedding, call = work
    assert [step.parent_id for step in work] == [None, run.id, retrieval.id, run.id]
    assert embedding.input == {"query": ["How high is the tide?"]}
    assert "two metres" in str(retrieval.output)
    assert call.generation.model == "verbatim-offline"
    assert "How high is the tide?" in str(call.generation.messages)
    assert call.generation.message_completion["content"] == str(answer)
    assert call.generation.input_token_count
    assert call.generation.settings["temperature"] == 0.5
