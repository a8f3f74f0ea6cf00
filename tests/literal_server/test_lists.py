"""Every filter field with every operator, and every order column through pages of equal values, on every list.

What a list shows of its rows is the judge: a filter has to find exactly the rows whose shown value meets it, and an
order has to be that of the shown values.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from literalai.api.helpers import gql as untyped_gql
from literalai.observability import filter as of_the_sdk
from pydantic import SecretStr

from literal_server import fields
from literal_server.settings import ServerSettings
from tests.literal_server.conftest import serving
from tests.literal_server.wire import KEY

gql: Any = untyped_gql
Node = dict[str, Any]
Value = Callable[[Node], Any]

STEP = "id type name createdAt startTime endTime input output metadata parentId threadId rootRunId error tags"
SCORES = "scores { name value }"
SELECTIONS = {
    "participants": "id identifier createdAt lastEngaged threadCount tokenCount metadata",
    "threads": f"id name createdAt tokenCount duration environment metadata tags participant {{ id identifier }} "
               f"steps {{ type name output {SCORES} }}",
    "steps": f"{STEP} environment {SCORES} generation {{ tokenCount }} thread {{ id }}",
    "generations": "id createdAt model provider duration tokenCount error tags step { thread { id participant "
                   "{ identifier } } }",
    "scores": "id createdAt name type value comment tags stepId step { thread { participant { identifier } } }",
    "datasets": "id name createdAt",
}  # fmt: skip
INPUTS = {name: f"{'Threads' if name == 'threads' else name}InputType" for name in SELECTIONS}
ORDER_INPUTS = {name: f"{name.capitalize()}OrderByInput" for name in ("threads", "steps", "generations", "scores")}


class Lists:
    """A server with a few of everything in it."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.all = {name: self.read(name)["edges"] for name in SELECTIONS}

    def send(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        body = self.http.post("/api/graphql", json={"query": query, "variables": variables or {}}).json()
        assert "errors" not in body, body
        return next(iter(body["data"].values()))

    def read(self, name: str, **variables: Any) -> Any:
        declared = {"first": "Int", "last": "Int", "after": "ID", "before": "ID"}
        if "filters" in variables:
            declared["filters"] = f"[{INPUTS[name]}!]"
        if "orderBy" in variables:
            declared["orderBy"] = ORDER_INPUTS[name]
        head = ", ".join(f"${key}: {kind}" for key, kind in declared.items())
        taken = ", ".join(f"{key}: ${key}" for key in declared)
        around = "totalCount pageInfo { endCursor startCursor hasNextPage hasPreviousPage }"
        shown = f"{around} edges {{ cursor node {{ {SELECTIONS[name]} }} }}"
        return self.send(f"query ({head}) {{ {name}({taken}) {{ {shown} }} }}", variables)

    def nodes(self, name: str) -> list[Node]:
        return [edge["node"] for edge in self.all[name]]

    def find(self, name: str, *filters: dict[str, Any]) -> set[str]:
        page = self.read(name, filters=list(filters))
        found = {edge["node"]["id"] for edge in page["edges"]}
        assert page["totalCount"] == len(found)
        return found


STEPS: list[dict[str, Any]] = [
    {"id": "run", "threadId": "a", "type": "run", "name": "agent", "startTime": "2025-01-01T00:00:00Z",
     "endTime": "2025-01-01T00:00:04Z", "input": {"content": "Wie ist das Wetter?"}, "output": {"content": "Sunny"},
     "tags": ["x", "y"], "metadata": {"n": 1, "deep": {"list": ["p", "q"]}},
     "scores": [{"id": "s1", "name": "user-feedback", "type": "HUMAN", "value": 1, "comment": "Nice", "tags": ["t"]}]},
    {"id": "call", "threadId": "a", "parentId": "run", "rootRunId": "run", "type": "llm", "name": "gpt",
     "startTime": "2025-01-01T00:00:01Z", "endTime": "2025-01-01T00:00:03Z", "metadata": {"n": 2.5, "flag": True},
     "generation": {"model": "GPT-4o", "provider": "openai", "tokenCount": 9, "promptId": "VERSION",
                    "tags": ["warm"], "messages": [{"role": "user", "content": "hi"}]}},
    {"id": "slow", "threadId": "b", "type": "llm", "error": "Timed OUT", "startTime": "2025-01-02T00:00:00Z",
     "generation": {"model": "gpt-4o", "duration": 7.5, "tokenCount": 9, "error": "Timed OUT"}, "tags": ["y"],
     "scores": [{"id": "s2", "name": "accuracy", "type": "AI", "value": 0.5}]},
    {"id": "bare", "threadId": "c", "generation": {"messages": []}, "output": {"content": "GRÖSSE 100%"}},
    {"id": "loose", "type": "tool", "name": "", "output": ["list", {"content": "Sunny"}], "metadata": {"n": "1"},
     "scores": [{"id": "s3", "name": "user-feedback", "type": "CODE", "value": 0, "comment": "sad",
                 "tags": ["t", "u"]}]},
]  # fmt: skip
STAGED = [{"id": "twin", "threadId": "c", "type": "llm", "generation": {"model": "GPT-4o", "tokenCount": 3}}]
ORDERED = ("participants", "threads", "steps", "scores", "datasets")


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Lists]:
    folder = tmp_path_factory.mktemp("lists")
    shutil.copy(migrated, folder)
    settings = ServerSettings(data_dir=folder, api_key=SecretStr(KEY))
    with serving(settings) as base, httpx.Client(base_url=base, headers={"x-api-key": KEY}, timeout=30) as http:
        filling = Lists.__new__(Lists)
        filling.http = http
        fill(filling)
        make_equal(settings.database_path)
        yield Lists(http)


