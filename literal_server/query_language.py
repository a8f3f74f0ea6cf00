"""The language in which people say which threads they want: its grammar, and what a query is made of.

    errors > 0 and tokens > 20000
    tool = "get_current_weather" and tool.error
    not (user = ada or score["user-feedback"] < 1)
    refund "San Francisco" and errors > 0

Words that stand for themselves are looked for in all that was said. What the names mean in the database is for
`thread_query.py`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from literal_server.errors import Refused

MOST_CHARACTERS = 2_000
MOST_CONDITIONS = 50
MOST_LEVELS = 30  # what makes SQL of a query calls itself some ten times for each

_GRAMMAR = r"""
?start: either
?either: both ("or"i both)*
?both: single (AND? single)*
?single: "not"i single -> negation
    | "(" either ")" -> group
    | condition
condition: field OPERATOR value
    | field IN "(" value ("," value)* ")" -> one_of
    | field -> alone
    | (STRING | SPAN | NUMBER | WORD) -> said
field: NAME ["[" (STRING | WORD) "]"] ["." (ATTRIBUTE | STRING)]
?value: STRING -> text
    | SPAN -> span
    | NUMBER -> number
    | WORD -> word

OPERATOR: "!=" | "!~" | ">=" | "<=" | "=" | "~" | ">" | "<"
AND: "and"i
IN.2: /in(?=\s*\()/i
NAME.1: /(?!(and|or|not)\b)[a-z_]+(?![\w@:+-])/i
ATTRIBUTE: /[\w-]+/
STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/
SPAN.3: /[+-]?\d+(\.\d+)?(ms|s|m|h|d|w)(?![\w-])/
NUMBER.2: /[+-]?\d+(\.\d+)?([eE][+-]?\d+)?(?![\w:.-])/
WORD: /(?!(and|or|not)\b)[\w@][\w@.:+-]*/i

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
    "WORD": "a word",
}


_TOO_DEEP = "The filter is nested too deeply."
_SIGNS = re.compile(r"""[=~<>()\[\]"]|\b(and|or|not)\s*$""", re.IGNORECASE)


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
class Term:
    """Something to look for in what was said: a word by its beginning or, where `exact`, the text as it stands."""

    text: str
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """All of these terms stand in one and the same message or step."""

    terms: tuple[Term, ...]
    place: int = 0


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


Query = Condition | Words | Both | Either | Negation


class _Builder(Transformer[Token, Query]):
    """Turns what the parser has read into a query, from the inside out."""

    def either(self, parts: list[Query]) -> Query:
        return Either(tuple(parts))

    def both(self, parts: list[Query | Token]) -> Query:
        found = _side_by_side(parts)
        return found[0] if len(found) == 1 else Both(tuple(found))

    def negation(self, parts: list[Query]) -> Query:
        return Negation(parts[0])

    def group(self, parts: list[Query]) -> Query:
        return Either(tuple(parts))  # of one part: brackets keep its conditions apart from those around them

    def condition(self, parts: list[Any]) -> Query:
        field, operator, value = parts
        return Condition(field, str(operator), value)

    def alone(self, parts: list[Any]) -> Query:
        return Condition(parts[0])

    def said(self, parts: list[Token]) -> Query:
        return Words((Term(_plain(parts[0]) or "", exact=parts[0].type == "STRING"),), parts[0].start_pos or 0)

    def one_of(self, parts: list[Any]) -> Query:
        field, _, *values = parts
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


def _side_by_side(parts: Sequence[Query | Token]) -> list[Query]:
    """Answer the parts of an `and`; words with nothing between them become one part, field names among them too."""
    found: list[Query] = []
    follows = False
    for part in parts:
        if isinstance(part, Token):
            follows = False
            continue
        asks = isinstance(part, Condition) and part.field.attribute is not None
        words = None if asks else bare_words(part)
        if words is not None and follows:
            before = bare_words(found[-1]) or words
            found[-1] = Words((*before.terms, *words.terms), before.place)
        else:
            found.append(part)
        follows = words is not None
    return found


def bare_words(part: Query) -> Words | None:
    """Read what stands there as words to look for; None where it asks something of a field."""
    if isinstance(part, Words):
        return part
    if not isinstance(part, Condition) or part.operator is not None or part.field.key is not None:
        return None
    name = ".".join(filter(None, (part.field.name, part.field.attribute)))
    return Words((Term(name),), part.field.place)


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
        query = _read(text)
        if _count(query) > MOST_CONDITIONS:
            raise QueryError(f"A filter has at most {MOST_CONDITIONS} conditions.", len(text))
        if _levels(query) > MOST_LEVELS:
            raise QueryError(_TOO_DEEP, 0)
    except UnexpectedInput as error:
        raise _mistake(error, text) from error
    except RecursionError as error:
        raise QueryError(_TOO_DEEP, 0) from error
    return query


def _read(text: str) -> Query:
    try:
        query: Query = _Builder().transform(_PARSER.parse(text))
    except UnexpectedInput:
        words = text.split()
        # What has no sign of a filter in it is a sentence, with whatever marks are in it: What's the weather?
        if not words or _SIGNS.search(text):
            raise
        return Words(tuple(map(Term, words)))
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
        case Words(terms):
            return len(terms)
        case Negation(part):
            return _count(part)
        case Both(parts) | Either(parts):
            return sum(map(_count, parts))


def _levels(query: Query) -> int:
    match query:
        case Negation(part):
            return 1 + _levels(part)
        case Either(parts) | Both(parts):
            return 1 + max(map(_levels, parts))
    return 1
