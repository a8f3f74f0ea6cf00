"""The card under a tool call that waits for a person's consent, and what comes back from it."""

from collections.abc import Mapping
from typing import Any

from agent.approval import UNKNOWN
from agent.conversation import Turn
from agent.events import ApprovalAsked
from recording.steps import iso

DECIDE = "decide_approval"
"""The action that the card calls; its payload has `step_id`, `decision`, and `arguments` or `reason` as texts."""
UNREADABLE = "This decision cannot be read; please reload the page and decide again."


def card(event: ApprovalAsked, thread_id: str) -> dict[str, Any]:
    """Return the card as Chainlit's element; the page draws it by public/elements/Approval.jsx."""
    return {
        "id": card_id(event.step_id),
        "threadId": thread_id,
        "forId": event.step_id,
        "type": "custom",
        "name": "Approval",
        "display": "inline",
        "props": {
            "action": DECIDE,
            "step": event.step_id,
            "tool": event.name,
            "arguments": event.arguments,
            "until": iso(event.until),
        },
    }


def card_id(step_id: str) -> str:
    """Return the id of the card under a step."""
    return f"approval of {step_id}"


def decide(turn: Turn | None, by: str, payload: Mapping[str, Any]) -> str | None:
    """Take a decision on a call of the running turn; return why it cannot be taken, None when it was."""
    step_id, decision = payload.get("step_id"), payload.get("decision")
    arguments, reason = payload.get("arguments"), payload.get("reason") or ""
    if not (isinstance(step_id, str) and isinstance(arguments, str | None) and isinstance(reason, str)):
        return UNREADABLE
    if turn is None:
        return UNKNOWN
    # A save of the source may have left the turn with older code: it answers in words, as it knows no class of ours.
    if decision == "approve":
        return turn.approvals.approve(step_id, by=by, arguments=arguments)
    if decision == "deny":
        return turn.approvals.deny(step_id, by=by, reason=reason)
    return UNREADABLE
