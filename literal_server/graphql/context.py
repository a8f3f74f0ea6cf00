"""What a resolver is given, the wrapper that hands it over, and what list arguments have in common."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any

from graphql import FieldNode, FragmentSpreadNode, GraphQLResolveInfo, InlineFragmentNode, SelectionNode
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import json_text
from literal_server.errors import Refused
from literal_server.files import FileStore
from literal_server.graphql.shapes import View
from literal_server.metrics import Operation
from literal_server.paging import PageRequest
from literal_server.settings import ServerSettings

ResolveInfo = GraphQLResolveInfo["Context"]

# The Python SDK validates what it reads and refuses a whole thread for one odd value: it gets fitted values.
STRICT_CLIENT = "py-literal-client"


@dataclass
class Context:
    """One request: its session, its project, and what its headers say about the client."""

    session: AsyncSession
    project: str
    settings: ServerSettings
    files: FileStore
    # What links for browsers begin with.
    address: str
    environment: str | None = None
    client_name: str | None = None
    # What the root fields came to, counted once it is known whether it was stored.
    operations: list[Operation] = field(default_factory=list)
    # A session is for one task at a time, the root fields of a query are resolved at once.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def view(self) -> View:
        """How rows are shown to this client."""
        return View(self.client_name == STRICT_CLIENT, partial(self.files.read_address, self.address, self.project))


def resolver(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Make a resolver of `work(context, **arguments)`; with an `info` parameter it gets the resolve info too."""
    wants_info = "info" in work.__annotations__

    @wraps(work)
    async def resolve(_parent: Any, info: ResolveInfo, **arguments: Any) -> Any:
        context: Context = info.context
        check_ids(arguments, context.settings.max_id_length)
        if wants_info:
            arguments["info"] = info
        async with context.turn:
            began, outcome = time.perf_counter(), "error"
            try:
                answer = await work(context, **arguments)
                outcome = "ok"
            except Refused:
                outcome = "refused"
                raise
            finally:
                context.operations.append((info.field_name, outcome, time.perf_counter() - began))
            return answer

    return resolve


def refused_as_not_ok(resolve: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Answer a refusal as `ok: false`: an error would end the batch, and the steps after this one would be lost."""

    @wraps(resolve)
    async def told(parent: Any, info: ResolveInfo, **arguments: Any) -> Any:
        try:
            return await resolve(parent, info, **arguments)
        except Refused as refused:
            return {"ok": False, "message": str(refused)}

    return told


def check_ids(given: Mapping[str, Any], longest: int) -> None:
    """See that ids fit into an index, those of the scores and attachments of a step too. Raises Refused."""
    for name, value in given.items():
        if name in ("scores", "attachments") and isinstance(value, list):
            for one in value:
                check_ids(one if isinstance(one, Mapping) else {}, longest)
        elif name == "generation" and isinstance(value, Mapping):
            check_ids(value, longest)
        elif name.endswith(("id", "Id", "identifier")) and len(json_text.as_text(value) or "") > longest:
            raise Refused(f"{name} is longer than an id may be: at most {longest} characters (MAX_ID_LENGTH).")


def page_request(arguments: Mapping[str, Any]) -> PageRequest:
    """Take the arguments that say which part of a list is wanted."""
    return PageRequest(**{name: arguments.get(name) for name in ("first", "after", "last", "before", "skip")})


def listing(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Take the arguments that say what belongs to a list and in which order."""
    return {
        "given_filters": arguments.get("filters"),
        "given_order": arguments.get("order_by"),
        "anchor": arguments.get("cursor_anchor"),
    }


def selects(info: ResolveInfo, *path: str) -> bool:
    """Say whether the request asks for the field at this path below the one that is resolved."""
    nodes: list[FieldNode] = list(info.field_nodes)
    for name in path:
        selections = [node for parent in nodes if parent.selection_set for node in parent.selection_set.selections]
        nodes = [child for child in _fields(selections, info) if child.name.value == name]
    return bool(nodes)


def _fields(selections: Iterable[SelectionNode], info: ResolveInfo) -> Iterable[FieldNode]:
    for node in selections:
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(node.selection_set.selections, info)
        elif isinstance(node, FragmentSpreadNode):
            yield from _fields(info.fragments[node.name.value].selection_set.selections, info)
