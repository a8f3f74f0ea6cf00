"""One shape of thread: what the events of a turn become in the Literal protocol."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.conversation import Exchange, Turn, TurnStarted, messages_of
from agent.events import (
    ApprovalAsked,
    ApprovalDecided,
    Message,
    ModelFinished,
    ModelStarted,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    Usage,
    Verdict,
)
from recording.branches import last_turns, superseded
from recording.history import exchanges_of
from recording.steps import TurnSteps, message_id, message_step, text_of

pytestmark = pytest.mark.anyio

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CALL = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
NEW: list[Message] = [
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "2"},
    {"role": "assistant", "content": "It is 2."},
]


def turn(**changes: Any) -> Turn:
    values: dict[str, Any] = {
        "thread_id": "t",
        "user": "ada",
        "client": "chat",
        "question": {"role": "user", "content": "1 + 1?"},
        "history": [],
        "rebased": False,
        "first": True,
        "question_id": "q",
        "run_id": "r",
    }
    return Turn(**values | changes)


def model_started(step_id: str) -> ModelStarted:
    return ModelStarted(
        step_id=step_id, model="m", provider="p", settings={"temperature": 0}, messages=[], tools=[{"type": "function"}]
    )


EVENTS = [
    TurnStarted(at=AT),
    model_started("call 1"),
    ModelFinished(
        step_id="call 1",
        message=NEW[0],
        usage=Usage(10, 5, 15),
        finish_reason="tool_calls",
        time_to_first_token=0.25,
        duration=0.5,
    ),
    ToolStarted(step_id="tool", tool_call_id="c", name="add", arguments={"a": 1}),
    ToolFinished(step_id="tool", tool_call_id="c", name="add", content="2", duration=0.1),
    model_started("call 2"),
    TextDelta(step_id="call 2", text="It is 2."),
    ModelFinished(
        step_id="call 2", message=NEW[2], usage=None, finish_reason="stop", time_to_first_token=None, duration=0.5
    ),
    TurnFinished(step_id="end", outcome="answered", messages=NEW, text="It is 2."),
]


async def merged(of: Turn, events: list[Any]) -> dict[str, dict[str, Any]]:
    """Return the steps by id as a server that merges key by key would hold them."""
    steps: dict[str, dict[str, Any]] = {}
    events = [
        replace(event, at=AT + timedelta(seconds=n)) if hasattr(event, "at") else event
        for n, event in enumerate(events)
    ]
    builder = TurnSteps(of)
    for event in events:
        for step in builder.of(event):
            steps[step["id"]] = steps.get(step["id"], {}) | step
    return steps


async def test_the_tree_of_a_turn() -> None:
    """A turn is a question, one run below it, and below that its model calls, tools and answer."""
    steps = await merged(turn(), EVENTS)

    tree = {step_id: (step["type"], step.get("parentId")) for step_id, step in steps.items()}
    assert tree == {
        "q": ("user_message", None),
        "r": ("run", "q"),
        "call 1": ("llm", "r"),
        "tool": ("tool", "r"),
        "call 2": ("llm", "r"),
        message_id("call 2"): ("assistant_message", "r"),
    }
    assert all(step["threadId"] == "t" and step["startTime"] <= step["endTime"] for step in steps.values())
    assert steps["q"]["startTime"] < steps["r"]["startTime"]


async def test_a_model_call_keeps_its_generation() -> None:
    """Provider, model, settings, tools, tokens, time to first token in ms and duration in s are all in the llm step."""
    generation = (await merged(turn(), EVENTS))["call 1"]["generation"]

    assert generation == {
        "type": "CHAT",
        "provider": "p",
        "model": "m",
        "settings": {"temperature": 0},
        "messages": [],
        "tools": [{"type": "function"}],
        "messageCompletion": NEW[0],
        "inputTokenCount": 10,
        "outputTokenCount": 5,
        "tokenCount": 15,
        "ttFirstToken": 250,
        "duration": 0.5,
        "tokenThroughputInSeconds": 10,
    }


async def test_a_failed_turn_is_recorded_as_failed() -> None:
    """The run carries the sentence the person was told, and so does the answer that told it."""
    failed = TurnFinished(step_id="end", outcome="failed", messages=[], text="No key.", said_by_us=True)
    steps = await merged(turn(), [TurnStarted(at=AT), failed])

    assert steps["r"]["error"] == "No key."
    assert steps["r"]["metadata"]["outcome"] == "failed"
    assert steps[message_id("end")]["output"] == {"content": "No key."}


class Recorded:
    """A step as the SDK hands it out, as far as the history is concerned."""

    def __init__(self, step: dict[str, Any]) -> None:
        self.id, self.type, self.parent_id = step["id"], step["type"], step.get("parentId")
        self.start_time, self.input, self.output = step["startTime"], step.get("input"), step.get("output")
        self.metadata, self.error = step.get("metadata"), step.get("error")


def rebuilt_of(steps: Iterable[dict[str, Any]]) -> list[Exchange]:
    return exchanges_of([Recorded(step) for step in steps])  # type: ignore[misc]


async def steps_of(*turns: tuple[Turn, list[Any]]) -> list[dict[str, Any]]:
    return [step for of, events in turns for step in (await merged(of, events)).values()]


async def history_of(*turns: tuple[Turn, list[Any]]) -> list[Message]:
    return messages_of(rebuilt_of(reversed(await steps_of(*turns))))


async def test_the_history_comes_back_from_the_runs() -> None:
    """Question, tool call, tool result and answer are rebuilt as they were, whatever order the steps come in."""
    rebuilt = await history_of((turn(), EVENTS), (turn(run_id="r2", question_id="q2"), EVENTS))

    assert rebuilt == [{"role": "user", "content": "1 + 1?"}, *NEW] * 2


async def test_a_foreign_history_comes_back_too() -> None:
    """What an HTTP client posted before its question is part of the record, and parts of a question stay parts."""
    posted = [{"role": "system", "content": "Be brief."}]
    question = {"role": "user", "content": [{"type": "text", "text": "1 + 1?"}]}

    rebuilt = await history_of((turn(history=posted, rebased=True, question=question, client="http"), EVENTS))

    assert rebuilt == [*posted, question, *NEW]


async def test_a_run_of_another_program_counts_with_what_was_shown() -> None:
    """A recorded run without our messages gives its question and its assistant messages."""
    events = [*EVENTS[:-1], TurnFinished(step_id="end", outcome="answered", messages=NEW, text="It is 2.")]
    steps = await merged(turn(), events)
    steps["r"]["output"] = {"content": "It is 2."}

    rebuilt = messages_of(rebuilt_of(steps.values()))

    assert rebuilt == [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "It is 2."}]


async def test_an_exchange_knows_all_that_is_recorded_of_it() -> None:
    """Each exchange of a rebuilt thread has the steps of its whole tree with their metadata, and none of another's."""
    steps = await steps_of((turn(), EVENTS), (turn(run_id="r2", question_id="q2"), EVENTS[:1]))

    first, second = rebuilt_of(steps)

    recorded = {step["id"]: step.get("metadata") or {} for step in steps}
    assert (first.question_id, second.question_id) == ("q", "q2")
    assert second.steps == {"q2": {"client": "chat"}, "r2": {"client": "chat"}}
    assert first.steps | second.steps == recorded
    assert len(first.steps) == 6


