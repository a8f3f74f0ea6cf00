"""Steps, threads and elements from the shape of the Literal wire into that of Chainlit's browser side, and back."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from chainlit.element import Element, ElementDict
from chainlit.step import StepDict
from chainlit.types import FeedbackDict, ThreadDict
from literalai.observability.step import Attachment
from literalai.observability.thread import Thread

from recording.steps import iso

# What the chat needs to show an element again, by its name on the wire and as an attribute.
ELEMENT_METADATA = {
    "type": "type",
    "display": "display",
    "size": "size",
    "language": "language",
    "page": "page",
    "props": "props",
    "autoPlay": "auto_play",
    "playerConfig": "player_config",
}
LABEL = re.compile(
    r"[a-zA-Z0-9_ .-]{1,40}"
)  # the browser asks for an avatar of this name, and no other letters are let in
STOPPED = "*Stopped.*"
WAITING = "waiting"
WAITS_LABEL = " - waits for you"
DECISIONS = {
    "approved": ("", "Approved"),
    "edited": (" - changed", "Approved with changed arguments"),
    "denied": (" - denied", "Denied"),
    "timed_out": (" - not approved", "Nobody approved it in time"),
    "stopped": (" - stopped", "Stopped before it was approved"),
}
"""What the chat says of a decision: in the name of the step, and as a line in it."""


def to_literal(step: StepDict) -> dict[str, Any]:
    """Return a Chainlit step in the keys of the Literal wire."""
    metadata = {**(step.get("metadata") or {}), "language": step.get("language"), "showInput": step.get("showInput")}
    literal: dict[str, Any] = {
        "id": step["id"],
        "threadId": step.get("threadId"),
        "parentId": step.get("parentId"),
        "type": step.get("type"),
        "name": step.get("name"),
        "startTime": step.get("start") or step.get("createdAt"),
        "endTime": step.get("end"),
        "tags": step.get("tags"),
        "metadata": {key: value for key, value in metadata.items() if value is not None},
    }
    for key in ("input", "output"):
        if step.get(key):
            literal[key] = {"content": step[key]}
    if step.get("isError"):
        literal["error"] = step.get("output") or "failed"
    return literal


def thread_dict(thread: Thread, steps: list[StepDict], elements: list[ElementDict]) -> ThreadDict:
    """Return a thread as Chainlit shows it, with these steps and elements."""
    return {
        "id": thread.id,
        "createdAt": thread.created_at or "",
        "name": thread.name,
        "userId": thread.participant_id,
        "userIdentifier": thread.participant_identifier,
        "tags": thread.tags,
        "metadata": thread.metadata or {},
        "steps": steps,
        "elements": elements,
    }


def content_of(element: Element) -> bytes | str:
    """Return what an element holds, from its file where it has one."""
    if element.path:
        return Path(element.path).read_bytes()
    if not element.content:
        raise ValueError("it has neither a path nor any content")
    return element.content


def element_dict(attachment: Attachment, thread_id: str) -> ElementDict:
    """Return an attachment as the chat shows it; its address is one that the browser can read."""
    metadata = attachment.metadata or {}
    element: dict[str, Any] = {name: metadata.get(name) for name in ELEMENT_METADATA}
    element |= {"type": metadata.get("type") or "file", "display": metadata.get("display") or "side"}
    element |= {"id": attachment.id or "", "threadId": thread_id, "forId": attachment.step_id, "chainlitKey": None}
    element |= {"name": attachment.name or "", "mime": attachment.mime, "url": attachment.url}
    return cast(ElementDict, {**element, "objectKey": attachment.object_key})


def with_thumbs(steps: list[StepDict]) -> list[StepDict]:
    """Show the thumb of each answer at its run as well: there the browser looks for it."""
    runs = {step["id"]: step for step in steps if step["type"] == "run"}
    for step in steps:
        run = runs.get(step.get("parentId") or "")
        if run and step["type"] == "assistant_message":
            thumb = step.get("feedback")
            run["feedback"] = {**thumb, "forId": run["id"]} if thumb else None  # the last answer's is the run's
    return steps


def chainlit_step(step: Mapping[str, Any]) -> StepDict:
    """Return a step in the keys of the Literal wire as the chat's browser side shows it, live and resumed alike."""
    metadata = step.get("metadata") or {}
    ours = step.get("type") == "run" and "client" in metadata
    approval, waits = _approval(step), _waits(step)
    feedback = _feedback(step.get("scores") or [])
    shown: StepDict = {
        "id": step["id"],
        "threadId": step.get("threadId") or "",
        "parentId": step.get("parentId"),
        "type": step.get("type") or "undefined",
        "name": _label(step),
        "input": "" if ours else _shown(step.get("input")),
        "output": "" if ours else _output(step),
        "isError": bool(step.get("error")) and not ours,
        "createdAt": step.get("startTime") or step.get("createdAt") or approval.get("askedAt"),
        "start": step.get("startTime") or approval.get("askedAt"),
        "end": step.get("endTime"),
        "metadata": metadata,
        "tags": step.get("tags"),
        "generation": None,
        "language": metadata.get("language"),
        "showInput": False if waits else metadata.get("showInput", "json"),  # the card shows it
        "defaultOpen": waits,
        "autoCollapse": bool(approval) and not waits,
        "streaming": False,
        "waitForAnswer": False,
    }
    if feedback:  # what is sent again while a turn goes on must not take a thumb away
        shown["feedback"] = feedback
    return shown


