"""The language in which people say which threads they want: its grammar, and what a query is made of.

    errors > 0 and tokens > 20000
    tool = "get_current_weather" and tool.error
    not (user = ada or score["user-feedback"] < 1)

What the names mean in the database is for `thread_query.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from literal_server.errors import Refused

MOST_CHARACTERS = 2_000
MOST_CONDITIONS = 50

_GRAMMAR = r"""
?start: either
?either: both ("or"i both)*
?both: single ("and"i single)*
?single: "not"i single -> negation
    | "(" either ")" -> group
    | condition
condition: field [OPERATOR value]
    | field "in"i "(" value ("," value)* ")" -> one_of
field: NAME ["[" (STRING | WORD) "]"] ["." (ATTRIBUTE | STRING)]
?value: STRING -> text
    | SPAN -> span
    | NUMBER -> number
    | WORD -> word

OPERATOR: "!=" | "!~" | ">=" | "<=" | "=" | "~" | ">" | "<"
NAME: /(?!(and|or|not|in)\b)[a-z_]+/i
ATTRIBUTE: /[\w-]+/
STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/
SPAN.3: /[+-]?\d+(\.\d+)?(ms|s|m|h|d|w)(?![\w-])/
NUMBER.2: /[+-]?\d+(\.\d+)?([eE][+-]?\d+)?(?![\w:.-])/
WORD: /(?!(and|or|not|in)\b)[\w@][\w@.:+-]*/i

%import common.WS
%ignore WS
"""

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_WORDS = {
    "OPERATOR": "a comparison such as = ~ > <",
    "NAME": "a field",
    "ATTRIBUTE": "what is asked of it",
    "STRING": "a text in quotes",
    "NUMBER": "a number",
    "LPAR": "(",
    "RPAR": ")",
    "OR": "or",
    "AND": "and",
    "NOT": "not",
}


class QueryError(Refused):
    """A query that makes no sense; `place` is the character, counted from 0, where that shows."""

    def __init__(self, sentence: str, place: int) -> None:
        super().__init__(sentence)
        self.place = place


class Number(str):
    """A number as it was written, so that it can also be meant as a text."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time in seconds, such as 30s; a negative one reaches back from now where a moment is meant."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Field:
    """What a condition asks about: `tool.error` has the attribute error, `score["x"]` the key x."""

    name: str
    key: str | None
    attribute: str | None
    place: int


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. Without an operator it asks whether there is such a thing; `in` has a list as its value."""

    field: Field
    operator: str | None = None
    value: Any = None


@dataclass(frozen=True, slots=True)
class Both:
    """All of the parts hold."""

    parts: Sequence["Query"]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of the parts holds."""

    parts: Sequence["Query"]


@dataclass(frozen=True, slots=True)
class Negation:
    """The part does not hold."""

    part: "Query"


Query = Condition | Both | Either | Negation


class _Builder(Transformer[Token, Query]):
    """Turns what the parser has read into a query, from the inside out."""

    def either(self, parts: list[Query]) -> Query:
        return Either(tuple(parts))

    def both(self, parts: list[Query]) -> Query:
        return Both(tuple(parts))

    def negation(self, parts: list[Query]) -> Query:
        return Negation(parts[0])

    def group(self, parts: list[Query]) -> Query:
        return Either(tuple(parts))  # of one part: brackets keep its conditions apart from those around them

    def condition(self, parts: list[Any]) -> Query:
        field, operator, value = parts
        return Condition(field, operator and str(operator), value)

    def one_of(self, parts: list[Any]) -> Query:
        field, *values = parts
        return Condition(field, "in", values)

    def field(self, parts: list[Token | None]) -> Field:
        name, key, attribute = parts
        if name is None:
            raise TypeError("The grammar gives every field a name.")
        return Field(name.lower(), _plain(key), _plain(attribute), name.start_pos or 0)

    def text(self, parts: list[Token]) -> Any:
        return _plain(parts[0])

    def word(self, parts: list[Token]) -> Any:
        return str(parts[0])

    def number(self, parts: list[Token]) -> Any:
        return Number(parts[0])

    def span(self, parts: list[Token]) -> Any:
        digits = parts[0].rstrip("mshdw")
        return Span(float(digits) * SECONDS[parts[0][len(digits) :]])


def _plain(token: Token | None) -> str | None:
    """Return what a token says: a text without its quotes, in which a backslash lets the next character stand."""
    if token is None or token.type != "STRING":
        return None if token is None else str(token)
    inside = iter(token[1:-1])
    return "".join(next(inside) if character == "\\" else character for character in inside)


_PARSER = Lark(_GRAMMAR, parser="lalr", maybe_placeholders=True)


def parse(text: str) -> Query:
    """Read a query. Raises QueryError, which names the place of the mistake."""
    if len(text) > MOST_CHARACTERS:
        raise QueryError(f"A filter has at most {MOST_CHARACTERS:,} characters.", MOST_CHARACTERS)
    try:
        query: Query = _Builder().transform(_PARSER.parse(text))
        if _count(query) > MOST_CONDITIONS:
            raise QueryError(f"A filter has at most {MOST_CONDITIONS} conditions.", len(text))
    except UnexpectedInput as error:
        raise _mistake(error, text) from error
    except RecursionError as error:
        raise QueryError("The filter is nested too deeply.", 0) from error
    return query


def _mistake(error: UnexpectedInput, text: str) -> QueryError:
    if isinstance(error, UnexpectedEOF) or (isinstance(error, UnexpectedToken) and error.token.type == "$END"):
        return QueryError(f"The filter ends too early: {_expected(error)} is missing.", len(text))
    place = error.pos_in_stream or 0
    if isinstance(error, UnexpectedCharacters) and text[place] in "\"'":
        return QueryError("A quotation mark is not closed.", place)
    found = text[place : place + 20].split()[0] if text[place : place + 20].split() else text[place : place + 1]
    return QueryError(f"{found!r} was not expected here; {_expected(error)} was.", place)


def _expected(error: UnexpectedInput) -> str:
    names = getattr(error, "accepts", None) or getattr(error, "expected", None) or getattr(error, "allowed", None) or ()
    known = [words for name, words in _WORDS.items() if name in names]
    return " or ".join([", ".join(known[:-1]), known[-1]] if len(known) > 1 else known) or "something else"


def _count(query: Query) -> int:
    match query:
        case Condition():
            return 1
        case Negation(part):
            return _count(part)
        case Both(parts) | Either(parts):
            return sum(map(_count, parts))
