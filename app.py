"""The chat face of the agent: Chainlit's hooks, each of which does little by itself.

Chainlit runs this file at start and, under `-w`, again after each save. Whatever must outlive a save is kept by wiring.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from functools import wraps
from types import FrameType
from typing import Any, ParamSpec, cast

import chainlit as cl
from chainlit.config import HeaderLink, config
from chainlit.server import app as server
from chainlit.server import sio
from chainlit.session import WebsocketSession, ws_sessions_sid
from chainlit.types import ThreadDict

from agent.conversation import Conversation, ConversationBusyError, Turn
from agent.json_text import whole_characters
from chat.approval import DECIDE, decide
from chat.screen import Screen, show
from chat.sign_in import PasswordSignIn, read_claim
from doors import caller
from recording.chainlit_layer import ChainlitLayer
from recording.steps import ASSISTANT, message_id
from wiring import LITERAL_PATH, LOCAL_USER, House, wire

logger = logging.getLogger(__name__)

BUSY = "I am still answering the question before this one. Please ask again when I am done, or stop me first."
BROKEN = "Something broke on our side, and it is in the log. What you wrote is kept; please ask again."
SECONDS_TO_CLOSE = 2.0
SECONDS_TO_RESUME = 20.0
NOT_RECORDED = "Recording is off (RECORDING=off): nothing of this conversation is kept."

house: House = wire(server, read_claim)


def show_links() -> None:
    """Show the links to the review pages: one for each message, which Chainlit has in debug mode, and one on top."""
    config.run.debug = house.recorder is not None
    if house.kept.literal:
        record = HeaderLink(
            name="record", display_name="Record", icon_url="/favicon", url=LITERAL_PATH, target="_blank"
        )
        config.ui.header_links = [record]


if house.kept.started:  # a save has reset Chainlit's configuration
    show_links()


@cl.on_app_startup
async def start() -> None:
    """Open the house. Only now may links be shown: Chainlit's debug mode set earlier would fill the log."""
    try:
        await house.start()
    except Exception as error:  # Chainlit would log it and go on without us
        logger.exception("Verbatim could not start")
        raise SystemExit(1) from error
    show_links()
    end_on_first_signal()


def end_on_first_signal() -> None:
    """See that one Ctrl-C or SIGTERM ends the app in order.

    The web server waits for every open tab to go away, for ever; a second signal would then cut off what is unsent.
    """
    loop = asyncio.get_running_loop()

    def chain(number: int, servers_own: Any) -> None:
        def handle(received: int, frame: FrameType | None) -> None:
            servers_own(received, frame)
            asyncio.run_coroutine_threadsafe(hang_up(), loop)

        signal.signal(number, handle)

    for number in (signal.SIGINT, signal.SIGTERM):
        servers_own = signal.getsignal(number)
        if callable(servers_own):
            chain(number, servers_own)


async def hang_up() -> None:
    """Close the house and disconnect every tab; should the server still wait then, end the process as Chainlit does."""
    await house.stop()
    for socket_id in list(ws_sessions_sid):
        await sio.disconnect(socket_id)
    await asyncio.sleep(SECONDS_TO_CLOSE)
    os._exit(0)


@cl.on_app_shutdown
async def stop() -> None:
    """Close the house; Chainlit ends the process right after this, so nothing may be left to do."""
    await house.stop()


def forget(thread_id: str) -> None:
    """Let go of a thread that a person deletes; Chainlit keeps the layer and so this function through all saves."""
    house.conversations.forget(thread_id)


@cl.data_layer  # type: ignore[arg-type]
def data_layer() -> ChainlitLayer | None:
    """Return the layer behind sidebar and resume; without recording there is none (and no other by environment)."""
    if house.kept.api is None or house.kept.outbox is None:
        return None
    return ChainlitLayer(house.kept.api, house.kept.outbox, forget, house.review_url)


if house.logins:
    # Not by Chainlit's decorator: that would turn the refusal of too many attempts into a wrong password.
    config.code.password_auth_callback = PasswordSignIn(house.logins).log_in
else:

    @cl.header_auth_callback
    async def sign_in(_headers: Any) -> cl.User | None:
        """Sign in the browser of this machine by itself."""
        return cl.User(identifier=LOCAL_USER) if caller.get().at_machine else None


@cl.set_starters
async def starters(user: cl.User | None) -> list[cl.Starter]:  # noqa: ARG001 - Chainlit's signature
    """Return questions that show what the agent can do."""
    return [
        cl.Starter(label="Weather in two cities", message="What's the weather in San Francisco and Paris?"),
        cl.Starter(label="Do the sums", message="What is (17.5 * 4) / 3 + 2**10?"),
        cl.Starter(label="Time elsewhere", message="What time is it in Tokyo?"),
        cl.Starter(label="What can you do?", message="What can you do?"),
    ]