def _label(step: Mapping[str, Any]) -> str:
    """Return the name under which the browser shows a step: calls of one tool are told apart by a short argument.

    A run of any name but Chainlit's own would be shown as one more step to unfold.
    """
    if step.get("type") == "run" and "client" in (step.get("metadata") or {}):
        return "on_message"
    name = str(step.get("name") or "")
    if _waits(step):
        return name + WAITS_LABEL  # its arguments are on the card
    if step.get("type") == "tool" and isinstance(step.get("input"), dict):
        telling = (value for value in step["input"].values() if isinstance(value, str) and LABEL.fullmatch(value))
        decision = DECISIONS.get(str(_approval(step).get("decision")), ("", ""))[0]
        return " ".join((name, *list(telling)[:1])) + decision
    return name


def _output(step: Mapping[str, Any]) -> str:
    """Return what came of a step, how it was decided that it may run, and how long it took."""
    told = [_decision(step), _shown(step.get("output")) or step.get("error") or "", _cut_short(step), _took(step)]
    return "\n\n".join(filter(None, told))


def _approval(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is recorded of a person's consent to a step, nothing where none was needed."""
    approval = (step.get("metadata") or {}).get("approval")
    return approval if isinstance(approval, dict) else {}


def _waits(step: Mapping[str, Any]) -> bool:
    """Tell whether a step may still wait for consent; one whose process was killed does not, once the time is over."""
    approval = _approval(step)
    until = str(approval.get("until") or "")
    return approval.get("decision") == WAITING and not step.get("endTime") and iso(datetime.now(UTC)) < until


def _decision(step: Mapping[str, Any]) -> str:
    approval = _approval(step)
    words = DECISIONS.get(str(approval.get("decision")), ("", ""))[1]
    if not words:
        return ""
    who = f" by {approval['by']}" if approval.get("by") else ""
    why = f": {approval['reason']}" if approval.get("reason") else ""
    return f"{words}{who}{why}"


def _cut_short(step: Mapping[str, Any]) -> str:
    """Return a line below an answer that a person has stopped: what stands above it is not all."""
    stopped = step.get("type") == "assistant_message" and (step.get("metadata") or {}).get("cancelled")
    return STOPPED if stopped else ""


def _took(step: Mapping[str, Any]) -> str:
    """Return how long a model call or a tool took, as a last line; the browser itself shows no times."""
    start, end = step.get("startTime"), step.get("endTime")
    if step.get("type") not in ("llm", "tool") or not start or not end:
        return ""
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    return f"*{seconds:.2f} s*"


def _shown(value: Any) -> str:
    """Return a step's input or output as text: the content where there is one, else its JSON."""
    if isinstance(value, dict):
        content = value.get("content")
        if isinstance(content, str):
            return content
        if value.get("tool_calls"):
            return "\n".join(
                f"{call['function']['name']}({call['function']['arguments']})" for call in value["tool_calls"]
            )
    return "" if value in (None, {}) else json.dumps(value, ensure_ascii=False, indent=2)


def _feedback(scores: list[dict[str, Any]]) -> FeedbackDict | None:
    for score in scores:
        if score.get("name") == "user-feedback":
            return {
                "id": score.get("id"),
                "forId": score.get("stepId") or "",
                "value": 1 if score.get("value") else 0,
                "comment": score.get("comment"),
            }
    return None
