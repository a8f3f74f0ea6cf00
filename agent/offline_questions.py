"""Reads questions by patterns, for the scripted model: what is asked for, and for which places."""

import functools
import re
import zoneinfo

MOST_PLACES = 20
MOST_CHARACTERS = 2000
"""Of longer texts only the beginning is read."""

WEATHER = re.compile(
    r"\b(?:weather|forecast|temperature|(?:warm|cold|hot|sunny|windy|cloudy) (?:is it|it is)|"
    r"(?:is|will) it (?:be )?(?:warm|cold|hot|sunny|windy|cloudy|rain\w*|snow\w*))\b",
    re.IGNORECASE,
)
TIME = re.compile(
    r"\b(?:what time (?:is it|it is|do they have)|what time|what's the time|(?:the|current|local) time|"
    r"time (?:is it )?in|what day|today's date)\b",
    re.IGNORECASE,
)
FOLLOW_UP = re.compile(
    r"^(?:ok\w*,? )?(?:and|what about|how about|now)\b[\s,]*(?:(?:in|for|at)\s+)?(?P<places>.+)$", re.I
)
PLACES = re.compile(r"\b(?:in|for|at|of)\s+(?P<places>.+)$", re.IGNORECASE)
NEXT_QUESTION = re.compile(
    r"[?!;\n]|(?<!\bSt)\.(?:\s|$)|,?\s*\b(?:and\s+)?(?:what|how|when|who|is|tell|calculate|then|also)\b", re.IGNORECASE
)
BESIDES = re.compile(
    r"\b(?:right now|now|today|tonight|tomorrow|currently|please|at the moment|this week|like|"
    r"(?:in )?(?:degrees )?(?:celsius|fahrenheit|centigrade)|both)\b|[°\"'“”]",
    re.IGNORECASE,
)
BETWEEN = re.compile(
    r"\s*(?:,(?!\s*(?-i:(?!SF|LA|DC)[A-Z]{2}\b))\s*(?:and\s+)?|\band\b|\bor\b|&|\bas well as\b)\s*", re.IGNORECASE
)
SHORT_NAMES = {"sf": "San Francisco", "nyc": "New York", "la": "Los Angeles", "dc": "Washington"}

ZONES = {
    "San Francisco": "America/Los_Angeles",
    "Seattle": "America/Los_Angeles",
    "Boston": "America/New_York",
    "Washington": "America/New_York",
    "Miami": "America/New_York",
    "Beijing": "Asia/Shanghai",
    "Mumbai": "Asia/Kolkata",
    "Delhi": "Asia/Kolkata",
    "New Delhi": "Asia/Kolkata",
    "Osaka": "Asia/Tokyo",
    "Kyoto": "Asia/Tokyo",
    "Munich": "Europe/Berlin",
    "Hamburg": "Europe/Berlin",
    "Barcelona": "Europe/Madrid",
    "Milan": "Europe/Rome",
    "Geneva": "Europe/Zurich",
    "Rio": "America/Sao_Paulo",
    "Rio De Janeiro": "America/Sao_Paulo",
}

SPOKEN = (
    (re.compile(r"\bdivided by\b|\u00f7", re.I), "/"),
    (re.compile(r"\b(?:multiplied by|times)\b|\u00d7|(?<=\d)\s*x\s*(?=\d)", re.I), "*"),
    (re.compile(r"\bplus\b", re.I), "+"),
    (re.compile(r"\bminus\b|[\u2212\u2013]", re.I), "-"),
    (re.compile(r"\b(?:to the power of|raised to)\b|\^", re.I), "**"),
    (re.compile(r"\bsquared\b", re.I), "**2"),
    (re.compile(r"\bcubed\b", re.I), "**3"),
    (re.compile(r"\b(?:the )?square root of\s+(\d[\d.]*)", re.I), r"sqrt(\1)"),
    (re.compile(r"(\d[\d.]*)\s*(?:%|percent) of\s+(\d[\d.]*)", re.I), r"\1 / 100 * \2"),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
)
EXPRESSION = re.compile(
    r"(?:(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|\*\*|//|[-+*/%()]|\b(?:sqrt|sin|cos|tan|log10|log2|log|exp|abs|round|pi)\b|"
    r"(?<=\d),(?=\s*\d)|\s)+"
)
WORTH_IT = re.compile(r"[\d)]\s*(?:\*\*|//|[-+*/%])\s*[-+(\d.a-z]|[a-z]\w*\(", re.I)
ASKED_TO_COUNT = re.compile(r"\b(?:what|calculate|compute|how much|evaluate|solve|sum|result|equals?)\b|=", re.I)
DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b|\b\d+/\d+/\d+\b")