async def test_superseded_turns_are_not_part_of_the_conversation() -> None:
    """A turn whose steps are marked is left out, and so is a late step below it that was never marked."""
    steps = await steps_of((turn(), EVENTS), (turn(run_id="r2", question_id="q2"), EVENTS))
    cut = rebuilt_of(steps)[0]
    marks = {step["id"]: step for step in superseded(cut, "t", "q2", AT, "ada") if step["id"] != "tool"}

    rebuilt = rebuilt_of([step | marks.get(step["id"], {}) for step in steps])

    assert [exchange.question_id for exchange in rebuilt] == ["q2"]
    assert "tool" not in rebuilt[0].steps


def test_a_mark_keeps_the_metadata_there_was() -> None:
    """Metadata is replaced whole by the server, so a mark says all of it again, and who cut it, when and for what."""
    exchange = Exchange("q", {"role": "user", "content": "a"}, steps={"q": {"client": "chat"}, "r": {}})

    marks = superseded(exchange, "t", "q2", AT, "ada")

    mark = {"by": "q2", "at": "2026-01-02T03:04:05.000000Z", "author": "ada"}
    assert marks == [
        {"id": "q", "threadId": "t", "metadata": {"client": "chat", "superseded": mark}},
        {"id": "r", "threadId": "t", "metadata": {"superseded": mark}},
    ]


@pytest.mark.parametrize(("question", "origin"), [("1 + 2?", "edited_from"), ("1 + 1?", "regenerated_from")])
async def test_a_branch_names_the_question_it_came_from(question: str, origin: str) -> None:
    """An edited question and a repeated one are told apart, and both name the one whose place they took."""
    cut = [Exchange("old", {"role": "user", "content": "1 + 1?"})]

    steps = await merged(turn(cut=cut, question={"role": "user", "content": question}), EVENTS[:1])

    assert steps["q"]["metadata"] == {"client": "chat", origin: "old"}


async def test_a_refused_question_is_rebuilt_but_not_told_to_the_model() -> None:
    """What was typed while another answer ran keeps its place in the thread; the model hears nothing of it."""
    refused = message_step("t", "busy", "user_message", "ada", "Are you there?", AT + timedelta(days=1))
    told = message_step("t", message_id("busy"), "assistant_message", "Verbatim", "Wait.", AT + timedelta(days=1))
    steps = [*await steps_of((turn(), EVENTS)), refused | {"metadata": {"refused": True}}, told]

    rebuilt = rebuilt_of(steps)

    assert [exchange.refused for exchange in rebuilt] == [False, True]
    assert rebuilt[1].steps.keys() == {"busy", message_id("busy")}
    assert messages_of(rebuilt) == [{"role": "user", "content": "1 + 1?"}, *NEW]


