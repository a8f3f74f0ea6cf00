"""How large a document may be, measured before it is validated, because validating is where large ones take time."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
)

from literal_server.settings import ServerSettings


@dataclass(frozen=True)
class Size:
    """How many fields a selection has, with those of its fragments at each place, and how many levels."""

    fields: int = 0
    depth: int = 0


@dataclass
class _Ruler:
    fragments: dict[str, FragmentDefinitionNode]
    known: dict[str, Size] = field(default_factory=dict)

    def measure(self, selections: SelectionSetNode | None) -> Size:
        fields, depth = 0, 0
        for node in selections.selections if selections else ():
            size = self._of(node)
            fields, depth = fields + size.fields, max(depth, size.depth)
        return Size(fields, depth)

    def _of(self, node: SelectionNode) -> Size:
        if isinstance(node, FieldNode):
            inner = self.measure(node.selection_set)
            return Size(inner.fields + 1, inner.depth + 1)
        if isinstance(node, InlineFragmentNode):
            return self.measure(node.selection_set)
        return self._of_fragment(node.name.value) if isinstance(node, FragmentSpreadNode) else Size()

    def _of_fragment(self, name: str) -> Size:
        if name not in self.known:
            self.known[name] = Size()  # a fragment that leads to itself ends here; validation says what is wrong
            definition = self.fragments.get(name)
            self.known[name] = self.measure(definition.selection_set) if definition else Size()
        return self.known[name]

    def roots(self, selections: SelectionSetNode, seen: frozenset[str] = frozenset()) -> Iterable[FieldNode]:
        for node in selections.selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                yield from self.roots(node.selection_set, seen)
            elif isinstance(node, FragmentSpreadNode) and node.name.value in self.fragments.keys() - seen:
                definition = self.fragments[node.name.value]
                yield from self.roots(definition.selection_set, seen | {node.name.value})


def refusal_of(document: DocumentNode, settings: ServerSettings) -> str | None:
    """Say why a document is too large, None when it is not."""
    definitions = document.definitions
    ruler = _Ruler({one.name.value: one for one in definitions if isinstance(one, FragmentDefinitionNode)})
    for operation in definitions:
        if isinstance(operation, OperationDefinitionNode) and (reason := _reason(operation, ruler, settings)):
            return reason
    return None


def _reason(operation: OperationDefinitionNode, ruler: _Ruler, settings: ServerSettings) -> str | None:
    asked = 0
    for count, root in enumerate(ruler.roots(operation.selection_set), start=1):
        asked += not root.name.value.startswith("__")
        if count > settings.max_batch:
            return f"A document has at most {settings.max_batch} root fields (MAX_BATCH)."
        if operation.operation is not OperationType.MUTATION and asked > settings.max_queries:
            return f"A document asks for at most {settings.max_queries} things at once (MAX_QUERIES)."
        size = ruler.measure(root.selection_set)
        if size.depth >= settings.max_depth:
            return f"A document is at most {settings.max_depth} levels deep (MAX_DEPTH)."
        if size.fields > settings.max_fields:
            return f"A root field has at most {settings.max_fields} fields below it (MAX_FIELDS)."
    return None
