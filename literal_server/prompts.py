"""Prompts: lineages of numbered versions, the weights by which one of them is served, variants tried in experiments."""

import hashlib
import json
import random
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, generations, json_text, paging, prompt_variables
from literal_server.collection_tables import PromptLineage, PromptVariant, PromptVersion
from literal_server.errors import NotFound, Refused
from literal_server.settings import ServerSettings

Content = Mapping[str, Any]

# A new prompt is served whenever its name is asked for.
FIRST_ROLLOUT = 100.0

_random = random.SystemRandom()


async def find_lineage(session: AsyncSession, project: str, name: str) -> PromptLineage | None:
    """Answer the lineage with this name, a deleted one too: applications that use it must go on."""
    named = (PromptLineage.project_id == project, PromptLineage.name == name)
    return await session.scalar(select(PromptLineage).where(*named))


async def create_lineage(
    session: AsyncSession, project: str, name: str, description: str | None = None
) -> PromptLineage:
    """Make a lineage, or answer the one that has the name."""
    found = await find_lineage(session, project, name)
    if found is None:
        found = PromptLineage(
            project_id=project, id=str(uuid.uuid4()), name=name, description=description, created_at=clock.now()
        )
        session.add(found)
    return found


async def find_version(
    session: AsyncSession,
    project: str,
    *,
    identity: str | None = None,
    name: str | None = None,
    version: int | None = None,
) -> tuple[PromptVersion, PromptLineage]:
    """Answer a version by its id, else by name and number, else one of the name by the weights of its rollout.

    Raises NotFound, and Refused when neither id nor name is given.
    """
    if identity is not None:
        found = await session.get(PromptVersion, (project, identity))
        lineage = await session.get(PromptLineage, (project, found.lineage_id)) if found is not None else None
        wanted = f"id {identity!r}"
    elif name is not None:
        lineage = await find_lineage(session, project, name)
        found = await _version_of(session, lineage, version) if lineage is not None else None
        wanted = f"name {name!r}" + ("" if version is None else f" and the version {version}")
    else:
        raise Refused("A prompt is asked for by id or by name.")
    if found is None or lineage is None:
        raise Refused(f"There is no prompt with the {wanted}.")
    return found, lineage


async def _version_of(session: AsyncSession, lineage: PromptLineage, version: int | None) -> PromptVersion | None:
    query = _versions(lineage)
    if version is not None:
        return await session.scalar(query.where(PromptVersion.version == version))
    served = (await session.scalars(query.where(PromptVersion.rollout > 0))).all()
    if not served:
        return await session.scalar(query.limit(1))
    return _random.choices(served, [one.rollout or 0 for one in served])[0]


def _versions(lineage: PromptLineage) -> Select[PromptVersion]:
    here = (PromptVersion.project_id == lineage.project_id, PromptVersion.lineage_id == lineage.id)
    return select(PromptVersion).where(*here).order_by(PromptVersion.version.desc())


async def create_version(
    session: AsyncSession, project: str, lineage_id: str, content: Content
) -> tuple[PromptVersion, PromptLineage]:
    """Make the next version of a lineage, or answer the newest one that has the same content.

    The uuids of messages and the provider do not count as content; variables and their defaults do where they are
    given. Raises NotFound, and Refused for messages that are none.
    """
    lineage = await session.get(PromptLineage, (project, lineage_id))
    if lineage is None:
        raise NotFound("prompt lineage", lineage_id)
    made = _content(content)
    fingerprint = _fingerprint(made)
    same = await session.scalars(_versions(lineage).where(PromptVersion.fingerprint == fingerprint))
    for found in same:
        if all(content.get(key) in (None, getattr(found, key)) for key in ("variables", "variables_default_values")):
            return found, lineage
    last = await session.scalar(_versions(lineage).with_only_columns(func.max(PromptVersion.version)).order_by(None))
    now = clock.now()
    version = PromptVersion(
        project_id=project,
        id=str(uuid.uuid4()),
        lineage_id=lineage_id,
        version=0 if last is None else last + 1,
        type="CHAT",
        description=content.get("version_desc"),
        tags=[],
        variables_default_values=generations.as_object(content.get("variables_default_values")) or {},
        rollout=FIRST_ROLLOUT if last is None else None,
        fingerprint=fingerprint,
        created_at=now,
        updated_at=now,
        **made,
    )
    session.add(version)
    return version, lineage


async def create_variant(session: AsyncSession, project: str, content: Content) -> PromptVariant:
    """Keep a prompt for an experiment, from a lineage or from none. Raises NotFound and Refused."""
    lineage_id = content.get("from_lineage_id") or None
    if lineage_id and await session.get(PromptLineage, (project, lineage_id)) is None:
        raise NotFound("prompt lineage", lineage_id)
    variant = PromptVariant(
        project_id=project,
        id=str(uuid.uuid4()),
        from_lineage_id=lineage_id,
        from_version=content.get("from_version"),
        score_template_id=content.get("score_template_id"),
        created_at=clock.now(),
        **_content(content),
    )
    session.add(variant)
    return variant


def _content(given: Content) -> dict[str, Any]:
    messages = given.get("template_messages") or []
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Refused("The messages of a prompt are a list of objects with role and content.")
    # The uuid is what links a recorded message to the template it was made from.
    messages = [{**message, "uuid": message.get("uuid") or str(uuid.uuid4())} for message in messages]
    variables = given.get("variables")
    return {
        "template_messages": messages,
        "tools": given.get("tools"),
        "settings": generations.as_object(given.get("settings")) or {},
        "variables": prompt_variables.of_messages(messages) if variables is None else variables,
    }


def _fingerprint(content: Content) -> str:
    messages = [
        {key: value for key, value in message.items() if key != "uuid"} for message in content["template_messages"]
    ]
    settings = {key: value for key, value in content["settings"].items() if key != "provider"}
    counted = _plain([messages, settings, content["tools"] or []])
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Answer a value without what JSON writers do not agree on: whether a whole number has a point."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


async def list_rollout(
    session: AsyncSession, project: str, settings: ServerSettings, request: paging.PageRequest, name: str
) -> paging.Page[PromptVersion]:
    """Read one page of the versions in a lineage's rollout, by number; an unknown name has none."""
    lineage = await find_lineage(session, project, name)
    query = select(PromptVersion).where(
        PromptVersion.project_id == project,
        PromptVersion.lineage_id == (lineage.id if lineage else ""),
        PromptVersion.rollout.is_not(None),
    )
    order = paging.Order(PromptVersion.version, PromptVersion.id, descending=False)
    return await paging.read_page(session, query, order, request, settings)


async def set_rollout(session: AsyncSession, project: str, name: str, rollouts: Sequence[Mapping[str, Any]]) -> None:
    """Serve these versions of a lineage by these weights, and no others. Raises Refused."""
    lineage = await find_lineage(session, project, name)
    if lineage is None:
        raise Refused(f"There is no prompt with the name {name!r}.")
    weights = {one["version"]: float(one["rollout"]) for one in rollouts}
    if len(weights) != len(rollouts) or any(
        json_text.as_number(weight) is None or weight < 0 for weight in weights.values()
    ):
        raise Refused("A rollout names each version once, with a weight of 0 or more.")
    versions = {version.version: version for version in await session.scalars(_versions(lineage))}
    unknown = sorted(weights.keys() - versions.keys())
    if unknown:
        raise Refused(f"The prompt {name!r} has no version {unknown[0]}.")
    for number, version in versions.items():
        version.rollout = weights.get(number)
