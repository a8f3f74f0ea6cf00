"""Settings and assembly: the only file that knows both houses, and the only one here that reads the environment."""

import asyncio
import hashlib
import hmac
import logging
import os
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
from fastapi import FastAPI
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from agent.agent import Agent
from agent.conversation import Answer, Conversations
from agent.model import ChatModel, openai_client
from agent.model_list import ModelList
from agent.offline import offline_model
from agent.toolbox import Toolbox
from chat.actions import ActionRoute
from chat.feedback import FeedbackRoutes
from chat.routes import shut_routes
from collector import spare_the_collector
from doors import Caller, Claim, Doorkeeper, ReadClaim, is_loopback, new_caller, who_is
from health import Health
from literal_proxy import LiteralProxy
from literal_server.data_folder import initial_api_key, lock_data_folder
from literal_server.errors import DataFolderInUse
from literal_server.files import READ_PREFIX
from literal_server.guard import Guard, check_public_url, is_local_request, parse_origin
from literal_server.health import may_read_metrics
from literal_server.logs import without_query
from literal_server.settings import Limits, ServerSettings, explain
from local_assets import LocalAssets
from logins import HASHER, Login, LoginError, Logins, PasswordFile, lasting_secret
from pace import Questions
from process import Process
from record_process import OUTBOX_SOCKET, SERVER_SOCKET, Record, RecordProcess
from recording.client import LiteralAPI
from recording.feedback import Feedback
from recording.history import RecordedThread, find_thread
from recording.journal import Journal
from recording.outbox_client import OutboxClient
from recording.outbox_store import FILE_NAME
from recording.recorder import Recorder
from tools import ToolSettings, build_tools

logger = logging.getLogger(__name__)
TALKATIVE = ("httpx", "httpx2", "openai", "literal_server.requests")

FAKE_KEY_OF_CHAINLIT = "sk-FAKE-OPENAI-API-KEY"  # `chainlit run` invents it where CI is set
LOCAL_USER = "local"
LITERAL_PATH = "/literal"
HERE = f"http://literal.in-process{LITERAL_PATH}"
FLUSH_SECONDS = 5.0
SECONDS_FOR_THE_LAST = 10.0  # an app that was killed leaves a process that writes down its last words
OUR_ROUTES = ("process", "literal", "health", "feedback", "action", "shut")


class Settings(BaseSettings, Limits):
    """Everything that can be set, by environment variable or in `.env`; the names are the fields' in capitals.

    The limits are those of the recording server inside the app.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    openai_model: str = "gpt-4o-mini"
    model_timeout_seconds: float = Field(60, gt=0)
    model_max_retries: int = Field(2, ge=0)
    offline_first_token_seconds: float = Field(0.15, ge=0)
    offline_token_seconds: float = Field(0.012, ge=0)
    system_prompt: str = (
        "You are Verbatim, a helpful assistant. Use the tools you are given whenever they can answer better than you."
    )
    agent_max_iterations: int = Field(5, ge=1)
    agent_max_parallel_tools: int = Field(8, ge=1)
    weather_geocoding_url: str = "https://geocoding-api.open-meteo.com"
    weather_forecast_url: str = "https://api.open-meteo.com"
    weather_timeout_seconds: float = Field(10, gt=0)
    tool_max_result_characters: int = Field(50_000, ge=1)
    tool_approval_seconds: float = Field(600, gt=0)

    data_dir: Path = Path("data")
    outbox_limit_bytes: int = Field(100_000_000, ge=1)
    recording: Literal["on", "off"] = "on"
    flush_each_event: bool = True
    literal_api_url: str | None = None
    literal_api_key: SecretStr | None = None
    purge_after_days: int = Field(30, ge=0)

    public_url: Annotated[str, AfterValidator(check_public_url)] | None = None
    chat_steps_shown: int = Field(200, ge=1)
    chat_user: str = "admin"
    chat_password: SecretStr | None = None
    questions_per_minute: int = Field(60, ge=0)
    question_max_characters: int = Field(100_000, ge=1)
    process_user: str = "api"
    process_api_key: SecretStr | None = None
    process_max_body_bytes: int = Field(2_000_000, ge=1)
    process_approves_tools: bool = False
    dashboard_password: SecretStr | None = None
    metrics_token: SecretStr | None = None

    @property
    def model_key(self) -> str | None:
        """The model's key, unless it is the one that Chainlit invents."""
        key = _secret(self.openai_api_key)
        return None if key == FAKE_KEY_OF_CHAINLIT else key

    @property
    def offline(self) -> bool:
        """Whether no model is connected, so that the scripted one answers."""
        return self.model_key is None and self.openai_base_url is None


