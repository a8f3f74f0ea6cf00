"""What the scripted model says when no script tells it.

It reads a question by patterns, calls those of the offered tools that fit, and puts their results into sentences. It
understands little, and says so.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from agent.events import Message
from agent.offline_questions import (
    arithmetic,
    follow_up_places,
    note,
    places,
    time_places,
    timezone_of,
    unit,
    weather_places,
)
from agent.offline_replies import Answer, Call, Conversation

WEATHER, CLOCK, CALCULATOR, NOTES = "get_current_weather", "get_current_time", "calculate", "save_note"
INTRODUCTION = (
    "*I am not a language model, only a small script that comes with this app. Set `OPENAI_API_KEY`, "
    "or `OPENAI_BASE_URL` for a model server of your own, to connect one.*"
)
ABILITIES = {
    WEATHER: "tell the weather, also in several places at once: “What's the weather in San Francisco and Paris?”",
    CALCULATOR: "do sums: “What is (17.5 * 4) / 3 + 2**10?”",
    CLOCK: "tell the time elsewhere: “What time is it in Tokyo?”",
    NOTES: "save a note, if you agree to it: “Save a note Groceries: milk and bread”",
}
WHICH_PLACE = "For which place would you like to know the weather?"
CANNOT_CALL = "I would need a tool for that, and I may not use one now."
LOST = "I did not understand that."
QUOTE_CHARACTERS = 500
NOT_RUN, LEFT_UNDONE = "Not run:", "All right, I have not done that."
EDITED = re.compile(
    r"\[The person changed the arguments before this ran, to (?P<arguments>.*?)\]\n(?P<content>.*)", re.DOTALL
)

GREETING = re.compile(r"\W*(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|moin|servus)\b", re.I)
THANKS = re.compile(r"\b(?:thanks|thank you|thx|cheers)\b", re.I)
FAREWELL = re.compile(r"\b(?:bye|goodbye|see you|good night)\b", re.I)
ABOUT_ME = re.compile(r"\b(?:who|what) are you\b|\bare you (?:a |an )?(?:\w+ )?(?:ai|bot|model|human|real|llm)\b", re.I)
HELP = re.compile(r"\bwhat (?:can|do) you do\b|\bhelp\b|\bhow does this work\b|\byour tools\b", re.I)
HOW_ARE_YOU = re.compile(r"\bhow are you\b|\bhow do you do\b", re.I)
TELLS_NAME = re.compile(
    r"\b(?:my name is|my name's|call me|i am called)\s+(?P<name>\w[\w'-]*(?:\s+[A-Z][\w'-]*)*)", re.I
)
SAYS_NAME = re.compile(r"\bI(?:'m| am) (?P<name>[A-Z][\w'-]+)")
ASKS_NAME = re.compile(r"\b(?:what(?:'s| is) my name|who am i|do you (?:know|remember) (?:my name|me))\b", re.I)
ASKS_FIRST = re.compile(r"\b(?:what|which)\b.*\b(?:i|my)\b.*\bfirst\b|\bmy first (?:question|message)\b", re.I)
ASKS_LAST = re.compile(r"\bwhat did i (?:just |last )*(?:ask|say)\b|\bmy last (?:question|message)\b", re.I)


def think(conversation: Conversation) -> Answer:
    """Return the next answer: tool calls where a tool helps, else text. The first text introduces the speaker."""
    messages = conversation.messages
    if messages and messages[-1]["role"] == "tool":
        text = "\n\n".join(_sentence(name, arguments, content) for name, arguments, content in _results(messages))
    else:
        *before, question = [_text(message) for message in messages if message["role"] == "user"] or [""]
        calls = list(_calls(question, conversation))
        if calls and conversation.usable:
            return Answer(calls=calls)
        text = CANNOT_CALL if calls else _talk(question, before, conversation)
    introduced = any(message["role"] == "assistant" and message.get("content") for message in messages)
    return Answer(text if introduced else f"{text}\n\n{INTRODUCTION}")


def _calls(question: str, conversation: Conversation) -> Iterator[Call]:
    """Yield the tool calls that a question asks for; what stands in a note is no question."""
    tools = conversation.tools
    if NOTES in tools and (wish := note(question)):
        yield Call(NOTES, dict(zip(("title", "text"), wish, strict=True)))
        return
    wanted = unit(question)
    for name, found in ((WEATHER, weather_places(question)), (CLOCK, time_places(question))):
        if name in tools and found is not None:
            for place in found or ([""] if name == CLOCK else []):
                yield _place_call(name, place, wanted)
    if CALCULATOR in tools and (expression := arithmetic(question)):
        yield Call(CALCULATOR, {"expression": expression})
    yield from _follow_up(question, conversation, wanted)
    for name, tool in tools.items():
        if name not in ABILITIES and _names(question, name):
            yield Call(name, _arguments(question, tool.get("parameters", {}).get("properties", {})))


def _place_call(name: str, place: str, wanted: str | None) -> Call:
    if name == WEATHER:
        return Call(WEATHER, {"location": place} | ({"unit": wanted} if wanted else {}))
    return Call(CLOCK, {"timezone": timezone_of(place)} if place else {})


def _follow_up(question: str, conversation: Conversation, wanted: str | None) -> Iterator[Call]:
    """Yield the calls for `and in Tokyo?` after a question for other places, or for the answer to WHICH_PLACE."""
    if weather_places(question) is not None or time_places(question) is not None:
        return
    said = [message for message in conversation.messages if message["role"] == "assistant"]
    listed = follow_up_places(question)
    if not listed and said and _text(said[-1]).startswith(WHICH_PLACE):
        listed, last = places(question), WEATHER
    else:
        called = [call["function"]["name"] for message in said for call in message.get("tool_calls") or ()]
        last = next((name for name in reversed(called) if name in (WEATHER, CLOCK)), "")
    if last in conversation.tools:
        yield from (_place_call(last, place, wanted) for place in listed)


def _names(question: str, name: str) -> bool:
    """Tell whether a question names a tool, as `roll_dice` or in its words, as `Roll the dice`."""
    said = set(re.findall(r"\w+", question.lower()))
    return name.lower() in said or set(name.lower().split("_")) <= said


def _arguments(question: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that a question gives, as `sides=6`, `sides 6` or `6 sides`."""
    arguments: dict[str, Any] = {}
    for name, schema in properties.items():
        word = re.escape(name)
        found = re.search(rf"\b{word}\s*[=:]\s*(\S+)|\b{word}\s+(\d\S*)|(\d[\d.]*)\s+{word}\b", question, re.I)
        if found:
            text = next(group for group in found.groups() if group).strip(".,;?!\"'")
            is_number = schema.get("type") in ("integer", "number") and re.fullmatch(r"-?\d{1,15}(\.\d+)?", text)
            arguments[name] = json.loads(text.lstrip("0") or "0") if is_number else text
    return arguments


