"""The contract itself: its 45 root fields, the test that covers each, and every document of the installed SDK."""

import importlib
import inspect
import re
from typing import Any

import pytest
from graphql import GraphQLSchema, parse, validate
from literalai.api.helpers import score_helpers

from literal_server.graphql.service import make_schema
from tests.app_process import ROOT
from tests.literal_server.wire import gql

USERS = "clients.test_literalai_records.test_users"
THREADS = "clients.test_literalai_records.test_threads"
STEPS = "clients.test_literalai_records.test_steps"
SCORES = "clients.test_literalai_records.test_scores"
FILES = "literal_server.test_files.test_an_attachment_with_content"
DATASETS = "literal_server.test_datasets.test_a_dataset_and_its_items"
PROMPTS = "literal_server.test_prompts.test_get_or_create"
ROLLOUT = "literal_server.test_prompts.test_rollout_is_replaced_and_read_back"

QUERIES = {
    "participants": USERS,
    "participant": USERS,
    "threads": THREADS,
    "threadDetail": THREADS,
    "steps": STEPS,
    "step": STEPS,
    "generations": "literal_server.test_generations.test_a_generation_of_its_own",
    "scores": "literal_server.test_scores.test_a_batch_keeps_its_order",
    "attachment": FILES,
    "datasets": "literal_server.test_datasets.test_datasets_are_listed",
    "datasetItem": DATASETS,
    "promptLineage": PROMPTS,
    "promptVersion": PROMPTS,
    "promptLineageRollout": ROLLOUT,
}
MUTATIONS = {
    "createParticipant": USERS,
    "updateParticipant": USERS,
    "deleteParticipant": USERS,
    "createThread": THREADS,
    "upsertThread": "clients.test_literalai_records.test_thread_upsert_takes_what_is_given",
    "updateThread": THREADS,
    "deleteThread": THREADS,
    "ingestStep": STEPS,
    "createStep": STEPS,
    "updateStep": STEPS,
    "deleteStep": STEPS,
    "createGeneration": "literal_server.test_generations.test_a_generation_of_its_own",
    "createScore": "literal_server.test_scores.test_a_batch_keeps_its_order",
    "updateScore": SCORES,
    "deleteScore": SCORES,
    "createAttachment": FILES,
    "updateAttachment": FILES,
    "deleteAttachment": FILES,
    "createDataset": DATASETS,
    "updateDataset": DATASETS,
    "deleteDataset": DATASETS,
    "createDatasetItem": DATASETS,
    "deleteDatasetItem": DATASETS,
    "addStepToDataset": "literal_server.test_datasets.test_a_run_becomes_an_item",
    "addGenerationToDataset": "literal_server.test_datasets.test_a_chat_generation_becomes_an_item",
    "createDatasetExperiment": "literal_server.test_datasets.test_an_experiment_run",
    "createDatasetExperimentItem": "literal_server.test_datasets.test_an_experiment_run",
    "createPromptLineage": PROMPTS,
    "createPromptVersion": PROMPTS,
    "createPromptExperiment": "literal_server.test_prompts.test_variants",
    "updatePromptLineageRollout": ROLLOUT,
}
ENDPOINTS = {
    "/api/graphql": STEPS,
    "/api/my-project": "literal_server.test_wire.test_project_of_the_key",
    "/api/export/dataset": DATASETS,
    "/api/upload/file": FILES,
}


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return make_schema()


def test_the_root_fields_are_the_45_of_the_contract(schema: GraphQLSchema) -> None:
    """There is each root field of the contract and no other, and each has a resolver."""
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    assert schema.query_type.fields.keys() == QUERIES.keys()
    assert schema.mutation_type.fields.keys() == MUTATIONS.keys()
    assert len(QUERIES) + len(MUTATIONS) == 45
    roots = [*schema.query_type.fields.values(), *schema.mutation_type.fields.values()]
    assert all(getattr(field.resolve, "__module__", "").startswith("literal_server.") for field in roots)


@pytest.mark.parametrize("name", sorted({*QUERIES.values(), *MUTATIONS.values(), *ENDPOINTS.values()}))
def test_the_test_that_covers_a_field_is_there(name: str) -> None:
    """The table above names tests that exist."""
    module, _, function = name.rpartition(".")

    assert inspect.isfunction(getattr(importlib.import_module(f"tests.{module}"), function))


def test_the_page_about_the_contract_has_the_same_table() -> None:
    """docs/contract.md names each root field and endpoint with the test that covers it."""
    text = (ROOT / "docs" / "contract.md").read_text()
    told = dict(re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", text, re.MULTILINE))

    assert told == QUERIES | MUTATIONS | ENDPOINTS


DOCUMENTS: dict[str, Any] = {
    name: text for name, text in vars(gql).items() if isinstance(text, str) and name.isupper() and "(" in text
} | {
    "AddStep": gql.steps_query_builder([{}, {}]),
    "CreateScores": score_helpers.create_scores_query_builder([{}, {}]),
}


def test_all_documents_of_the_sdk_are_found() -> None:
    """The installed SDK has 44 documents and two that it builds."""
    assert len(DOCUMENTS) == 46


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_documents_of_the_sdk_are_valid(schema: GraphQLSchema, name: str) -> None:
    """Each document that the installed SDK sends is valid by the schema."""
    assert validate(schema, parse(DOCUMENTS[name])) == []
