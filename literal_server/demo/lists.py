"""The demo's prompts, datasets and experiment, made of its threads by the functions that clients reach."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import datasets, experiments, ingest, prompts
from literal_server.collection_tables import Dataset
from literal_server.tables import Project

DEFAULT_TEMPLATE = """Hello, this is a {{test_var}} and this

{{#items}}
* {{.}}
{{/items}}

is a templated list."""
# Texts, as the clients' renderer leaves out a number 0 in a list.
DEFAULT_VALUES = {"test_var": "test value", "items": ["item 0", "item 1", "item 2"]}
SETTINGS = {"provider": "openai", "model": "gpt-4o-mini", "temperature": 0.7}


async def add_lists(
    session: AsyncSession, project: Project, run_ids: Sequence[str], generation_ids: Sequence[str]
) -> Counter[str]:
    """Add the prompts and datasets whose names are not there yet; answers how many of each."""
    added: Counter[str] = Counter()
    added["prompt"] += await _add_prompt(session, project.id, "Default", [DEFAULT_TEMPLATE])
    support = [
        "Answer {{name}} in two sentences.",
        "Answer {{name}} kindly, in two sentences, and offer one next step.",
    ]
    if await _add_prompt(session, project.id, "Support answer", support):
        added["prompt"] += 1
        rollout = [{"version": 0, "rollout": 80}, {"version": 1, "rollout": 20}]
        await prompts.set_rollout(session, project.id, "Support answer", rollout)
    runs = await _new_dataset(session, project.id, "Questions with tools", "key_value")
    if runs is not None:
        added["dataset"] += 1
        for run_id in run_ids:
            await datasets.add_step(session, project.id, runs.id, run_id)
        await session.flush()
        added["experiment"] += await _add_experiment(session, project.id, runs)
    answers = await _new_dataset(session, project.id, "Good answers", "generation")
    if answers is not None:
        added["dataset"] += 1
        for generation_id in generation_ids:
            await datasets.add_generation(session, project.id, answers.id, generation_id)
    return added


async def _add_prompt(session: AsyncSession, project: str, name: str, templates: Sequence[str]) -> bool:
    if await prompts.find_lineage(session, project, name) is not None:
        return False
    lineage = await prompts.create_lineage(session, project, name)
    for template in templates:
        await session.flush()
        content = {"template_messages": [{"role": "user", "content": template}], "settings": SETTINGS, "tools": []}
        values = DEFAULT_VALUES if template is DEFAULT_TEMPLATE else {"name": "the customer"}
        await prompts.create_version(session, project, lineage.id, content | {"variables_default_values": values})
    return True


async def _new_dataset(session: AsyncSession, project: str, name: str, kind: str) -> Dataset | None:
    # A deleted one counts as there: who deleted it does not want it back.
    named = select(Dataset.id).where(Dataset.project_id == project, Dataset.name == name)
    if await session.scalar(named.limit(1)) is not None:
        return None
    made = await datasets.create(session, project, name, metadata={"demo": True}, type=kind)
    await session.flush()
    return made


async def _add_experiment(session: AsyncSession, project: str, dataset: Dataset) -> int:
    params = {"model": "gpt-4o-mini", "temperature": 0.2}
    made = await experiments.create(session, project, "Lower temperature", dataset_id=dataset.id, params=params)
    await session.flush()
    for number, item in enumerate(await datasets.items_of(session, project, dataset.id)):
        result = await experiments.add_item(
            session, project, made.id, dataset_item_id=item.id, input=item.input, output=item.expected_output
        )
        score = {"name": "similarity", "type": "AI", "value": round(1 - number * 0.07, 2)}
        await ingest.merge_score(session, project, score | {"datasetExperimentItemId": result.id})
    return 1