NOTE = re.compile(
    r"\b(?:save|write|make|take|create|add)\b(?: me)? (?:a |the |this )?note\b"
    r"(?: (?:titled|called|named|about|on|as|with the title))?\s*(?P<title>[^:\n]{0,80}?)\s*:\s*(?P<text>\S.*)",
    re.IGNORECASE | re.DOTALL,
)


def note(text: str) -> tuple[str, str] | None:
    """Return title and text of the note that a question asks to save; without a title its first words are it."""
    found = NOTE.search(text[:MOST_CHARACTERS])
    if not found:
        return None
    said = found["text"].strip()
    return found["title"].strip(" \"'“”,") or " ".join(said.split()[:5])[:60], said


def weather_places(text: str) -> list[str] | None:
    """Return the places whose weather is asked for, none if no place is said; None if it is no such question."""
    return _places_after(WEATHER, text)


def time_places(text: str) -> list[str] | None:
    """Return the places whose time is asked for, none if no place is said; None if it is no such question."""
    return _places_after(TIME, text)


def follow_up_places(text: str) -> list[str]:
    """Return the places of a question like `and in Tokyo?`."""
    found = FOLLOW_UP.match(text.strip()[:MOST_CHARACTERS])
    return places(found["places"]) if found else []


def places(text: str) -> list[str]:
    """Return the places listed at the beginning of the text, each once."""
    text = BESIDES.sub(" ", NEXT_QUESTION.split(text[:MOST_CHARACTERS], maxsplit=1)[0])
    names = [_name(part) for part in BETWEEN.split(text)]
    return list(dict.fromkeys(name for name in names if name))[:MOST_PLACES]


def unit(text: str) -> str | None:
    """Return the unit of temperature that is asked for, if one is."""
    if re.search(r"celsius|centigrade|°\s*c\b", text, re.I):
        return "celsius"
    return "fahrenheit" if re.search(r"fahrenheit|°\s*f\b", text, re.I) else None


def arithmetic(text: str) -> str | None:
    """Return the expression that is to be calculated, None if there is none."""
    text = DATE.sub(" ", text[:MOST_CHARACTERS])
    for words, sign in SPOKEN:
        text = words.sub(sign, text)
    found = max((run.group().strip() for run in EXPRESSION.finditer(text)), key=len, default="")
    found = _balanced(found.rstrip("+-*/%.( "))
    if not WORTH_IT.search(found):
        return None
    mostly_sums = len(found) * 4 > len(text.strip()) * 3
    return found if mostly_sums or ASKED_TO_COUNT.search(text) else None


def timezone_of(place: str) -> str:
    """Return the IANA name for a place; the place itself where none is known, so that the clock can say so."""
    return ZONES.get(place) or _zones_by_city().get(place.casefold(), place)


def _places_after(topic: re.Pattern[str], text: str) -> list[str] | None:
    found = topic.search(text[:MOST_CHARACTERS])
    if not found:
        return None
    rest = text[found.start() : MOST_CHARACTERS]
    rest = rest[: found.end() - found.start()] + NEXT_QUESTION.split(rest[found.end() - found.start() :], maxsplit=1)[0]
    listed = PLACES.search(rest)
    return places(listed["places"]) if listed else []


def _name(text: str) -> str:
    words = " ".join(text.split()).strip(" .,:")
    if words.lower().startswith("the "):
        words = words[4:]
    if words.lower() in SHORT_NAMES:
        return SHORT_NAMES[words.lower()]
    return words.title() if words.islower() and "/" not in words else words


def _balanced(expression: str) -> str:
    """Drop closing brackets that belong to the sentence around the expression."""
    while expression.count(")") > expression.count("(") and expression.endswith(")"):
        expression = expression[:-1].rstrip()
    return expression


@functools.cache
def _zones_by_city() -> dict[str, str]:
    zones = sorted(zoneinfo.available_timezones(), key=lambda zone: zone.count("/"), reverse=True)
    return {zone.rsplit("/", 1)[-1].replace("_", " ").casefold(): zone for zone in zones}
