"""The route of the chat's buttons, in front of Chainlit's, which breaks on a session that is not there any more."""

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from chainlit.action import Action
from chainlit.config import config
from chainlit.context import init_ws_context
from chainlit.session import WebsocketSession
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from doors import Caller

logger = logging.getLogger(__name__)

BROKEN = "Something broke on our side, and it is in the log. Please try again."


class _Button(BaseModel):
    name: str = Field(max_length=200)
    payload: dict[str, Any]


class _Pressed(BaseModel):
    sessionId: str = Field(max_length=200)  # noqa: N815 - the browser's names
    action: _Button


@dataclass(frozen=True)
class ActionRoute:
    """Runs what the app does when a button is pressed, in the session of the tab in which it was."""

    caller: ContextVar[Caller]

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("/project/action", self.handle, methods=["POST"], name="action")]

    async def handle(self, request: Request) -> JSONResponse:
        """Answer one request; another person's session is answered like one that is not there."""
        user = self.caller.get().name
        if user is None:
            return _refusal(401, "Please sign in again.")
        try:
            pressed = _Pressed.model_validate_json(await request.body())
        except ValidationError:
            return _refusal(422, "That is no button of this chat.")
        session = WebsocketSession.get_by_id(pressed.sessionId)
        if session is None or session.user is None or session.user.identifier != user:
            return _refusal(404, "This tab is not connected any more. Please reload the page.")
        hook = config.code.action_callbacks.get(pressed.action.name)
        if hook is None:
            return _refusal(404, "That is no button of this chat.")
        init_ws_context(session)
        try:
            response = await hook(Action(name=pressed.action.name, payload=pressed.action.payload))
        except Exception:  # whatever breaks in a hook: the page must hear of it in words
            logger.exception("The button %s failed", pressed.action.name)
            return _refusal(500, BROKEN)
        return JSONResponse({"success": True, "response": response})


def _refusal(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status)
