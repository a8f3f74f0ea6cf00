"""What a tab's session may do, and when it ends: with its sign-in, and with it all that Chainlit keeps for it."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from chainlit.chat_context import chat_contexts
from chainlit.data import get_data_layer
from chainlit.emitter import ChainlitEmitter
from chainlit.server import sio
from chainlit.session import WebsocketSession, ws_sessions_id
from chainlit.user_session import user_sessions

from agent.conversation import Conversations
from agent.events import new_id
from chat.sign_in import claim_of
from doors import Claim
from recording.chainlit_layer import ChainlitLayer

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 5.0
SECONDS_BETWEEN_TRIES = 2.0
NOT_READABLE = "The record of this conversation cannot be read at the moment. It is shown as soon as it can be."


class HasConversations(Protocol):
    """What knows the open conversations, which are others after each save of the source."""

    conversations: Conversations


async def look_after(house: HasConversations, is_in: Callable[[Claim], bool]) -> None:
    """For ever: end the sessions of who is not signed in any more, and let go of what is left of those that are over.

    A socket is asked who it is when it opens, and then never again.
    """
    while True:
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        try:
            for session in list(ws_sessions_id.values()):
                claim = claim_of(session.token or "")
                if claim is None or not is_in(claim):
                    await end(session)
            let_go(house.conversations)
        except Exception:  # one that cannot be ended must not keep the others in
            logger.exception("Not all sessions could be looked after")


async def end(session: WebsocketSession) -> None:
    """Cut a session off; its page cannot take it up again."""
    logger.info("The session of %s ends with the sign-in.", session.user.identifier if session.user else "nobody")
    session.to_clear = True  # so that Chainlit does not wait for it to come back
    await sio.disconnect(session.socket_id)
    user_sessions.pop(session.id, None)
    await session.delete()


def let_go(conversations: Conversations) -> None:
    """Forget what belongs to sessions that are over: Chainlit's lists of messages, and screens nobody looks at."""
    for kept in (chat_contexts, user_sessions):
        for session_id in kept.keys() - ws_sessions_id.keys():
            del kept[session_id]
    for conversation in conversations.by_thread.values():
        conversation.listeners[:] = [screen for screen in conversation.listeners if getattr(screen, "alive", True)]


async def keep_to_own_thread(session: WebsocketSession) -> None:
    """Give a new session a thread of its own, unless the one that it asked for is the person's.

    Chainlit lets a session stand on a thread that is not there; but it may be another person's that was deleted.
    It still says that the thread it was asked for cannot be found.
    Raises ConnectionRefusedError while the record cannot tell whose it is; the page tries again.
    """
    if not session.thread_id_to_resume or session.restored:
        return
    layer, owner = get_data_layer(), ""
    try:
        owner = await layer.get_thread_author(session.thread_id_to_resume) if layer else ""
    except ConnectionError as error:
        logger.warning("Nobody knows whose thread %.100r is: %s", session.thread_id_to_resume, error)
        await session.delete()
        raise ConnectionRefusedError("the record gives no answer") from error
    if owner:
        session.has_first_interaction = True  # else Chainlit would name the thread after what is asked in it next
    else:
        session.thread_id = new_id()


async def show_when_readable(session: WebsocketSession, show: Callable[[], Awaitable[None]]) -> None:
    """Show a tab its thread, as soon as the record can be read; until then its page waits, and says why."""
    told, socket_id = False, session.socket_id
    while True:
        try:
            return await show()
        except ConnectionError as error:
            reason = error
        if not told:
            logger.warning("A tab waits to be shown thread %s: %s", session.thread_id, reason)
            await ChainlitEmitter(session).send_toast(NOT_READABLE, "warning")
            told = True
        await asyncio.sleep(SECONDS_BETWEEN_TRIES)
        if not sio.manager.is_connected(socket_id, "/"):
            return None


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
