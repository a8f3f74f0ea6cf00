"""The HTTP face of the agent: `POST /process/` takes a message history and answers with the new messages added."""

import hmac
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from agent.approval import Approvals, Unasked
from agent.conversation import Answer, Conversation, Conversations, Listener
from agent.events import Message
from agent.options import DEFAULTS
from pace import Questions, RefusedQuestionError
from recording.history import RecordedThread, apart, find_own
from recording.steps import text_of

logger = logging.getLogger(__name__)

BROKEN = "Something broke on our side, and it is in the log. Please ask again."
NOBODY = Unasked("denied", reason="Nobody can be asked over HTTP (the setting PROCESS_APPROVES_TOOLS is off).")
BY_SETTING = Unasked("approved", by="PROCESS_APPROVES_TOOLS")


class _Text(BaseModel):
    """A message whose content is text or a list of parts; fields we do not know are passed on."""

    model_config = ConfigDict(extra="allow")
    content: str | list[dict[str, Any]]


class _System(_Text):
    role: Literal["system", "developer"]


class _User(_Text):
    role: Literal["user"]


class _Function(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str = Field(min_length=1)
    arguments: str


class _ToolCall(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: str = Field(min_length=1)
    type: Literal["function"]
    function: _Function


class _Assistant(BaseModel):
    model_config = ConfigDict(extra="allow")
    role: Literal["assistant"]
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[_ToolCall] | None = None


class _Tool(_Text):
    role: Literal["tool"]
    tool_call_id: str = Field(min_length=1)


class _Body(BaseModel):
    message_history: list[Annotated[_System | _User | _Assistant | _Tool, Field(discriminator="role")]] = Field(
        min_length=1
    )
    thread_id: str | None = Field(default=None, min_length=1, max_length=200)


_BODY = TypeAdapter(_Body)

Lookup = Callable[[str], Awaitable[RecordedThread | None]]
"""Finds a thread in the record; None where there is none."""


@dataclass(frozen=True, slots=True)
class Process:
    """What the endpoint works with.

    `local_user` is who a caller without a key is, if the request may be trusted to come from this machine.
    `approves_tools` lets tools run that need consent in the chat; otherwise the model hears that nobody can give it.
    """

    conversations: Conversations
    answer: Answer
    recorder: Listener | None
    questions: Questions
    lookup: Lookup
    api_key: str | None
    key_user: str
    local_user: Callable[[Request], str | None]
    max_body_bytes: int
    approves_tools: bool = False

    def routes(self) -> list[Route]:
        """Return the endpoint under both spellings: a redirect would lose the body of some clients."""
        return [Route(path, self.handle, methods=["POST"], name="process") for path in ("/process/", "/process")]

    async def handle(self, request: Request) -> JSONResponse:
        """Answer one request; every refusal and failure is a JSON object with an `error` sentence."""
        try:
            user = self._user(request)
            history, thread_id = await self._read(request)
            self._admit(user, history[-1])
            return await self._run(user, history, thread_id)
        except HTTPException as refusal:
            return JSONResponse({"error": refusal.detail}, refusal.status_code, dict(refusal.headers or {}))
        except Exception:  # this face's one: a bug must answer in JSON too
            logger.exception("POST /process/ failed")
            return JSONResponse({"error": BROKEN}, 500)

    def _user(self, request: Request) -> str:
        if self.api_key is None:
            if user := self.local_user(request):
                return user
            raise HTTPException(403, "Without PROCESS_API_KEY this endpoint answers requests from this machine only.")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.api_key.encode()):
            return self.key_user
        raise HTTPException(
            401, "Send `Authorization: Bearer …` with the value of PROCESS_API_KEY.", {"WWW-Authenticate": "Bearer"}
        )

    def _admit(self, user: str, question: Message) -> None:
        """Refuse a question that is too long or comes too soon; it is not recorded, as the caller still has it."""
        try:
            self.questions.admit(user, text_of(question))
        except RefusedQuestionError as error:
            headers = {"Retry-After": str(error.wait)} if error.wait else None
            raise HTTPException(429 if error.wait else 413, str(error), headers) from error

    async def _read(self, request: Request) -> tuple[list[Message], str | None]:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.max_body_bytes:
                raise HTTPException(
                    413, f"The body is larger than {self.max_body_bytes} bytes (PROCESS_MAX_BODY_BYTES)."
                )
        try:
            parsed = json.loads(body, parse_constant=_refuse_number)
            json.dumps(parsed, ensure_ascii=False).encode()  # halves of surrogate pairs can be neither sent nor stored
            checked = _BODY.validate_python(parsed)
        except (ValueError, RecursionError) as error:
            raise HTTPException(422 if isinstance(error, ValidationError) else 400, _reason(error)) from error
        history: list[Message] = parsed["message_history"]  # as it came, so that it can go back as it came
        _check_order(history)
        return history, checked.thread_id

    async def _run(self, user: str, history: list[Message], thread_id: str | None) -> JSONResponse:
        *past, question = history
        if thread_id is None:
            thread_id = str(uuid.uuid4())
            conversation = self.conversations.open(user, thread_id)
        else:
            conversation = self.conversations.find(user, thread_id) or await self._open(user, thread_id)
        turn = await conversation.ask(
            question,
            self.answer,
            self.recorder,
            client="http",
            history=past,
            options=DEFAULTS,
            approvals=Approvals(BY_SETTING if self.approves_tools else NOBODY),
        )
        finished = await turn.finished
        if finished.error:
            return JSONResponse({"error": finished.text, "thread_id": thread_id}, finished.error.status)
        return JSONResponse({"message_history": [*history, *finished.messages], "thread_id": thread_id})

    async def _open(self, user: str, thread_id: str) -> Conversation:
        """Open the user's thread; while the record cannot say whose it is, one apart."""
        try:
            thread_id, recorded = await find_own(self.lookup, user, thread_id)
        except ConnectionError as error:
            logger.warning("Thread %s is recorded apart, as its owner is not known: %s", thread_id, error)
            thread_id, recorded = apart(user, thread_id), None
        return self.conversations.open(user, thread_id, recorded.exchanges if recorded else None)


def _refuse_number(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")


def _reason(error: Exception) -> str:
    """Say in one sentence what is wrong with a body."""
    if not isinstance(error, ValidationError):
        return "The body is not JSON that can be read."
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place or 'The body'}: {first['msg']}."


def _check_order(history: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a history that the model API would refuse: a question at the end, every tool call answered."""
    if history[-1]["role"] != "user":
        raise HTTPException(422, "message_history must end with a message of role `user`: the question.")
    open_calls: set[str] = set()
    for place, message in enumerate(history):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                raise HTTPException(422, f"message_history.{place}: no tool call before it has this tool_call_id.")
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            raise HTTPException(422, f"message_history.{place}: the tool calls before it are not all answered.")
        open_calls = {call["id"] for call in message.get("tool_calls") or []}
