"""What people ask in the demo data, what the tools give back, and what the assistant answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

USERS: Mapping[str, Mapping[str, Any]] = {
    "ada@example.org": {"name": "Ada", "plan": "team", "locale": "en-GB"},
    "bruno@example.org": {"name": "Bruno", "plan": "free", "locale": "pt-PT"},
    "chiyo@example.org": {"name": "Chiyo", "plan": "team", "locale": "ja-JP"},
    "dmitri@example.org": {"name": "Dmitri", "plan": "business", "locale": "en-US"},
    "esra@example.org": {"name": "Esra", "plan": "free", "locale": "de-DE"},
    "fatou@example.org": {"name": "Fatou", "plan": "business", "locale": "fr-FR"},
}

# Provider, model, seconds to the first token, tokens a second.
MODELS: Sequence[tuple[str, str, float, float]] = (
    ("openai", "gpt-4o-mini", 0.35, 95.0),
    ("openai", "gpt-4o", 0.55, 60.0),
    ("anthropic", "claude-sonnet-4-5", 0.80, 70.0),
    ("ollama", "llama3.1:8b", 0.25, 28.0),
)

# What fills the braces in the texts below.
PLACES = ("Lisbon", "Oslo", "Kyoto", "Montréal", "Nairobi", "Zürich", "Valparaíso", "Tromsø")
PRODUCTS = ("desk lamp", "rain jacket", "espresso grinder", "bike light", "water filter", "notebook stand")
WEATHER = ("sunny", "overcast", "light rain", "snow showers", "fog", "windy")


@dataclass(frozen=True)
class Call:
    """A tool call: its result, or the error that the model was told; all calls of a round run side by side."""

    name: str
    arguments: Mapping[str, Any]
    result: str = ""
    error: str = ""
    seconds: float = 0.6


@dataclass(frozen=True)
class Turn:
    """One question with its rounds of tool calls and its answer; `end` is how the turn ended."""

    question: str
    answer: str
    rounds: Sequence[Sequence[Call]] = ()
    end: str = "completed"  # or failed, cancelled
    error: str = ""
    superseded: bool = False
    # A judgement of the answer: 1 or 0, and what the person wrote.
    feedback: int | None = None
    comment: str = ""
    attachment: str = ""  # the name of a file with the question


@dataclass(frozen=True)
class Story:
    """A conversation."""

    name: str
    turns: Sequence[Turn]
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def weather(place: str, seconds: float = 0.5, degrees: str = "{degrees}") -> Call:
    """A call of the weather tool."""
    told = '{"place": "' + place + '", "sky": "{sky}", "celsius": ' + degrees + ', "wind_kmh": {wind}}'
    return Call("get_current_weather", {"city": place}, told, seconds=seconds)


STORIES: Sequence[Story] = (
    Story(
        "Packing for {place}",
        (
            Turn(
                "What do I wear in {place} today?",
                "It is **{degrees} °C** and {sky} in {place}. Take a layer that you can open, and good shoes.",
                [[weather("{place}")]],
                feedback=1,
            ),
            Turn("And at night?", "Nights are about eight degrees colder. A warm jumper will do."),
        ),
        ("weather",),
    ),
    Story(
        "Two cities at once",
        (
            Turn(
                "Is it warmer in {place} or in {other}?",
                "{place} has {degrees} °C and {sky}, {other} is three degrees colder.\n\n| city | °C |\n|---|---|\n"
                "| {place} | {degrees} |\n| {other} | {colder} |",
                [[weather("{place}", 0.9), weather("{other}", 1.4, "{colder}")]],
                feedback=1,
                comment="The table is just what I wanted.",
            ),
        ),
        ("weather", "parallel tools"),
    ),
    Story(
        "A city that does not exist",
        (
            Turn(
                "How is the weather in Xyzzyville?",
                "I could not find a place named Xyzzyville. Did you mean another spelling, or a town near it?",
                [
                    [
                        Call(
                            "get_current_weather",
                            {"city": "Xyzzyville"},
                            error="No place is named 'Xyzzyville'.",
                            seconds=0.3,
                        )
                    ]
                ],
                feedback=0,
                comment="It is a real village.",
            ),
            Turn("Then take {place}.", "In {place} it is {degrees} °C and {sky}.", [[weather("{place}")]]),
        ),
        ("weather", "tool error"),
    ),
    Story(
        "Where is order {order}?",
        (
            Turn(
                "Where is my order {order}?",
                "Order **{order}** ({product}) left the warehouse on Tuesday and should arrive within two days.",
                [
                    [
                        Call(
                            "find_order",
                            {"order": "{order}"},
                            '{"order": "{order}", "item": "{product}", "state": "shipped"}',
                        )
                    ]
                ],
            ),
            Turn(
                "Can it go to my office instead?",
                "Yes, I changed the address. The carrier confirms it within the hour.",
                [[Call("change_address", {"order": "{order}", "address": "office"}, '{"ok": true}', seconds=1.1)]],
                feedback=1,
            ),
            Turn("Thank you!", "You are welcome. Enjoy the {product}!"),
        ),
        ("support", "orders"),
        {"release": "1.4.0"},
    ),
    Story(
        "Refund for a broken {product}",
        (
            Turn(
                "My {product} came broken. I want my money back. Here is a picture.",
                "I am sorry about that. I have started the refund of {amount} €; it takes three to five days.",
                [
                    [Call("find_order", {"item": "{product}"}, '{"order": "{order}", "price": {amount}}')],
                    [
                        Call(
                            "refund",
                            {"order": "{order}", "amount": "{amount}"},
                            error="The payment service timed out.",
                            seconds=5.0,
                        )
                    ],
                    [
                        Call(
                            "refund",
                            {"order": "{order}", "amount": "{amount}"},
                            '{"refund": "r-{order}", "state": "started"}',
                            seconds=1.8,
                        )
                    ],
                ],
                feedback=1,
                comment="Solved at once, although it had to try twice.",
                attachment="broken.png",
            ),
        ),
        ("support", "refund", "tool error"),
        {"release": "1.4.1", "priority": "high"},
    ),
    Story(
        "Explain this invoice",
        (
            Turn(
                "What is the second line of this invoice for?",
                "The second line is the yearly service fee of {amount} €. The contract of last spring names it.",
                attachment="invoice.txt",
            ),
            Turn("Can I cancel that?", "Yes, with a month's notice. Shall I draft the letter?"),
            Turn(
                "Please do.",
                "> Dear Sir or Madam,\n>\n> I hereby cancel the service contract at the next possible date.\n",
            ),
        ),
        ("support", "billing"),
    ),
    Story(
        "A sum with a catch",
        (
            Turn(
                "What is 17 % of {amount}, then minus 3?",
                "17 % of {amount} minus 3 is worked out by the calculator: see its result above.",
                [[Call("calculate", {"expression": "{amount} * 0.17 - 3"}, "{sum}", seconds=0.02)]],
            ),
            Turn(
                "Divide that by zero.",
                "A number cannot be divided by zero, so there is no result.",
                [[Call("calculate", {"expression": "x / 0"}, error="Division by zero.", seconds=0.02)]],
                feedback=1,
            ),
        ),
        ("calculator", "tool error"),
    ),
    Story(
        "The model was away",
        (
            Turn(
                "Summarise the news about {place}.",
                "",
                end="failed",
                error="The model service did not answer within 60 seconds. Try again in a moment.",
                feedback=0,
                comment="Second time today.",
            ),
            Turn(
                "Try again, please.",
                "I have no news source here, but I can tell you about {place} in general. Shall I?",
            ),
        ),
        ("error",),
        {"release": "1.4.0"},
    ),
    Story(
        "Stopped half way",
        (
            Turn(
                "Write a long poem about the {product}.",
                "O {product}, you wait where evening starts,\nyou know the hours and their parts,\nand when the",
                end="cancelled",
            ),
            Turn("Shorter. Two lines.", "A {product}, a quiet friend:\nlittle to buy, and much to lend.", feedback=1),
        ),
        ("creative", "cancelled"),
    ),
    Story(
        "Asked again, better",
        (
            Turn("Translate 'where is the station'", "Where to? Tell me the language, please.", superseded=True),
            Turn(
                "Translate 'where is the station' into Portuguese, Japanese and Turkish",
                "- Portuguese: *Onde fica a estação?*\n- Japanese: 駅はどこですか。\n- Turkish: *İstasyon nerede?*",
                feedback=1,
            ),
        ),
        ("translation", "edited"),
    ),
    Story(
        "Debugging a query",
        (
            Turn(
                "Why is this slow?\n\n```sql\nSELECT * FROM steps WHERE lower(name) = 'run'\n```",
                "The function around the column keeps the index from being used. Compare without it, or make an index "
                "on the expression:\n\n```sql\nCREATE INDEX steps_lower_name ON steps (lower(name));\n```",
            ),
            Turn(
                "And if I cannot change the table?",
                "Then filter by something indexed first, such as the date, and let the "
                "expression work on what is left.",
            ),
            Turn(
                "How do I see which index is used?",
                "Put `EXPLAIN QUERY PLAN` in front of the query and read the lines "
                "that say `SEARCH` (good) or `SCAN` (reads everything).",
                feedback=1,
                comment="Clear and short.",
            ),
        ),
        ("code",),
    ),
    Story(
        "Trip plan in one go",
        (
            Turn(
                "Plan a weekend in {place}: weather, a hotel under {amount} € and the train from {other}.",
                "**Saturday** in {place} is {sky} at {degrees} °C: stay inside before noon, walk after it.\n\n"
                "1. Train from {other} at 07:12, arrives 11:40\n2. Hotel *Riverside*, {amount} € a night\n3. Museum",
                [
                    [
                        weather("{place}", 0.7),
                        Call(
                            "find_hotel",
                            {"city": "{place}", "below": "{amount}"},
                            '[{"name": "Riverside", "price": {amount}}]',
                            seconds=2.3,
                        ),
                        Call(
                            "find_train",
                            {"from": "{other}", "to": "{place}"},
                            error="No seat left on the 06:10.",
                            seconds=1.2,
                        ),
                    ],
                    [
                        Call(
                            "find_train",
                            {"from": "{other}", "to": "{place}", "after": "06:30"},
                            '{"departs": "07:12", "arrives": "11:40"}',
                        )
                    ],
                ],
                feedback=1,
            ),
        ),
        ("travel", "parallel tools", "tool error"),
        {"release": "1.4.1"},
    ),
    Story("hi", (Turn("hi", "Hello! What can I do for you?"),)),
    Story(
        "Feedback on a wrong answer",
        (
            Turn(
                "How many moons does Mars have?",
                "Mars has one moon.",
                feedback=0,
                comment="It has two: Phobos and Deimos.",
            ),
            Turn(
                "Are you sure?",
                "You are right to ask: Mars has **two** moons, Phobos and Deimos. I was wrong before.",
                feedback=1,
            ),
        ),
        ("facts", "to review"),
    ),
)

LONG_STORY = Story(
    "A long evening with {product}s",
    tuple(
        Turn(f"Question {number} about the {{product}}: {topic}?", f"Point {number}. {answer}")
        for number, (topic, answer) in enumerate(
            [
                ("how is it made", "Most of them come from one mould, in two halves that are pressed together."),
                ("how long does it last", "With some care, ten years. The weakest part is the joint."),
                ("can it be repaired", "Yes: four screws, and the parts are sold one by one."),
                ("is there a lighter one", "The travel version weighs about half, and costs a little more."),
            ]
            * 5,
            1,
        )
    ),
    ("long",),
)