def fill(lists: Lists) -> None:
    for identifier, metadata in (("ada", {"lang": "de", "n": 1}), ("bob", {"lang": "en", "n": 2}), ("Cyd", {})):
        lists.send(gql.CREATE_PARTICIPANT, {"identifier": identifier, "metadata": metadata})
    for identity, name, user, more in (
        ("a", "Alpha", "ada", {"tags": ["x"], "metadata": {"lang": "de", "n": 1}}),
        ("b", "STRASSE", "bob", {"tags": ["x", "z"], "metadata": {"lang": "en", "n": 2, "flag": True}}),
        ("c", None, None, {}),
        ("d", "delta", "ada", {}),
    ):
        lists.send(gql.UPSERT_THREAD, {"id": identity, "name": name, "participantId": user, **more})
    lineage = lists.send(gql.CREATE_PROMPT_LINEAGE, {"name": "Default"})["id"]
    version = lists.send(gql.CREATE_PROMPT_VERSION, {"lineageId": lineage})["id"]
    STEPS[1]["generation"]["promptId"] = version
    lists.http.headers["x-env"] = "prod"
    for steps, environment in ((STEPS, "prod"), (STAGED, "staging")):
        lists.http.headers["x-env"] = environment
        body = {"query": gql.steps_query_builder(steps), "variables": gql.steps_variables_builder(steps)}
        assert lists.http.post("/api/graphql", json=body).status_code == 200
    for number in range(4):
        lists.send(gql.CREATE_DATASET, {"name": f"d{number}"})


def make_equal(database: Path) -> None:
    """Let all rows of a table but the first have been made in one moment."""
    connection = sqlite3.connect(database, timeout=30)
    for table in ORDERED:
        first = connection.execute(f"SELECT id FROM {table} ORDER BY created_at, id LIMIT 1").fetchone()[0]
        connection.execute(f"UPDATE {table} SET created_at = 1700000000000000 + (id = ?)", (first,))
    connection.commit()
    connection.close()


def of(*path: str | int) -> Value:
    def value(node: Node) -> Any:
        return dig(node, path)

    return value


