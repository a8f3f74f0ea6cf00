"""One request document executed: parsed once, in one session, committed before it is answered, its errors in words."""

import inspect
import logging
import re
import sqlite3
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ariadne import ScalarType, make_executable_schema
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_operation_ast,
    parse,
    validate,
)
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import certificates, clock, rows
from literal_server.changes import Changes
from literal_server.db import Database
from literal_server.errors import Refused
from literal_server.files import FileStore
from literal_server.graphql import add_step, collection_resolvers, limits, resolvers
from literal_server.graphql.add_step import AddStep
from literal_server.graphql.context import Context
from literal_server.group_commit import GroupCommit
from literal_server.ingest import StepReport
from literal_server.metrics import Metrics, Operation
from literal_server.plain_rows import NotPlain, PlainRows
from literal_server.settings import ServerSettings

logger = logging.getLogger(__name__)

SCHEMA_FILE = Path(__file__).parent / "schema.graphql"
UNEXPECTED = "The server met an unexpected error; it is in the server's log. Nothing of this request was stored."
_LONGEST_MESSAGE = 1_000
# A parsed document takes some fifty times the room of its text.
_LONGEST_CACHED_DOCUMENT = 256 * 1024
_CACHED_LENGTH = 2 * 1024 * 1024

# What the SDKs write for an empty list of scores, steps or generations, which is no GraphQL.
_BATCH_OF_NOTHING = re.compile(
    r"\s*mutation\s+(?:CreateScores|AddStep|AddGenerationsToDataset)\s*\([^(){}]{0,200}\)\s*\{\s*\}\s*"
)


@dataclass(frozen=True)
class Caller:
    """Who asks: the project of the key, the address for links, and what the headers say of environment and client."""

    project: str
    address: str = ""
    environment: str | None = None
    client_name: str | None = None


@dataclass(frozen=True)
class _Known:
    """A document as it was parsed, and what it does where that is to take in steps and nothing else."""

    document: DocumentNode
    add_step: AddStep | None = None


class _Undo(Exception):  # noqa: N818 - a signal to the transaction, not an error of anybody
    """Leaves the write transaction so that nothing of it stays."""

    def __init__(self, errors: list[GraphQLError] | None) -> None:
        self.errors = errors


def make_schema() -> GraphQLSchema:
    """Load the contract and bind the resolvers to it."""
    moments = ScalarType("DateTime", serializer=clock.format_time, value_parser=_moment)
    roots = [part for module in (resolvers, collection_resolvers) for part in (module.query, module.mutation)]
    return make_executable_schema(SCHEMA_FILE.read_text("utf-8"), *roots, moments, convert_names_case=True)


def _moment(value: object) -> int:
    try:
        return clock.parse_time(value)
    except ValueError as error:
        raise GraphQLError(str(error)) from error