def _talk(question: str, before: Sequence[str], conversation: Conversation) -> str:
    """Return what to say to a question that no tool can answer."""
    if ASKS_FIRST.search(question):
        return f"You first asked: “{before[0]}”" if before else "This is the first thing that you asked."
    if ASKS_LAST.search(question):
        return f"Just before, you asked: “{before[-1]}”" if before else "You had not asked anything before."
    if ASKS_NAME.search(question):
        name = next(filter(None, map(_name_in, reversed(before))), None)
        return f"Your name is {name}." if name else "You have not told me your name."
    if name := _name_in(question):
        return f"Nice to meet you, {name}."
    if weather_places(question) is not None and WEATHER in conversation.tools:
        return WHICH_PLACE
    if ABOUT_ME.search(question):
        return f"I am a script that stands in where no language model is connected. {_abilities(conversation)}"
    if HELP.search(question):
        return _abilities(conversation)
    if HOW_ARE_YOU.search(question):
        return "All my lines of code are well, thank you. What would you like to know?"
    if THANKS.search(question):
        return "You are welcome."
    if FAREWELL.search(question):
        return "Goodbye! This conversation stays in the record."
    if GREETING.match(question):
        return f"Hello! {_abilities(conversation)}"
    return f"{LOST} {_abilities(conversation)}"


def _abilities(conversation: Conversation) -> str:
    known = [words for name, words in ABILITIES.items() if name in conversation.tools]
    others = [name for name in conversation.tools if name not in ABILITIES]
    lines = known + ([f"call {', '.join(f'`{name}`' for name in others)} when you name it"] if others else [])
    if not lines:
        return "I can keep a short conversation, and remember what you tell me in it."
    return "I can\n\n" + "\n".join(f"- {line}" for line in lines)


def _results(messages: Sequence[Message]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield name, arguments and result of each tool call that was answered just now."""
    place = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
    calls = {call["id"]: call["function"] for call in messages[place]["tool_calls"]}
    for message in messages[place + 1 :]:
        function = calls[message["tool_call_id"]]
        yield function["name"], _object(function["arguments"]), _text(message)


def _sentence(name: str, arguments: Mapping[str, Any], content: str) -> str:
    """Put the result of one tool call into words."""
    if content.startswith("Error:"):
        return f"That did not work: {content.removeprefix('Error:').strip()}"
    if content.startswith(NOT_RUN):
        return LEFT_UNDONE if "denied" in content else f"I have not done that. {content.removeprefix(NOT_RUN).strip()}"
    if edited := EDITED.match(content):
        return f"With your changes: {_sentence(name, _object(edited['arguments']), edited['content'])}"
    result = _object(content)
    try:
        if name == WEATHER:
            return _weather_sentence(result)
        if name == CLOCK:
            moment = datetime.fromisoformat(result["time"])
            return f"In {result['timezone']} it is {moment:%H:%M} on {moment:%A}, {moment.day} {moment:%B %Y}."
        if name == CALCULATOR:
            return f"`{arguments['expression']}` = {content}"
        if name == NOTES:
            return content
    except (KeyError, TypeError, ValueError):
        pass  # not what our own tools give back: say what it is as it is
    shown = content if len(content) <= QUOTE_CHARACTERS else content[:QUOTE_CHARACTERS] + "…"
    return f"`{name}` says: {shown}"


def _weather_sentence(result: Mapping[str, Any]) -> str:
    sign = "°C" if result["unit"] == "celsius" else "°F"
    sky = " and ".join(result["forecast"])
    sample = " (sample data)" if result.get("source") == "sample" else ""
    return f"In {result['location']} it is {result['temperature']:g} {sign}, {sky}{sample}."


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _name_in(text: str) -> str | None:
    found = TELLS_NAME.search(text) or SAYS_NAME.search(text)
    return found["name"] if found else None


def _text(message: Message) -> str:
    """Return the text of a message, whose content may be a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content or ""
