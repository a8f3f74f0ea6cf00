"""The SDKs' own document for a batch of steps, recognised, so that it need not be executed field by field.

graphql-core spends most of a batch on coercing sixteen variables a step and on calling a resolver for each. What a
document asks for is therefore read once, when it is parsed. Only the plain form is recognised, and only variables that
need no coercion are taken: whatever is unusual is executed in general, so that both ways answer and store the same.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    VariableNode,
    print_ast,
)

from literal_server import clock, ingest
from literal_server.errors import Refused
from literal_server.graphql.context import check_ids
from literal_server.ingest import StepReport
from literal_server.metrics import Operation
from literal_server.plain_rows import PlainRows

_FIELD = "ingestStep"
STEP_TYPES = (
    *("run", "tool", "llm", "embedding", "retrieval", "rerank", "undefined"),
    *("user_message", "assistant_message", "system_message"),
)


class _Unusual(ValueError):  # noqa: N818 - leads to the general way, is nobody's error
    """A variable that graphql-core has to coerce or to refuse."""


def _text(value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise _Unusual
    return value


def _required_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise _Unusual
    return value


def _step_type(value: Any) -> Any:
    if value is not None and value not in STEP_TYPES:
        raise _Unusual
    return value


def _moment(value: Any) -> Any:
    return None if value is None else clock.parse_time(value)


def _texts(value: Any) -> Any:
    if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        raise _Unusual
    return value


def _none(value: Any) -> Any:
    if value is not None and value != []:
        raise _Unusual  # scores and attachments are rows of their own
    return value


def _unchanged(value: Any) -> Any:
    return value


# By the type that a document declares a variable with.
_TAKE: Mapping[str, Callable[[Any], Any]] = {
    "String!": _required_text,
    "String": _text,
    "StepType": _step_type,
    "DateTime": _moment,
    "Json": _unchanged,
    "[String!]": _texts,
    "GenerationPayloadInput": _unchanged,
    "[ScorePayloadInput!]": _none,
    "[AttachmentPayloadInput!]": _none,
}


@dataclass(frozen=True)
class _Root:
    """One step of the batch: the key of its answer, which variable each argument is, and what is answered."""

    key: str
    arguments: Sequence[tuple[str, str, Callable[[Any], Any]]]
    selection: Sequence[str]


@dataclass(frozen=True)
class Taken:
    """What came of a batch: its answer, and what is counted of it."""

    data: dict[str, Any]
    operations: Sequence[Operation]


@dataclass(frozen=True)
class AddStep:
    """A document that takes in steps and nothing else."""

    roots: Sequence[_Root]

    def reports(self, variables: Mapping[str, Any]) -> list[StepReport] | None:
        """Take the reports out of the variables, None where these are not as the SDKs send them."""
        try:
            return [
                StepReport(
                    **{
                        name: take(variables[key])
                        for name, key, take in root.arguments
                        if key in variables or take is _required_text
                    }
                )
                for root in self.roots
            ]
        except (KeyError, ValueError):
            return None

    def take_in(
        self, reports: Sequence[StepReport], rows: PlainRows, project: str, environment: str | None, longest_id: int
    ) -> Taken:
        """Take in the reports; a refusal is told in its place. Raises NotPlain where one needs more than its rows."""
        began = time.perf_counter()
        rows.steps.read(project, [report.id for report in reports])
        rows.threads.read(project, [report.thread_id for report in reports if report.thread_id is not None])
        data, outcomes = {}, []
        for root, report in zip(self.roots, reports, strict=True):
            refusal = _refusal(report, longest_id)
            if refusal is None:
                ingest.ingest_plainly(rows, project, report, environment)
            outcome = {"ok": refusal is None, "message": refusal}
            data[root.key] = {name: outcome[name] for name in root.selection}
            outcomes.append("ok" if refusal is None else "refused")
        seconds = (time.perf_counter() - began) / len(reports)
        return Taken(data, [(_FIELD, outcome, seconds) for outcome in outcomes])


def _refusal(report: StepReport, longest_id: int) -> str | None:
    given = {name: getattr(report, name) for name in ("id", "thread_id", "root_run_id", "parent_id", "generation")}
    try:
        check_ids(given, longest_id)
    except Refused as refused:
        return str(refused)
    return None


def recognised(document: DocumentNode, schema: GraphQLSchema) -> AddStep | None:
    """Answer what a valid document takes in, None where it does anything else or in another form."""
    operation = document.definitions[0]
    if len(document.definitions) != 1 or not isinstance(operation, OperationDefinitionNode):
        return None
    if operation.operation is not OperationType.MUTATION or operation.directives:
        return None
    takes = {}
    for declared in operation.variable_definitions or ():
        take = _TAKE.get(print_ast(declared.type))
        if take is None or declared.default_value is not None or declared.directives:
            return None
        takes[declared.variable.name.value] = take
    names = {name: argument.out_name or name for name, argument in _arguments(schema).items()}
    roots = [_root(node, takes, names) for node in operation.selection_set.selections]
    plain = [root for root in roots if root is not None]
    is_plain = len(plain) == len(roots) == len({root.key for root in plain})
    return AddStep(plain) if is_plain else None


def _arguments(schema: GraphQLSchema) -> Mapping[str, Any]:
    mutation = schema.mutation_type
    return mutation.fields[_FIELD].args if mutation is not None else {}


def _root(node: SelectionNode, takes: Mapping[str, Callable[[Any], Any]], names: Mapping[str, str]) -> _Root | None:
    if not isinstance(node, FieldNode) or node.name.value != _FIELD or node.directives or node.selection_set is None:
        return None
    arguments = []
    for argument in node.arguments or ():
        if not isinstance(argument.value, VariableNode):
            return None
        variable = argument.value.name.value
        arguments.append((names[argument.name.value], variable, takes[variable]))
    selection = []
    for part in node.selection_set.selections:
        if not isinstance(part, FieldNode) or part.alias or part.directives or part.name.value not in ("ok", "message"):
            return None
        selection.append(part.name.value)
    return _Root(node.alias.value if node.alias else _FIELD, arguments, selection)