def load_settings() -> Settings:
    """Read the settings from the environment and the `.env` file that Chainlit reads too."""
    return Settings(_env_file=os.environ.get("CHAINLIT_ENV_FILE", ".env"))


@dataclass
class Kept:
    """What is made once a process and outlives the saves of `chainlit run -w`."""

    bind_host: str
    lock: object
    logins: Logins | None
    conversations: Conversations
    questions: Questions
    caller: ContextVar[Caller] = field(default_factory=new_caller)
    feedback: Feedback | None = None
    caretaker: asyncio.Task[None] | None = None
    api: LiteralAPI | None = None
    outbox: OutboxClient | None = None
    literal: LiteralProxy | None = None
    record: RecordProcess | None = None
    started: bool = False
    closing: asyncio.Future[None] | None = None


@dataclass(frozen=True)
class House:
    """The assembled app, as the chat's hooks use it."""

    settings: Settings
    kept: Kept
    agent: Agent
    models: ModelList
    recorder: Recorder | None

    @property
    def answer(self) -> Answer:
        """What makes the events of a turn."""
        return self.agent.answer

    @property
    def conversations(self) -> Conversations:
        """All open conversations."""
        return self.kept.conversations

    @property
    def logins(self) -> Logins | None:
        """Whom to let in by password, None where the browser of this machine signs in by itself."""
        return self.kept.logins

    def is_in(self, claim: Claim) -> bool:
        """Tell whether who claims to be signed in still is."""
        return who_is(claim, self.kept.logins, LOCAL_USER) is not None

    async def start(self) -> None:
        """Wait until the process that keeps the record is ready."""
        if self.kept.outbox and self.kept.record:
            self.kept.outbox.start()
            await self.kept.record.until(self.kept.outbox.ready())
        spare_the_collector()
        self.kept.started = True

    async def stop(self) -> None:
        """End running turns in order, send what is left, and close; asked twice, it is done once and both wait."""
        if self.kept.closing is None:
            self.kept.closing = asyncio.ensure_future(self._close())
        await self.kept.closing

    async def _close(self) -> None:
        await self.conversations.stop_all(FLUSH_SECONDS)
        if self.kept.outbox:
            await self.kept.outbox.stop(FLUSH_SECONDS)
        if self.kept.api:
            await self.kept.api.close()
        if self.kept.literal:
            await self.kept.literal.close()
        if self.kept.record:
            await self.kept.record.end()

    async def lookup(self, thread_id: str, seconds: float = 3.0) -> RecordedThread | None:
        """Find a thread in the record; None where there is none, or where recording is off.

        Raises ConnectionError when the record does not answer within about `seconds`.
        """
        if self.kept.api is None or self.kept.outbox is None:
            return None
        return await find_thread(self.kept.api, self.kept.outbox, thread_id, seconds)

    async def review_url(self) -> str:
        """Return the address of a thread's review page, with `[thread_id]` and `[step_id]` to fill in."""
        if self.kept.api is None:
            return ""
        base = LITERAL_PATH if self.kept.literal else self.kept.api.url
        project = await self.kept.api.project_id()
        return f"{base}/projects/{project}/logs/threads/[thread_id]?currentStepId=[step_id]"


def wire(server: FastAPI, read_claim: ReadClaim) -> House:
    """Assemble the app on Chainlit's server: the first time everything, after a save all but what must stay.

    `read_claim` reads the session token that Chainlit has given out.
    """
    for name in TALKATIVE:  # Chainlit lets every library log each request it makes
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").addFilter(without_query)  # `chainlit run -d` has it write every request
    try:
        settings = load_settings()
    except ValidationError as error:
        raise SystemExit(f"Verbatim does not start, a setting is wrong. {explain(error)}") from None
    kept: Kept | None = getattr(server.state, "verbatim", None)
    if kept is None:
        kept = server.state.verbatim = _lay_foundation(settings)
        public = parse_origin(settings.public_url) if settings.public_url else None
        server.add_middleware(
            Doorkeeper,
            caller=kept.caller,
            read_claim=read_claim,
            logins=kept.logins,
            local_user=LOCAL_USER,
            is_local=is_local_request,
            secure_host=public.name if public and public.scheme == "https" else None,
        )
        files = f"{LITERAL_PATH}{READ_PREFIX}"  # recorded files, which open to whoever knows their signed address
        server.add_middleware(Guard, public_url=settings.public_url, open_to_read=(files,))
        server.user_middleware.append(Middleware(LocalAssets))  # innermost, so that it sees pages uncompressed
    else:
        older, kept.conversations = kept.conversations, Conversations()
        kept.conversations.take_over(older)
    recorder = Recorder(kept.outbox) if kept.outbox else None
    agent = _agent(settings)
    house = House(settings, kept, agent, ModelList(agent.model), recorder)
    _mount(server, house)
    return house


