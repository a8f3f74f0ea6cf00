"""The chat face of the agent: Chainlit's hooks, each of which does little by itself.

Chainlit runs this file at start and, under `-w`, again after each save. Whatever must outlive a save is kept by wiring.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from types import FrameType
from typing import Any, ParamSpec, cast

import chainlit as cl
import chainlit.socket
from chainlit.config import HeaderLink, config
from chainlit.server import app as server
from chainlit.server import sio
from chainlit.session import WebsocketSession, ws_sessions_sid
from chainlit.types import ThreadDict

from chat.approval import DECIDE, decide
from chat.last_good import keep_hooks
from chat.screen import AGAIN
from chat.sessions import cleaned, keep_to_own_thread, look_after, show_when_readable
from chat.settings import Panel
from chat.sign_in import PasswordSignIn, read_claim
from chat.tabs import NOT_RECORDED, Tabs, user_of
from record_process import NotStartedError
from recording.chainlit_layer import ChainlitLayer
from wiring import LITERAL_PATH, LOCAL_USER, House, wire

logger = logging.getLogger(__name__)

BROKEN = "Something broke on our side, and it is in the log. Please reload the page and try again."
SECONDS_TO_CLOSE = 2.0
SECONDS_TO_RESUME = 20.0

house: House = wire(server, read_claim)
tabs = Tabs(
    house.conversations,
    house.answer,
    house.recorder,
    partial(house.lookup, seconds=SECONDS_TO_RESUME),
    house.kept.questions,
    Panel(house.agent, house.models, house.kept.outbox),
)


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
    except NotStartedError:  # the log says why, in a sentence that must not drown in the tracebacks of all who ran us
        logging.shutdown()
        os._exit(1)
    except Exception as error:  # Chainlit would log it and go on without us
        logger.exception("Verbatim could not start")
        raise SystemExit(1) from error
    show_links()
    end_on_first_signal()
    house.kept.caretaker = asyncio.create_task(look_after(house.kept, house.is_in), name="sessions")


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
    return ChainlitLayer(
        house.kept.api,
        house.kept.outbox,
        forget,
        house.review_url,
        house.kept.caller,
        steps_shown=house.settings.chat_steps_shown,
    )


if house.logins:
    # Not by Chainlit's decorator: that would turn the refusal of too many attempts into a wrong password.
    config.code.password_auth_callback = PasswordSignIn(house.logins, house.kept.caller).log_in
else:

    @cl.header_auth_callback
    async def sign_in(_headers: Any) -> cl.User | None:
        """Sign in the browser of this machine by itself."""
        return cl.User(identifier=LOCAL_USER) if house.kept.caller.get().at_machine else None


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
            await cl.context.emitter.send_toast(BROKEN, "error")

    return guarded


@in_plain_words
async def on_chat_start() -> None:
    """Offer the settings, and say it at once when nothing of this will be kept."""
    if house.recorder is None:
        await cl.context.emitter.send_toast(NOT_RECORDED, "warning")
    await tabs.begin(this_session())


# Not by Chainlit's decorator: the page would be busy until the settings are there, and pass over what is sent by then.
config.code.on_chat_start = on_chat_start


@cl.on_chat_resume
@in_plain_words
async def on_chat_resume(thread: ThreadDict) -> None:
    """Go on with a recorded thread. What is shown from here Chainlit wipes out: it sends the thread right after."""
    cl.chat_context.clear()  # which nothing here reads; Chainlit adds all messages once more on each call
    await tabs.resumed(this_session(), thread)


@cl.on_message
@in_plain_words
async def on_message(message: cl.Message) -> None:
    """Answer one question."""
    await tabs.ask(this_session(), message.id, message.content, cl.context.current_run.id)


@cl.action_callback(AGAIN)
@in_plain_words
async def on_regenerate(action: cl.Action) -> None:
    """Give another answer; Chainlit has checked that the session is the caller's."""
    await tabs.ask_again(this_session(), str(action.payload.get("question")))


@cl.action_callback(DECIDE)
async def on_decision(action: cl.Action) -> dict[str, str | None]:
    """Take a decision on a tool call that waits; Chainlit has checked that the session is the caller's own."""
    session = this_session()
    user = user_of(session)
    conversation = house.conversations.find(user, session.thread_id)
    return {"problem": decide(conversation.turn if conversation else None, user, action.payload)}


async def connect(socket_id: str, environ: dict[str, Any], auth: dict[str, Any]) -> bool:
    """Let a tab in. One that comes back has its thread already: it must not have to wait for the record again."""
    known = WebsocketSession.get_by_id(str(auth.get("sessionId")))
    accepted = await chainlit.socket.connect(socket_id, environ, {**auth, "threadId": None} if known else auth)
    await keep_to_own_thread(WebsocketSession.require(socket_id))
    return bool(accepted)


async def connected(socket_id: str) -> None:
    """Show a tab its thread; Chainlit forgets what happened while the line was lost, and a turn that runs."""
    session = WebsocketSession.require(socket_id)
    if session.restored and session.has_first_interaction:
        await tabs.come_back(session)
    else:
        await show_when_readable(session, partial(chainlit.socket.connection_successful, socket_id))
        await tabs.join(session)


async def stop_turn(socket_id: str) -> None:
    """Stop what the tab shows. Chainlit would end only what this tab asked for, and add a notice to its thread."""
    tabs.stop(WebsocketSession.require(socket_id))


async def edit_message(socket_id: str, payload: Any) -> None:
    """Branch off at a question. Chainlit would change the recorded question and delete all that comes after it."""
    message = payload.get("message") if isinstance(payload, dict) else None
    session = WebsocketSession.require(socket_id)
    if isinstance(message, dict) and isinstance(message.get("output"), str):
        await tabs.edit(session, str(message.get("id")), message["output"])


async def take_question(socket_id: str, payload: Any) -> None:
    """Take a question from a page, as what it is."""
    session = WebsocketSession.require(socket_id)
    if question := await cleaned(session, payload):
        await chainlit.socket.message(socket_id, question)


async def change_settings(socket_id: str, values: Any) -> None:
    """Take over what a person has set. Chainlit's own handler would hide the stop button of a turn that runs."""
    if isinstance(values, dict):
        await tabs.set_options(WebsocketSession.require(socket_id), values)


async def refuse_event(socket_id: str, *_data: Any) -> None:
    """Do nothing: Chainlit takes these events although the features behind them are switched off."""
    logger.warning("Socket %s sent an event of a feature that is off", socket_id)


sio.on("connect", connect)
sio.on("client_message", take_question)
sio.on("connection_successful", connected)
sio.on("stop", stop_turn)
sio.on("edit_message", edit_message)
sio.on("chat_settings_change", change_settings)
for event_name in ("message_favorite", "audio_start", "audio_chunk", "audio_end"):
    sio.on(event_name, refuse_event)


def this_session() -> WebsocketSession:
    """Return the session that a hook runs for; hooks run for tabs only, as no other client type is connected."""
    return cast(WebsocketSession, cl.context.session)


keep_hooks(server, show_links)  # last: what could not be run to its end is not kept
