"""The chat's two feedback routes, in front of Chainlit's, which ask nobody whose answer it is."""

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from doors import Caller
from recording.client import RecordingError
from recording.feedback import Feedback, NoSuchAnswerError

logger = logging.getLogger(__name__)

LONGEST_COMMENT = 10_000
AWAY = "The record cannot be reached at the moment. Please try again in a while."


class _Thumb(BaseModel):
    forId: str = Field(max_length=200)  # noqa: N815 - the browser's names
    value: Literal[0, 1]
    comment: str | None = Field(None, max_length=LONGEST_COMMENT)


class _Given(BaseModel):
    feedback: _Thumb


class _Withdrawn(BaseModel):
    feedbackId: str = Field(max_length=200)  # noqa: N815 - the browser's names


@dataclass(frozen=True)
class FeedbackRoutes:
    """Take thumbs from the page: `feedback` is None where nothing is recorded."""

    feedback: Feedback | None
    caller: ContextVar[Caller]

    def routes(self) -> list[Route]:
        """Return both routes."""
        return [Route("/feedback", self.handle, methods=["PUT", "DELETE"], name="feedback")]

    async def handle(self, request: Request) -> JSONResponse:
        """Answer one request; what goes wrong is a JSON object with a `detail` sentence, which the page shows."""
        user = self.caller.get().name
        if user is None:
            return _refusal(401, "Please sign in again.")
        if self.feedback is None:
            return _refusal(400, "Nothing is recorded, and so nothing can be judged.")
        try:
            body = await request.body()
            if request.method == "DELETE":
                await self.feedback.withdraw(user, _Withdrawn.model_validate_json(body).feedbackId)
                return JSONResponse({"success": True})
            thumb = _Given.model_validate_json(body).feedback
            score_id = await self.feedback.give(user, thumb.forId, thumb.value, thumb.comment)
        except ValidationError as error:
            too_long = any(one["type"] == "string_too_long" for one in error.errors())
            sentence = f"A comment has at most {LONGEST_COMMENT:,} characters." if too_long else "That is no feedback."
            return _refusal(422, sentence)
        except NoSuchAnswerError:
            return _refusal(404, "There is no such answer.")
        except RecordingError as error:
            logger.warning("A thumb of %s is not taken: %s", user, error)
            return _refusal(503, AWAY)
        return JSONResponse({"success": True, "feedbackId": score_id})


def _refusal(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status)