P = ParamSpec("P")


def in_plain_words(hook: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """Show a person one sentence when a hook breaks, and the log the rest; Chainlit would show the exception."""

    @wraps(hook)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await hook(*args, **kwargs)
        except Exception:
            logger.exception("The hook %s failed", hook.__name__)
            await cl.ErrorMessage(content=BROKEN, author=ASSISTANT).send()

    return guarded


@cl.on_chat_start
@in_plain_words
async def on_chat_start() -> None:
    """Say it at once when nothing of this will be kept."""
    if house.recorder is None:
        await cl.context.emitter.send_toast(NOT_RECORDED, "warning")


@cl.on_chat_resume
@in_plain_words
async def on_chat_resume(thread: ThreadDict) -> None:  # noqa: ARG001 - Chainlit's signature
    """Go on with a recorded thread; safe to run twice, as it does after a lost connection."""
    cl.chat_context.clear()  # Chainlit adds all messages once more on each call, and would delete by that list
    session = this_session()
    show(await conversation_of(session), session)


@cl.on_message
@in_plain_words
async def on_message(message: cl.Message) -> None:
    """Answer one question; the turn lives in the conversation and goes on when this tab is closed."""
    session = this_session()
    session.current_task = asyncio.current_task()  # so that Stop ends this, however it was started
    conversation = await conversation_of(session)
    screen = show(conversation, session)
    if house.recorder is None and not conversation.messages:
        await screen.say(NOT_RECORDED, parent=cl.context.current_run.id)
    try:
        turn = await conversation.ask(
            {"role": "user", "content": whole_characters(message.content)},
            house.answer,
            house.recorder,
            client="chat",
            question_id=message.id,
            run_id=cl.context.current_run.id,
        )
    except ConversationBusyError:
        await refuse(message, screen)
    else:
        screen.asking = message.id  # before any event of the turn: asking has started it, but not yet run it
        await finish(turn)


@cl.on_stop
@in_plain_words
async def on_stop() -> None:
    """Stop the turn that the tab shows, whichever tab has asked for it."""
    turn = (await conversation_of(this_session())).turn
    if turn:
        turn.stop()


@cl.action_callback(DECIDE)
async def on_decision(action: cl.Action) -> dict[str, str | None]:
    """Take a decision on a tool call that waits; Chainlit has checked that the session is the caller's own."""
    session = this_session()
    user = user_of(session)
    conversation = house.conversations.find(user, session.thread_id)
    return {"problem": decide(conversation.turn if conversation else None, user, action.payload)}


async def finish(turn: Turn) -> None:
    """Wait for a turn's end. Stop cancels this task; then the turn is asked to end in order, which it does at once."""
    try:
        await asyncio.shield(turn.finished)
    except asyncio.CancelledError:
        turn.stop()
        await turn.finished


async def refuse(message: cl.Message, screen: Screen) -> None:
    """Tell that another question is being answered; record this one all the same."""
    session = this_session()
    if house.recorder:
        house.recorder.refused(
            thread_id=session.thread_id,
            user=user_of(session),
            question_id=message.id,
            question=message.content,
            sentence=BUSY,
        )
    await screen.say(BUSY, message_id(message.id))


async def refuse_event(socket_id: str, *_data: Any) -> None:
    """Do nothing: Chainlit takes these events although the features behind them are switched off."""
    logger.warning("Socket %s sent an event of a feature that is off", socket_id)


for event_name in ("edit_message", "message_favorite", "audio_start", "audio_chunk", "audio_end"):
    sio.on(event_name, refuse_event)


def this_session() -> WebsocketSession:
    """Return the session that a hook runs for; hooks run for tabs only, as no other client type is connected."""
    return cast(WebsocketSession, cl.context.session)


def user_of(session: WebsocketSession) -> str:
    """Return the name of the person behind a session."""
    if session.user is None:
        raise RuntimeError("A session without a user: a login is always configured, so Chainlit lets none in.")
    return session.user.identifier


async def conversation_of(session: WebsocketSession) -> Conversation:
    """Return the conversation of a session's thread, rebuilt from the record where it is not open.

    Raises ConnectionError when the record cannot be read: to go on without it would forget what was said.
    """
    user, thread_id = user_of(session), session.thread_id
    known = house.conversations.find(user, thread_id)
    if known is None and session.thread_id_to_resume:
        recorded = await house.lookup(thread_id, SECONDS_TO_RESUME)
        return house.conversations.open(user, thread_id, recorded.messages if recorded else None)
    return known or house.conversations.open(user, thread_id)
