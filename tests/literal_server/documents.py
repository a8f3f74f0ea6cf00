"""Documents made from the schema: for each root field one that asks for all it has, and variables of every kind."""

from collections.abc import Iterator
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    get_named_type,
)
from hypothesis import strategies as st

from literal_server.graphql.service import make_schema

SCHEMA = make_schema()
DEEPEST = 4


def root_fields() -> Iterator[tuple[str, str, GraphQLField]]:
    """The operation, the name and the definition of each root field."""
    for operation, kind in (("query", SCHEMA.query_type), ("mutation", SCHEMA.mutation_type)):
        assert kind is not None
        for name, field in kind.fields.items():
            yield operation, name, field


def document(operation: str, name: str, field: GraphQLField) -> str:
    """A document that declares each argument as a variable of its name and selects all there is."""
    declared = ", ".join(f"${argument}: {definition.type}" for argument, definition in field.args.items())
    given = ", ".join(f"{argument}: ${argument}" for argument in field.args)
    head = f"({declared})" if declared else ""
    return f"{operation}{head} {{ {name}{f'({given})' if given else ''} {selection(field.type)} }}"


def selection(kind: GraphQLOutputType, depth: int = 0) -> str:
    """All fields of a type, and of those inside it down to a few levels."""
    named = get_named_type(kind)
    if not isinstance(named, GraphQLObjectType):
        return ""
    parts = []
    for name, field in named.fields.items():
        inner = get_named_type(field.type)
        if not isinstance(inner, GraphQLObjectType):
            parts.append(name)
        elif depth < DEEPEST:
            parts.append(f"{name} {selection(field.type, depth + 1)}")
    return f"{{ {' '.join(parts)} }}"


ODD_TEXTS = [
    *("", "\0", "a\0b", "\ud800", "\udfff\ud800", "\u202e", "../../etc/passwd", "a/b\n\"'`", "'; DROP TABLE steps; --"),
    *("%", "_", "\\", "null", "x" * 10_000, "𝄞", "\ufeff", "2025-01-01T00:00:00Z", "WzEsICJhIl0=", "bnVsbA==", "W10="),
]
ODD_TIMES = [
    *("2025-01-01T00:00:00Z", "2024-10-01 12:00:00.123456", "0000-00-00T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01", "2024-W01-1", "20240101T000000"),
    *("2024-02-30T00:00:00Z", "2024-01-01T25:00:00Z", "yesterday", "", "-2024-01-01", "1", "2024-01-01T00:00:00+99:99"),
    *(f"2024-01-01T00:00:00.{'1' * 5_000}Z", "\uff12\uff10\uff12\uff14-01-01T00:00:00Z"),
]
ODD_NUMBERS: list[Any] = [
    0,
    -1,
    1,
    2**31 - 1,
    2**31,
    -(2**63),
    2**64,
    10**300,
    1e308,
    -0.0,
    5e-324,
    1e400,
    float("nan"),
]

texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=20)
numbers = st.sampled_from(ODD_NUMBERS) | st.integers() | st.floats()
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
# Words that lead deeper into the server than chance does.
WORDS: dict[str, list[str]] = {
    "operator": [*("eq", "neq", "ilike", "nilike", "gt", "gte", "lt", "lte", "in", "nin", "is", "nis")],
    "column": ["createdAt", "tokenCount", "duration", "participant", "model", "provider"],
    "field": [
        *("id", "createdAt", "name", "stepType", "stepName", "stepOutput", "metadata", "tokenCount", "tags", "type"),
        *("participantId", "participantIdentifiers", "scoreValue", "duration", "environment", "input", "output"),
        *("startTime", "endTime", "parentId", "threadId", "error", "model", "provider", "promptLineage", "value"),
        *("promptVersion", "score", "participant", "comment", "identifier", "lastEngaged", "threadCount", "stepId"),
    ],
}
KNOWN_IDS = ["s1", "t1", "none", "x" * 300]


def of_type(kind: GraphQLInputType | GraphQLNamedType, name: str = "") -> st.SearchStrategy[Any]:
    """Values for an input type: mostly of its kind, sometimes of another."""
    if isinstance(kind, GraphQLNonNull):
        return of_type(kind.of_type, name)
    if isinstance(kind, GraphQLList):
        return st.lists(of_type(kind.of_type, name), max_size=3)
    if isinstance(kind, GraphQLInputObjectType):
        return st.fixed_dictionaries({key: of_type(field.type, key) for key, field in kind.fields.items()})
    if isinstance(kind, GraphQLEnumType):
        return st.sampled_from([*kind.values, *kind.values, "OTHER"])
    if kind.name in ("Int", "Float"):
        return numbers | st.integers(0, 20)
    if kind.name == "Boolean":
        return st.booleans()
    if kind.name == "DateTime":
        return st.sampled_from(ODD_TIMES)
    if kind.name == "String" or kind.name == "ID":
        known = WORDS.get(name, KNOWN_IDS if name.lower().endswith("id") else [])
        return st.sampled_from(known) | texts if known else texts
    return payload(kind.name) | values


def payload(name: str) -> st.SearchStrategy[Any]:
    """Values for the lenient scalars: objects with the keys that the server looks at."""
    keys = {
        "ScorePayloadInput": ["id", "name", "type", "value", "stepId", "comment", "tags", "label", "scorer"],
        "AttachmentPayloadInput": ["id", "name", "mime", "url", "objectKey", "metadata", "threadId"],
        "GenerationPayloadInput": [
            *("id", "type", "model", "provider", "messages", "messageCompletion", "tokenCount", "inputTokenCount"),
            *("duration", "promptId", "tools", "settings", "variables", "error", "tags", "metadata", "prompt"),
        ],
    }.get(name, ["content", "role", "uuid", "provider"])
    return st.dictionaries(st.sampled_from(keys), values, max_size=6)


def variables(field: GraphQLField) -> st.SearchStrategy[dict[str, Any]]:
    """Variables for a root field: required ones mostly there, each of its kind or, now and then, of any other."""
    required: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    for name, argument in field.args.items():
        fitting = of_type(argument.type, name)
        odd = st.one_of(fitting, fitting, fitting, values)
        (required if isinstance(argument.type, GraphQLNonNull) else optional)[name] = odd
    return st.fixed_dictionaries(required, optional=optional)
