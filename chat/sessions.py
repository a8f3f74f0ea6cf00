"""What a tab's session may do: stand on an own thread, and ask questions that are new."""

import logging
import uuid
from typing import Any, cast

from chainlit.data import get_data_layer
from chainlit.session import WebsocketSession

from agent.events import new_id
from recording.chainlit_layer import ChainlitLayer

logger = logging.getLogger(__name__)


async def keep_to_own_thread(session: WebsocketSession) -> None:
    """Give a new session a thread of its own, unless the one that it asked for is the person's.

    Chainlit lets a session stand on a thread that is not there; but it may be another person's that was deleted.
    It still says that the thread it was asked for cannot be found.
    """
    if not session.thread_id_to_resume or session.restored:
        return
    layer, owner = get_data_layer(), ""
    try:
        owner = await layer.get_thread_author(session.thread_id_to_resume) if layer else ""
    except ConnectionError as error:
        logger.warning("Nobody knows whose thread %.100r is: %s", session.thread_id_to_resume, error)
    if not owner:
        session.thread_id = new_id()


async def cleaned(session: WebsocketSession, payload: Any) -> dict[str, Any] | None:
    """Return what a page has sent as a question and nothing else, None where it is none.

    Chainlit takes type, author and parent of the message as they come, and with the id of a step that is recorded
    already it would be written over that step, whoever's it is.
    """
    message = payload.get("message") if isinstance(payload, dict) else None
    if not isinstance(message, dict) or not isinstance(message.get("output"), str) or session.user is None:
        return None
    step_id = str(message.get("id"))
    layer = cast(ChainlitLayer | None, get_data_layer())
    if not _is_new_kind(step_id) or (layer and await layer.has_step(step_id)):
        logger.warning("A question of %s has an id that cannot be: %.100r", session.user.identifier, step_id)
        return None
    question = {
        "id": step_id,
        "name": session.user.identifier,
        "type": "user_message",
        "output": message["output"],
        "createdAt": None,  # Chainlit puts its own time
    }
    return {"message": question, "fileReferences": None}


def _is_new_kind(step_id: str) -> bool:
    """Tell whether an id is one that a page makes for a new message: a random UUID in its usual form."""
    try:
        parsed = uuid.UUID(step_id)
    except ValueError:
        return False
    return parsed.version == 4 and str(parsed) == step_id