def _lay_foundation(settings: Settings) -> Kept:
    """Check that it is safe to start, lock the data folder, and make what a process has one of."""
    bind_host = os.environ.get("CHAINLIT_HOST", "127.0.0.1")
    passwords = PasswordFile(settings.data_dir)
    if missing := _missing_locks(settings, bind_host, passwords.exists()):
        raise SystemExit(
            f"Verbatim does not start: it would be open to others (host {bind_host}), and these locks are missing: "
            f"{', '.join(missing)}. Set them, or listen on 127.0.0.1 and take the others of them away."
        )
    try:
        lock = lock_data_folder(settings.data_dir, SECONDS_FOR_THE_LAST, and_forks=True)
        passwords.read()
    except (DataFolderInUse, LoginError) as error:
        raise SystemExit(str(error)) from error
    secret = lasting_secret(settings.data_dir / "chat-secret")
    os.environ.setdefault("CHAINLIT_AUTH_SECRET", secret)
    if _secret(settings.dashboard_password):
        logger.warning("DASHBOARD_PASSWORD has no effect here: the review pages open with the chat's sign-in.")
    logins = _logins(settings, passwords, secret)
    questions = Questions(
        settings.questions_per_minute, settings.question_max_characters, LOCAL_USER if logins is None else None
    )
    kept = Kept(bind_host, lock, logins, Conversations(), questions)
    if settings.recording == "on":
        _lay_recording(settings, kept)
    return kept


def _missing_locks(settings: Settings, bind_host: str, has_password_file: bool) -> list[str]:
    """Name the locks without which others could come in. As soon as one door has a lock, all must have one.

    The review pages open with the chat's sign-in.
    """
    chat = has_password_file or bool(_secret(settings.chat_password))
    off_loopback = not is_loopback(bind_host)
    if not (off_loopback or chat or settings.public_url or _secret(settings.dashboard_password)):
        return []
    missing = [] if chat else ["CHAT_PASSWORD (or people: python -m logins add NAME)"]
    if not _secret(settings.process_api_key):
        missing.append("PROCESS_API_KEY")
    if off_loopback and not settings.public_url:
        missing.append("PUBLIC_URL")
    return missing


def _logins(settings: Settings, passwords: PasswordFile, secret: str) -> Logins | None:
    """Return whom to let in by password, None where nobody is asked for one: that is settled until the next start."""
    password = _secret(settings.chat_password)
    if password is None:
        return Logins(passwords, {}) if passwords.exists() else None
    stamp = hmac.new(secret.encode(), f"{settings.chat_user}\n{password}".encode(), hashlib.sha256).hexdigest()
    return Logins(passwords, {settings.chat_user: Login(hash=HASHER.hash(password), role="admin", stamp=stamp)})