class GraphService:
    """Executes documents against one database."""

    def __init__(
        self, database: Database, settings: ServerSettings, files: FileStore, metrics: Metrics, changes: Changes
    ) -> None:
        self._database = database
        self._group = GroupCommit(database, changes.tell)
        self._files = files
        self._metrics = metrics
        self._settings = settings
        self._schema = make_schema()
        # Clients send a handful of texts over and over; parsing and validating costs twenty times the execution.
        self._documents: OrderedDict[str, _Known | list[GraphQLError]] = OrderedDict()
        self._cached_length = 0

    async def answer(self, text: str, variables: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        """Execute a document and answer `{"data": ..., "errors": [...]}` as the wire has it."""
        if _BATCH_OF_NOTHING.fullmatch(text):
            return {"data": {}}
        try:
            known = self._document(text)
        except RecursionError:
            return refusal("The document is nested too deeply.")
        if isinstance(known, list):
            return {"errors": [_words(error) for error in known]}
        operation = get_operation_ast(known.document)
        if operation is None:
            return refusal("A document holds exactly one operation.")
        result = await self._run(known, operation, variables, caller)
        errors = [_words(error) for error in result.errors or ()]
        return {"data": result.data, "errors": errors} if errors else {"data": result.data}

    async def _run(
        self, known: _Known, operation: OperationDefinitionNode, variables: Mapping[str, Any], caller: Caller
    ) -> ExecutionResult:
        if operation.operation is OperationType.MUTATION:
            return await self._write(known, variables, caller)
        operations: list[Operation] = []
        async with self._database.reading() as session:
            result = await self._execute(known.document, variables, self._context(session, caller, operations))
        self._metrics.count_operations(operations, stored=True)
        return result

    async def _write(self, known: _Known, variables: Mapping[str, Any], caller: Caller) -> ExecutionResult:
        """Execute a mutation. Batches of steps that wait for the writer at the same time are written together."""
        received = clock.now()
        reports = known.add_step.reports(variables) if known.add_step is not None else None
        if known.add_step is not None and reports is not None:
            try:
                return await self._take_in(known.add_step, reports, variables, caller, received)
            except NotPlain:
                pass
            except sqlite3.OperationalError:  # a full disk, a locked file: no other way writes there
                raise
            except Exception:  # whatever it is, the general way stores the batch or says what is the matter
                logger.exception("A batch of steps could not be taken in at once, and is executed in general.")
        operations: list[Operation] = []
        try:
            async with self._database.writing() as session:
                context = self._context(session, caller, operations)
                result = await self._execute_mutation(known.document, variables, context)
                if any(is_unexpected(error) for error in result.errors or ()):
                    raise _Undo(result.errors)
                if "stamp_0" in variables:
                    stamps = _stamps_of_stored(variables, result)
                    await certificates.take(session, caller.project, stamps, received=received)
        except _Undo as undo:
            self._metrics.count_operations(operations, stored=False)
            return ExecutionResult(None, undo.errors)
        self._metrics.count_operations(operations, stored=True)
        return result

    async def _take_in(
        self, batch: AddStep, reports: Sequence[StepReport], variables: Mapping[str, Any], caller: Caller, received: int
    ) -> ExecutionResult:
        project, longest_id = caller.project, self._settings.max_id_length

        def work(rows: PlainRows) -> add_step.Taken:
            taken = batch.take_in(reports, rows, project, caller.environment, longest_id)
            if "stamp_0" in variables:
                stamps = _stamps_of_stored(variables, ExecutionResult(taken.data))
                certificates.take_plainly(rows, project, stamps, received=received)
            return taken

        taken = await self._group.write(work, len(reports))
        self._metrics.count_operations(taken.operations, stored=True)
        return ExecutionResult(taken.data)

    async def _execute_mutation(
        self, document: DocumentNode, variables: Mapping[str, Any], context: Context
    ) -> ExecutionResult:
        ids = _steps_of_batch(variables, self._settings.max_batch)
        await rows.find_ahead(context.session, context.project, ids)
        return await self._execute(document, variables, context)

    def _context(self, session: AsyncSession, caller: Caller, operations: list[Operation]) -> Context:
        said = (caller.environment, caller.client_name)
        return Context(session, caller.project, self._settings, self._files, caller.address, *said, operations)

    async def _execute(self, document: DocumentNode, variables: Mapping[str, Any], context: Context) -> ExecutionResult:
        result = execute(self._schema, document, context_value=context, variable_values=dict(variables))
        answer = await result if inspect.isawaitable(result) else result
        if not isinstance(answer, ExecutionResult):
            raise TypeError("The schema has no incremental delivery.")
        return answer

    def _document(self, text: str) -> _Known | list[GraphQLError]:
        known = self._documents.get(text)
        if known is not None:
            self._documents.move_to_end(text)
            return known
        document = self._parsed(text)
        if len(text) <= _LONGEST_CACHED_DOCUMENT:
            self._documents[text] = document
            self._cached_length += len(text)
            while self._cached_length > _CACHED_LENGTH or len(self._documents) > self._settings.max_cached_documents:
                oldest, _ = self._documents.popitem(last=False)
                self._cached_length -= len(oldest)
        return document

    def _parsed(self, text: str) -> _Known | list[GraphQLError]:
        try:
            document = parse(text, no_location=True, max_tokens=self._settings.max_document_tokens)
        except GraphQLError as error:
            return [error]
        if reason := limits.refusal_of(document, self._settings):
            return [GraphQLError(reason)]
        errors = validate(self._schema, document, max_errors=20)
        return errors or _Known(document, add_step.recognised(document, self._schema))


def _steps_of_batch(variables: Mapping[str, Any], most: int) -> list[str]:
    """Answer the ids of what may be a batch of steps, nothing for a single one.

    The SDKs number the variables of a batch: id_0, id_1 and so on. One under another name is read by itself later.
    """
    ids = [value for name, value in variables.items() if name.startswith("id_") and isinstance(value, str)]
    return ids[:most] if len(ids) > 1 else []


def _stamps_of_stored(variables: Mapping[str, Any], result: ExecutionResult) -> list[tuple[Any, str | None]]:
    """Answer the stamps of what was stored, with the ids of steps: `stamp_N` is of step N, or of the one change."""
    data = result.data or {}
    if "step0" not in data:
        return [] if result.data is None or result.errors else [(variables["stamp_0"], None)]
    stored: list[tuple[Any, str | None]] = []
    for number in range(len(data)):
        outcome, step_id = data.get(f"step{number}"), variables.get(f"id_{number}")
        if isinstance(outcome, dict) and outcome.get("ok") and isinstance(step_id, str):
            stored.append((variables.get(f"stamp_{number}"), step_id))
    return stored


def refusal(message: str) -> dict[str, Any]:
    """An answer in GraphQL's form that holds nothing but a reason."""
    return {"errors": [{"message": message}]}


def is_unexpected(error: GraphQLError) -> bool:
    """Say whether an error comes from a fault of ours and not from the request."""
    original = error.original_error
    return original is not None and not isinstance(original, Refused | GraphQLError)


def _words(error: GraphQLError) -> dict[str, Any]:
    path: Sequence[str | int] | None = error.path
    place = {"path": list(path)} if path else {}
    if is_unexpected(error):
        logger.error("Resolving %s failed.", path, exc_info=error.original_error)
        return {"message": UNEXPECTED, **place}
    return {"message": error.message[:_LONGEST_MESSAGE], **place}