def dig(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        else:
            value = value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else None
    return value


def of_steps(*path: str) -> Value:
    return lambda node: [dig(step, path) for step in node["steps"]]


def scores_of(node: Node) -> list[Any]:
    """The values of the scores by the name that the tests ask for."""
    return [
        score["value"]
        for step in node.get("steps", [node])
        for score in step["scores"]
        if score["name"] == "user-feedback"
    ]


def user_of(*path: str) -> Value:
    return lambda node: [name] if (name := dig(node, path)) else []


def prompt(value: Any) -> Value:
    return lambda node: [value] if node["id"] == "call" else []


TEXT = ("eq", "neq", "ilike", "nilike", "in", "nin", "is", "nis")
NUMBER = ("eq", "neq", "gt", "gte", "lt", "lte", "in", "nin", "is", "nis")
MOMENT = ("gt", "gte", "lt", "lte", "is", "nis")
LIST = ("in", "nin", "eq", "neq", "is", "nis")
LONG_AGO, THEN = "2020-01-01T00:00:00.000Z", "2025-01-01T00:00:01Z"
MADE, FIRST = "2023-11-14T22:13:20.000000Z", "2023-11-14T22:13:20.000001Z"

# For each field: what is shown of it, its operators, the values to ask for, and the path to ask with.
Case = tuple[Value, tuple[str, ...], list[Any], Any]
FIELDS: dict[str, dict[str, list[Case]]] = {
    "participants": {
        "id": [(of("id"), TEXT, ["nobody"], None)],
        "createdAt": [(of("createdAt"), MOMENT, [MADE, FIRST, LONG_AGO], None)],
        "identifier": [(of("identifier"), TEXT, ["ada", "AD", "Cyd"], None)],
        "lastEngaged": [(of("lastEngaged"), MOMENT, [LONG_AGO, "2025-01-02T00:00:00Z"], None)],
        "threadCount": [(of("threadCount"), NUMBER, [0, 1, 2], None)],
        "tokenCount": [(of("tokenCount"), NUMBER, [0, 9], None)],
        "metadata": [(of("metadata", "lang"), TEXT, ["de", "E"], "lang"), (of("metadata", "n"), NUMBER, [1, 2], "n")],
    },
    "threads": {
        "id": [(of("id"), TEXT, ["a", "B"], None)],
        "createdAt": [(of("createdAt"), MOMENT, [MADE, FIRST, LONG_AGO], None)],
        "name": [(of("name"), TEXT, ["Alpha", "straße", "%", "alpha"], None)],
        "stepType": [(of_steps("type"), LIST, ["llm", "undefined", "tool"], None)],
        "stepName": [(of_steps("name"), TEXT, ["agent", "GP"], None)],
        "stepOutput": [(of_steps("output", "content"), TEXT, ["Sunny", "größe", "100%", "sun"], "content")],
        "metadata": [(of("metadata", "lang"), TEXT, ["de", "E"], "lang"), (of("metadata", "n"), NUMBER, [1, 2], "n"),
                     (of("metadata", "flag"), ("eq", "neq", "is", "nis"), [True, False], ["flag"])],
        "tokenCount": [(of("tokenCount"), NUMBER, [0, 3, 9], None)],
        "tags": [(of("tags"), LIST, ["x", "z", "none"], None)],
        "participantId": [(of("participant", "id"), TEXT, ["nobody"], None)],
        "participantIdentifiers": [(user_of("participant", "identifier"), TEXT, ["ada", "BO"], None)],
        "scoreValue": [(scores_of, NUMBER, [0, 1, 0.5], "user-feedback")],
        "duration": [(of("duration"), NUMBER, [4, 3.5], None)],
        "environment": [(of("environment"), TEXT, ["prod", "stag"], None)],
    },
    "steps": {
        "id": [(of("id"), TEXT, ["run", "R"], None)],
        "name": [(of("name"), TEXT, ["agent", "GP"], None)],
        "type": [(of("type"), TEXT, ["llm", "run"], None)],
        "input": [(of("input", "content"), TEXT, ["wetter"], "content")],
        "output": [(of("output", "content"), TEXT, ["Sunny", "größe"], "content"),
                   (of("output", 1, "content"), TEXT, ["Sunny"], [1, "content"])],
        "participantIdentifier": [],
        "participantIdentifiers": [],
        "createdAt": [(of("createdAt"), MOMENT, [MADE, FIRST], None)],
        "startTime": [(of("startTime"), MOMENT, [THEN, LONG_AGO], None)],
        "endTime": [(of("endTime"), MOMENT, ["2025-01-01T00:00:03Z"], None)],
        "metadata": [(of("metadata", "deep", "list", 0), TEXT, ["p", "P"], ["deep", "list", 0])],
        "parentId": [(of("parentId"), TEXT, ["run"], None)],
        "threadId": [(of("threadId"), TEXT, ["a", "c"], None)],
        "rootRunId": [(of("rootRunId"), TEXT, ["run"], None)],
        "error": [(of("error"), TEXT, ["timed out", "Timed OUT"], None)],
        "tags": [(of("tags"), LIST, ["x", "y", "none"], None)],
        "tokenCount": [(of("generation", "tokenCount"), NUMBER, [3, 9], None)],
        "environment": [(of("environment"), TEXT, ["prod", "staging"], None)],
        "scoreValue": [(scores_of, NUMBER, [0, 1], "user-feedback")],
    },
    "generations": {
        "id": [(of("id"), TEXT, ["call"], None)],
        "createdAt": [(of("createdAt"), MOMENT, [MADE, FIRST], None)],
        "model": [(of("model"), TEXT, ["GPT-4o", "gpt"], None)],
        "provider": [(of("provider"), TEXT, ["openai", "OPEN"], None)],
        "duration": [(of("duration"), NUMBER, [2, 7.5], None)],
        "promptLineage": [(prompt("Default"), TEXT, ["Default", "def"], None)],
        "promptVersion": [(prompt(0), NUMBER, [0, 1], None)],
        "tags": [(of("tags"), LIST, ["warm", "y", "none"], None)],
        "score": [(lambda node: [], NUMBER, [1], "user-feedback"),
                  (lambda node: [0.5] if node["id"] == "slow" else [], NUMBER, [0.5, 1], "accuracy")],
        "participant": [(user_of("step", "thread", "participant", "identifier"), TEXT, ["ada", "BO"], None)],
        "tokenCount": [(of("tokenCount"), NUMBER, [3, 9], None)],
        "error": [(of("error"), TEXT, ["timed", "Timed OUT"], None)],
    },
    "scores": {
        "id": [(of("id"), TEXT, ["s1"], None)],
        "createdAt": [(of("createdAt"), MOMENT, [MADE, FIRST], None)],
        "participant": [(user_of("step", "thread", "participant", "identifier"), TEXT, ["ada", "BO"], None)],
        "name": [(of("name"), TEXT, ["accuracy", "USER"], None)],
        "tags": [(of("tags"), LIST, ["t", "u", "none"], None)],
        "value": [(of("value"), NUMBER, [0, 0.5, 1], None)],
        "type": [(of("type"), TEXT, ["AI", "hum"], None)],
        "comment": [(of("comment"), TEXT, ["Nice", "S"], None)],
        "stepId": [(of("stepId"), TEXT, ["run"], None)],
    },
}  # fmt: skip

OF_THE_SDK = {
    "participants": of_the_sdk.users_filterable_fields,
    "threads": of_the_sdk.threads_filterable_fields,
    "steps": of_the_sdk.steps_filterable_fields,
    "generations": of_the_sdk.generation_filterable_fields,
    "scores": of_the_sdk.scores_filterable_fields,
}
NEGATIVES = {"neq": "eq", "nilike": "ilike", "nin": "in", "nis": "is"}


def meets(shown: Any, operator: str, wanted: Any) -> bool:
    """Say whether a shown value meets a filter: of several one has to, and what is not there meets nothing but null."""
    if operator in NEGATIVES:
        return not meets(shown, NEGATIVES[operator], wanted)
    if isinstance(shown, list):
        return not shown if wanted is None else any(meets(one, operator, wanted) for one in shown)
    if shown is None or wanted is None:
        return shown is wanted
    match operator:
        case "ilike":
            return str(wanted).casefold() in str(shown).casefold()
        case "in":
            return shown in wanted
        case "eq" | "is":
            return bool(shown == wanted)
    if isinstance(wanted, str):
        shown, wanted = datetime.fromisoformat(shown), datetime.fromisoformat(wanted)
    return bool({"gt": shown > wanted, "gte": shown >= wanted, "lt": shown < wanted, "lte": shown <= wanted}[operator])


FIELD_NAMES = [(name, field) for name, known in FIELDS.items() for field in known]


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_its_cases(name: str) -> None:
    """The fields that are tested are all that there are, and among them all that the installed SDK knows."""
    known: dict[str, Any] = getattr(fields, name.upper())
    assert FIELDS[name].keys() == known.keys()
    assert set(OF_THE_SDK[name].__args__) <= known.keys()  # type: ignore[attr-defined] # a Literal


@pytest.mark.parametrize(("name", "field"), FIELD_NAMES)
def test_a_filter_finds_what_is_shown_to_meet_it(lists: Lists, name: str, field: str) -> None:
    """Each operator finds exactly the rows whose shown value meets it, for values met and unmet, and for null."""
    for value, operators, probes, path in FIELDS[name][field]:
        for operator, wanted in questions(operators, probes):
            one = {"field": field, "operator": operator, "value": wanted, "path": path}
            expected = {node["id"] for node in lists.nodes(name) if meets(value(node), operator, wanted)}
            assert lists.find(name, one) == expected, one


def questions(operators: tuple[str, ...], probes: list[Any]) -> Iterator[tuple[str, Any]]:
    """Give each operator the values that make sense with it: lists, null, or one value."""
    for operator in operators:
        if operator in ("is", "nis"):
            yield operator, None
            yield from ((operator, probe) for probe in probes if isinstance(probe, bool))
        elif operator in ("in", "nin"):
            yield from ((operator, [probe, "other" if isinstance(probe, str) else 12_345]) for probe in probes)
        else:
            yield from ((operator, probe) for probe in probes)


@pytest.mark.parametrize("field", ["participantIdentifier", "participantIdentifiers"])
def test_steps_of_a_participant(lists: Lists, field: str) -> None:
    """Steps are found by the participant of their thread; a step without one is found by null."""

    def found(operator: str, value: Any) -> set[str]:
        return lists.find("steps", {"field": field, "operator": operator, "value": value})

    everything = {node["id"] for node in lists.nodes("steps")}
    assert found("eq", "ada") == found("in", ["ada"]) == {"run", "call"}
    assert found("ilike", "BO") == {"slow"}
    assert found("is", None) == {"bare", "twin", "loose"}
    assert found("nis", None) == {"run", "call", "slow"}
    assert found("nin", ["ada"]) == everything - {"run", "call"}


def test_filters_are_combined(lists: Lists) -> None:
    """Several filters all have to hold."""
    tagged = {"field": "tags", "operator": "in", "value": ["y"]}
    assert lists.find("steps", tagged, {"field": "id", "operator": "eq", "value": "run"}) == {"run"}


# For each column: what is shown of it.
ORDERS: dict[str, dict[str, Value]] = {
    "threads": {"createdAt": of("createdAt"), "tokenCount": of("tokenCount"), "duration": of("duration"),
                "participant": of("participant", "identifier")},
    "steps": {"createdAt": of("createdAt")},
    "generations": {"createdAt": of("createdAt"), "tokenCount": of("tokenCount"), "model": of("model"),
                    "provider": of("provider"), "duration": of("duration"),
                    "participant": of("step", "thread", "participant", "identifier")},
    "scores": {"createdAt": of("createdAt")},
}  # fmt: skip
OUR_OWN = {("threads", "lastActivity")}  # is not shown on the wire; the pages' tests have it
COLUMNS = [(name, column) for name, known in ORDERS.items() for column in known]


def test_every_order_column_is_tested() -> None:
    """The columns that are tested are all that there are."""
    known = {
        "threads": fields.THREAD_ORDERS,
        "steps": fields.STEP_ORDERS,
        "generations": fields.GENERATION_ORDERS,
        "scores": fields.SCORE_ORDERS,
    }
    assert {(name, column) for name, columns in known.items() for column in columns} - OUR_OWN == set(COLUMNS)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize(("name", "column"), COLUMNS)
def test_pages_go_through_equal_values(lists: Lists, name: str, column: str, direction: str) -> None:
    """Pages of two, there and back, give every row once and in order, equals by id, those without a value last."""
    value = ORDERS[name][column]
    known = [(value(node), node["id"]) for node in lists.nodes(name)]
    have = sorted(((one, identity) for one, identity in known if one not in (None, "")), reverse=direction == "DESC")
    lack = sorted((identity for one, identity in known if one in (None, "")), reverse=direction == "DESC")
    expected = [identity for _, identity in have] + lack
    order = {"column": column, "direction": direction}

    assert forward(lists, name, orderBy=order) == expected
    assert backward(lists, name, orderBy=order) == expected


@pytest.mark.parametrize("name", ["participants", "datasets"])
def test_lists_without_an_order_are_newest_first(lists: Lists, name: str) -> None:
    """They too are paged through without loss where rows were made in one moment."""
    newest = sorted(((node["createdAt"], node["id"]) for node in lists.nodes(name)), reverse=True)
    assert forward(lists, name) == backward(lists, name) == [identity for _, identity in newest]


def forward(lists: Lists, name: str, **variables: Any) -> list[str]:
    seen: list[str] = []
    after = None
    for _ in range(20):
        page = lists.read(name, first=2, after=after, **variables)
        seen += [edge["node"]["id"] for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    return seen


def backward(lists: Lists, name: str, **variables: Any) -> list[str]:
    seen: list[str] = []
    before = None
    for _ in range(20):
        page = lists.read(name, last=2, before=before, **variables)
        seen = [edge["node"]["id"] for edge in page["edges"]] + seen
        before = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            break
    return seen


@pytest.mark.parametrize("name", SELECTIONS)
def test_an_anchor_holds_back_what_is_newer(lists: Lists, name: str) -> None:
    """`cursorAnchor` leaves out rows made after it."""
    document = f"query ($at: DateTime) {{ {name}(cursorAnchor: $at) {{ edges {{ node {{ id createdAt }} }} }} }}"
    shown = [edge["node"]["id"] for edge in lists.send(document, {"at": MADE})["edges"]]
    assert set(shown) == {node["id"] for node in lists.nodes(name) if node["createdAt"] <= MADE}


def test_page_sizes(lists: Lists) -> None:
    """A page between two cursors holds what lies between; first wins over last; nothing asked is the default size."""
    cursors = [edge["cursor"] for edge in lists.all["steps"]]
    ids = [edge["node"]["id"] for edge in lists.all["steps"]]

    def page(**variables: Any) -> list[str]:
        return [edge["node"]["id"] for edge in lists.read("steps", **variables)["edges"]]

    assert page(after=cursors[0], before=cursors[4]) == ids[1:4]
    assert page(before=cursors[3]) == ids[:3]
    assert page(first=1, last=2) == ids[:1]
    assert page(last=2, after=cursors[0], before=cursors[4]) == ids[2:4]
    assert page(first=0) == page(first=-1) == page(first=100_000) == ids