def _lay_recording(settings: Settings, kept: Kept) -> None:
    """Connect to the recording server: the one named in the settings, else one of our own in this process."""
    url, key = settings.literal_api_url, _secret(settings.literal_api_key)
    if url and not key:
        raise SystemExit("LITERAL_API_URL is set, so LITERAL_API_KEY must be too: it names the project to record in.")
    kept.record = RecordProcess()
    journal = Journal(settings.data_dir)
    outbox = (settings.data_dir / FILE_NAME, settings.outbox_limit_bytes, journal.name)
    if url and key:
        kept.api = LiteralAPI(url, key)
        record = Record(*outbox, url, key)
    else:
        server = ServerSettings(
            data_dir=settings.data_dir,
            api_key=settings.literal_api_key,
            public_url=settings.public_url,
            mounted_at=LITERAL_PATH,
            chat_url="/thread/{thread_id}",
            metrics_token=settings.metrics_token,
            purge_after_days=settings.purge_after_days,
            **settings.model_dump(include=set(Limits.model_fields)),
        )
        socket, key = kept.record.folder / SERVER_SOCKET, initial_api_key(server)
        kept.api = LiteralAPI(HERE, key, httpx.AsyncHTTPTransport(uds=str(socket)))
        kept.literal = LiteralProxy(socket, partial(_visitor, kept))
        record = Record(*outbox, HERE, key, server, sign_in="/login" if kept.logins else None)
    kept.outbox = OutboxClient(
        kept.record.folder / OUTBOX_SOCKET,
        settings.outbox_limit_bytes,
        journal,
        flush_each=settings.flush_each_event,
    )
    kept.record.fork(record)
    kept.feedback = Feedback(
        kept.api, kept.outbox, lambda user, thread_id: kept.conversations.find(user, thread_id) is not None
    )


def _visitor(kept: Kept) -> dict[str, Any] | None:
    """Return who reads the review pages: who is signed in to the chat, or where nobody must be, who is at this machine.

    The words are those of the server's `Visitor`.
    """
    caller = kept.caller.get()
    if kept.logins:
        if not caller.name:
            return None
        return {"name": caller.name, "sees_all": caller.sees_all, "is_admin": caller.is_admin}
    return {"name": LOCAL_USER, "sees_all": True, "is_admin": True} if caller.at_machine else None


def _model(settings: Settings) -> ChatModel:
    """Return the model that the settings name, or the scripted one where they name none."""
    if settings.offline:
        return offline_model(
            first_token_delay=settings.offline_first_token_seconds, token_delay=settings.offline_token_seconds
        )
    client = openai_client(
        api_key=settings.model_key,
        base_url=settings.openai_base_url,
        timeout_seconds=settings.model_timeout_seconds,
        max_retries=settings.model_max_retries,
    )
    return ChatModel(client, settings.openai_model)


def _agent(settings: Settings) -> Agent:
    tools = build_tools(
        ToolSettings(
            weather_geocoding_url=settings.weather_geocoding_url,
            weather_forecast_url=settings.weather_forecast_url,
            weather_sample=settings.offline,
            weather_timeout_seconds=settings.weather_timeout_seconds,
            notes_dir=settings.data_dir / "notes",
            approval_seconds=settings.tool_approval_seconds,
        )
    )
    return Agent(
        model=_model(settings),
        toolbox=Toolbox(tools, max_result_characters=settings.tool_max_result_characters),
        system_prompt=settings.system_prompt,
        max_iterations=settings.agent_max_iterations,
        max_parallel_tools=settings.agent_max_parallel_tools,
    )


def _mount(server: FastAPI, house: House) -> None:
    """Put our routes before Chainlit's, whose last one takes every path; after a save they replace the older ones."""
    settings, kept = house.settings, house.kept

    def local_user(_request: Request) -> str | None:
        return LOCAL_USER if kept.logins is None and kept.caller.get().at_machine else None

    process = Process(
        conversations=kept.conversations,
        answer=house.answer,
        recorder=house.recorder,
        questions=kept.questions,
        lookup=house.lookup,
        api_key=_secret(settings.process_api_key),
        key_user=settings.process_user,
        local_user=local_user,
        max_body_bytes=settings.process_max_body_bytes,
        approves_tools=settings.process_approves_tools,
    )
    feedback = FeedbackRoutes(kept.feedback, kept.caller)
    ours: list[BaseRoute] = [
        *process.routes(),
        *Health(kept.outbox, partial(may_read_metrics, token=settings.metrics_token)).routes(),
        *feedback.routes(),
        *ActionRoute(kept.caller).routes(),
        *shut_routes(),
    ]
    if kept.literal:
        ours += [
            Route(LITERAL_PATH, _to_pages, name="literal"),  # else Chainlit would take it for a page of the chat
            Mount(LITERAL_PATH, kept.literal, name="literal"),
        ]
    others = [route for route in server.router.routes if getattr(route, "name", None) not in OUR_ROUTES]
    server.router.routes[:] = [*ours, *others]


def _to_pages(_request: Request) -> Response:
    return RedirectResponse(f"{LITERAL_PATH.removeprefix('/')}/")


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() or None if value else None
