"""`GET /health`: the app answers, and in figures how its recording fares."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from recording.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Health:
    """What the app tells of itself to whoever watches over it; nothing in it says what is recorded, or where."""

    outbox: Outbox | None

    def routes(self) -> list[Route]:
        """Return the route, which stands before Chainlit's own of this path."""
        return [Route("/health", self.handle, methods=["GET"], name="health")]

    async def handle(self, _request: Request) -> JSONResponse:
        """Answer 200 as long as the app does: trouble with recording is told, and no reason to restart the app."""
        recording = {"on": False} if self.outbox is None else {"on": True, **self.outbox.status()}
        return JSONResponse({"status": "ok", "recording": recording})
