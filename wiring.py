"""Settings and assembly: the only file that knows both houses, and the only one here that reads the environment."""

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import os
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
from fastapi import FastAPI
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.agent import Agent
from agent.conversation import Answer, Conversations
from agent.model import ChatModel, openai_client
from agent.model_list import ModelList
from agent.offline import offline_model
from agent.toolbox import Toolbox
from literal_server.app import create_app
from literal_server.auth import basic_login
from literal_server.data_folder import initial_api_key, lock_data_folder
from literal_server.errors import DataFolderInUse
from literal_server.guard import Guard, check_public_url, is_local_request
from literal_server.settings import ServerSettings, explain
from local_assets import LocalAssets
from process import Process
from recording.client import LiteralAPI
from recording.history import RecordedThread, find_thread
from recording.outbox import Outbox
from recording.recorder import Recorder
from tools import ToolSettings, build_tools

logger = logging.getLogger(__name__)
TALKATIVE = ("httpx", "httpx2", "openai", "literal_server.requests")

FAKE_KEY_OF_CHAINLIT = "sk-FAKE-OPENAI-API-KEY"  # `chainlit run` invents it where CI is set
LOCAL_USER = "local"
LITERAL_PATH = "/literal"
LOCAL_HEADER = b"x-verbatim-local"
FLUSH_SECONDS = 5.0
OUR_ROUTES = ("process", "literal")


class Settings(BaseSettings):
    """Everything that can be set, by environment variable or in `.env`; the names are the fields' in capitals."""

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

    data_dir: Path = Path("data")
    recording: Literal["on", "off"] = "on"
    literal_api_url: str | None = None
    literal_api_key: SecretStr | None = None
    purge_after_days: int = Field(30, ge=0)

    public_url: Annotated[str, AfterValidator(check_public_url)] | None = None
    chat_user: str = "admin"
    chat_password: SecretStr | None = None
    process_user: str = "api"
    process_api_key: SecretStr | None = None
    process_max_body_bytes: int = Field(2_000_000, ge=1)
    process_approves_tools: bool = False
    dashboard_user: str = "admin"
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
    local_token: str
    conversations: Conversations
    api: LiteralAPI | None = None
    outbox: Outbox | None = None
    literal: Starlette | None = None
    running: AsyncExitStack = field(default_factory=AsyncExitStack)
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

    async def start(self) -> None:
        """Open what needs a running event loop: the embedded server and the outbox's sender."""
        if self.kept.literal:
            await self.kept.running.enter_async_context(self.kept.literal.router.lifespan_context(self.kept.literal))
        if self.kept.outbox:
            self.kept.outbox.start()
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
        await self.kept.running.aclose()

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

    def login(self, name: str, password: str) -> bool:
        """Tell whether these are the chat's name and password."""
        expected = _secret(self.settings.chat_password)
        right_name = hmac.compare_digest(name.encode(), self.settings.chat_user.encode())
        return expected is not None and hmac.compare_digest(password.encode(), expected.encode()) and right_name

    def is_local(self, headers: Mapping[str, str]) -> bool:
        """Tell whether the front door has marked this request as one from this machine that may sign in by itself."""
        return hmac.compare_digest(headers.get(LOCAL_HEADER.decode(), ""), self.kept.local_token)


def wire(server: FastAPI) -> House:
    """Assemble the app on Chainlit's server: the first time everything, after a save all but what must stay."""
    for name in TALKATIVE:  # Chainlit lets every library log each request it makes
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        settings = load_settings()
    except ValidationError as error:
        raise SystemExit(f"Verbatim does not start, a setting is wrong. {explain(error)}") from None
    kept: Kept | None = getattr(server.state, "verbatim", None)
    if kept is None:
        kept = server.state.verbatim = _lay_foundation(settings)
        server.add_middleware(LocalMark, token=kept.local_token, allowed=_may_sign_in_by_itself(settings, kept))
        server.add_middleware(Guard, public_url=settings.public_url)
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
    if missing := _missing_locks(settings, bind_host):
        raise SystemExit(
            f"Verbatim does not start: it would be open to others (host {bind_host}), and these settings are missing: "
            f"{', '.join(missing)}. Set them in .env, or listen on 127.0.0.1 and unset the others of them."
        )
    try:
        lock = lock_data_folder(settings.data_dir)
    except DataFolderInUse as error:
        raise SystemExit(str(error)) from error
    os.environ.setdefault("CHAINLIT_AUTH_SECRET", _sign_in_secret(settings))
    kept = Kept(bind_host, lock, secrets.token_urlsafe(32), Conversations())
    if settings.recording == "on":
        _lay_recording(settings, kept)
    return kept