async def test_of_a_long_thread_the_last_whole_turns_are_kept() -> None:
    """The cut is between turns, the bound is kept where one turn is not longer by itself, and the rest is counted."""
    turns = [(turn(run_id=f"r{number}", question_id=f"q{number}"), EVENTS[:1]) for number in range(4)]
    steps: Any = [Recorded(step) for step in await steps_of(*turns)]  # two steps a turn

    def kept(most: int) -> tuple[list[str], int]:
        shown, earlier = last_turns(steps, most)
        return [step.id or "" for step in shown], earlier

    assert kept(8) == ([step.id for step in steps], 0)
    assert kept(7) == (["q1", "r1", "q2", "r2", "q3", "r3"], 1)
    assert kept(4) == (["q2", "r2", "q3", "r3"], 2)
    assert kept(1) == (["q3", "r3"], 3)


def test_the_text_of_a_message_with_parts() -> None:
    """Text parts are joined, other parts are left out, no content is no text."""
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "text", "text": "b"},
    ]

    assert [text_of({"content": parts}), text_of({"content": None}), text_of({"content": "c"})] == ["a\nb", "", "c"]


def test_chat_and_record_name_an_answer_alike() -> None:
    """The id of an answer depends on its model call alone, so that chat and record agree without talking."""
    assert message_id("x") == message_id("x") != message_id("y")


ASKED = ApprovalAsked(
    step_id="tool", tool_call_id="c", name="add", arguments={"a": 1}, until=AT + timedelta(minutes=10), at=AT
)


def decided(verdict: Verdict, by: str = "ada", reason: str = "", arguments: Any = None) -> ApprovalDecided:
    return ApprovalDecided(
        step_id="tool",
        tool_call_id="c",
        name="add",
        verdict=verdict,
        by=by,
        reason=reason,
        arguments=arguments or {"a": 1},
        asked={"a": 1},
        at=AT + timedelta(seconds=40),
    )


def told_of(*events: Any) -> list[dict[str, Any]]:
    """Return what each event tells of the tool's step."""
    steps = TurnSteps(turn())
    return [step for event in events for step in steps.of(event)]


async def test_a_call_that_waits_for_consent_is_a_step_that_has_not_begun() -> None:
    """It shows its arguments and until when it waits, and has neither start nor end."""
    [step] = told_of(ASKED)

    assert (step["type"], step["name"], step["input"]) == ("tool", "add", {"a": 1})
    assert "startTime" not in step
    assert step["metadata"]["approval"] == {
        "decision": "waiting",
        "askedAt": "2026-01-02T03:04:05.000000Z",
        "until": "2026-01-02T03:14:05.000000Z",
    }


async def test_an_edited_call_keeps_both_arguments_and_starts_when_it_is_approved() -> None:
    """Input is what ran; what was asked for, who changed it and when stand beside; waiting is not in its time."""
    finished = ToolFinished(step_id="tool", tool_call_id="c", name="add", content="2", duration=0.1)
    started = ToolStarted(
        step_id="tool", tool_call_id="c", name="add", arguments={"a": 2}, at=AT + timedelta(seconds=41)
    )

    *_, begun, ended = told_of(ASKED, decided("edited", arguments={"a": 2}), started, finished)

    assert begun["startTime"] == "2026-01-02T03:04:46.000000Z"
    assert begun["input"] == {"a": 2}
    assert begun["metadata"] == ended["metadata"]
    assert ended["metadata"]["approval"] == {
        "decision": "edited",
        "by": "ada",
        "at": "2026-01-02T03:04:45.000000Z",
        "askedAt": "2026-01-02T03:04:05.000000Z",
        "askedArguments": {"a": 1},
    }


@pytest.mark.parametrize(
    ("decision", "approval"),
    [
        (decided("denied", reason="no"), {"decision": "denied", "by": "ada", "reason": "no"}),
        (decided("timed_out", by=""), {"decision": "timed_out"}),
        (decided("stopped", by=""), {"decision": "stopped"}),
    ],
)
async def test_a_call_without_consent_ends_without_having_begun(
    decision: ApprovalDecided, approval: dict[str, Any]
) -> None:
    """It has an end and a result that says why, no start, and no error: nothing failed."""
    finished = ToolFinished(step_id="tool", tool_call_id="c", name="add", content="Not run.", duration=0)

    step: dict[str, Any] = {}
    for told in told_of(ASKED, decision, finished):
        step |= told

    assert "startTime" not in step
    assert (step["output"], step["error"]) == ({"content": "Not run."}, None)
    times = {"at": "2026-01-02T03:04:45.000000Z", "askedAt": "2026-01-02T03:04:05.000000Z"}
    assert step["metadata"]["approval"] == approval | times
