"""`GET /health` and `GET /metrics`: the app answers, and in figures how its recording fares."""

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from recording.outbox_client import OutboxClient
from recording.outbox_metrics import OutboxMetrics


@dataclass(frozen=True, slots=True)
class Health:
    """What the app tells of itself to whoever watches over it; nothing in it says what is recorded, or where.

    `may_read_metrics` tells who may have the figures in Prometheus's form.
    """

    outbox: OutboxClient | None
    may_read_metrics: Callable[[Request], bool]

    def routes(self) -> list[Route]:
        """Return the routes, which stand before Chainlit's own of these paths."""
        return [
            Route("/health", self.handle, methods=["GET"], name="health"),
            Route("/metrics", self.handle_metrics, methods=["GET"], name="health"),
        ]

    async def handle(self, _request: Request) -> JSONResponse:
        """Answer 200 as long as the app does: trouble with recording is told, and no reason to restart the app."""
        recording = {"on": False} if self.outbox is None else {"on": True, **await self.outbox.status()}
        return JSONResponse({"status": "ok", "recording": recording})

    async def handle_metrics(self, request: Request) -> Response:
        """Answer the same figures for Prometheus; those of a server in this process are under its own address."""
        if not self.may_read_metrics(request):
            return PlainTextResponse("For this machine, or with METRICS_TOKEN as bearer token.\n", 403)
        registry = CollectorRegistry()
        if self.outbox:
            status = await self.outbox.status()
            registry.register(OutboxMetrics(lambda: status))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