def _missing_locks(settings: Settings, bind_host: str) -> list[str]:
    """Name the settings without which others could come in. As soon as one door has a lock, all must have one."""
    locks = {
        "CHAT_PASSWORD": settings.chat_password,
        "PROCESS_API_KEY": settings.process_api_key,
        "DASHBOARD_PASSWORD": settings.dashboard_password,
    }
    off_loopback = not is_loopback(bind_host)
    if not (off_loopback or settings.chat_password or settings.public_url):
        return []
    missing = [name for name, value in locks.items() if not _secret(value)]
    if off_loopback and not settings.public_url:
        missing.append("PUBLIC_URL")
    return missing


def _lay_recording(settings: Settings, kept: Kept) -> None:
    """Connect to the recording server: the one named in the settings, else one of our own in this process."""
    url, key = settings.literal_api_url, _secret(settings.literal_api_key)
    if url:
        if not key:
            raise SystemExit(
                "LITERAL_API_URL is set, so LITERAL_API_KEY must be too: it names the project to record in."
            )
        kept.api = LiteralAPI(url, key)
    else:
        server_settings = ServerSettings(
            data_dir=settings.data_dir,
            api_key=settings.literal_api_key,
            public_url=settings.public_url,
            chat_url="/thread/{thread_id}",
            metrics_token=settings.metrics_token,
            purge_after_days=settings.purge_after_days,
        )
        kept.literal = create_app(server_settings, authenticate=_dashboard_login(settings, kept))
        transport = httpx.ASGITransport(app=kept.literal)
        kept.api = LiteralAPI("http://literal.in-process", initial_api_key(server_settings), transport)
    kept.outbox = Outbox(kept.api)


def _dashboard_login(settings: Settings, kept: Kept) -> Any:
    if password := _secret(settings.dashboard_password):
        return basic_login(settings.dashboard_user, password)

    async def local(request: Request) -> str | None:
        return LOCAL_USER if is_loopback(kept.bind_host) and is_local_request(request.scope) else None

    return local


def _may_sign_in_by_itself(settings: Settings, kept: Kept) -> bool:
    return is_loopback(kept.bind_host) and settings.chat_password is None


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

    def local_user(request: Request) -> str | None:
        may = _may_sign_in_by_itself(settings, kept) and is_local_request(request.scope)
        return LOCAL_USER if may else None

    process = Process(
        conversations=kept.conversations,
        answer=house.answer,
        recorder=house.recorder,
        lookup=house.lookup,
        api_key=_secret(settings.process_api_key),
        key_user=settings.process_user,
        local_user=local_user,
        max_body_bytes=settings.process_max_body_bytes,
        approves_tools=settings.process_approves_tools,
    )
    ours: list[BaseRoute] = [*process.routes()]
    if kept.literal:
        ours.append(Mount(LITERAL_PATH, kept.literal, name="literal"))
    others = [route for route in server.router.routes if getattr(route, "name", None) not in OUR_ROUTES]
    server.router.routes[:] = [*ours, *others]


class LocalMark:
    """Marks requests that come from this machine, for Chainlit's sign-in hook, which is shown headers only."""

    def __init__(self, app: ASGIApp, token: str, allowed: bool) -> None:
        self._app = app
        self._token = token.encode()
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, with our mark if it earns one and never with a mark that came along."""
        if scope["type"] == "http":
            headers = [(name, value) for name, value in scope["headers"] if name.lower() != LOCAL_HEADER]
            if self._allowed and is_local_request(scope):
                headers.append((LOCAL_HEADER, self._token))
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Tell whether a bind address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _sign_in_secret(settings: Settings) -> str:
    """Return what Chainlit signs sessions with; a new password, or the first one, ends the sessions there were."""
    login = f"{settings.chat_user}\n{_secret(settings.chat_password)}"
    return hashlib.sha256(f"{_lasting_secret(settings.data_dir / 'chat-secret')}\n{login}".encode()).hexdigest()


def _lasting_secret(path: Path) -> str:
    """Return the secret kept in a file that only its owner can read, made at first use, whole or not at all."""
    if not path.exists():
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
        draft.rename(path)
    return path.read_text().strip()


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() or None if value else None
