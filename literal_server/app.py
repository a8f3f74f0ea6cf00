"""The server assembled: `create_app` answers an ASGI application that runs alone or is mounted in another one."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from literal_server import auth, health, keys, payloads, prices, pricing, purge, rest, rest_files, search
from literal_server.changes import Changes
from literal_server.dashboard import (
    deleted,
    downloads,
    listing,
    live,
    pages,
    review,
    selection,
    shared,
    sign_in,
    thread_page,
)
from literal_server.dashboard import prices as price_page
from literal_server.data_folder import file_secret, initial_api_key, make_data_folder
from literal_server.db import Database
from literal_server.files import FileStore
from literal_server.graphql.service import GraphService, refusal
from literal_server.metrics import Metrics
from literal_server.settings import ServerSettings

logger = logging.getLogger(__name__)

_API_PREFIXES = ("/api/", "//api/")


def create_app(
    settings: ServerSettings,
    authenticate: auth.Authenticate | None = None,
    *,
    recorder: pages.RecorderHealth | None = None,
    collectors: Sequence[Collector] = (),
) -> Starlette:
    """Make the application: GraphQL and REST for clients with a key, pages for people.

    `authenticate` says who reads the pages; without it only the browser on this very machine may.
    An embedder that mounts the application enters `app.router.lifespan_context(app)` itself: it migrates the
    database and opens it, and closes it at the end. While it is open `app.state.api.project` is the project's id.
    With `recorder` the pages show how its recording fares, and its `collectors` are among the metrics.
    Lock the data folder first (`lock_data_folder`).
    """
    routes: list[BaseRoute] = [*rest.routes(), *rest_files.routes(), *health.routes()]
    routes += [*sign_in.routes(), *deleted.routes(), *listing.routes(), *selection.routes(), *review.routes()]
    routes += [*price_page.routes(), *live.routes(), *shared.routes(), *downloads.routes()]
    routes += [*thread_page.routes(), *pages.routes()]
    metrics = Metrics(collectors)
    app = Starlette(
        routes=routes,
        middleware=[Middleware(health.Observed, metrics=metrics, known=routes)],
        lifespan=_lifespan(settings, metrics),
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    app.state.authenticate = authenticate or auth.local_only
    app.state.metrics = metrics
    app.state.templates = pages.make_templates()
    app.state.recorder = recorder
    return app


def _lifespan(settings: ServerSettings, metrics: Metrics) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def opened(app: Starlette) -> AsyncIterator[None]:
        make_data_folder(settings.data_dir)
        stores = payloads.session_info(settings) | search.session_info(settings) | prices.session_info(settings)
        changes = Changes()
        database = Database(settings.database_path, metrics.writer_wait.observe, stores, changes.follow)
        try:
            await database.migrate()
            async with database.writing() as session:
                project = await keys.prepare_project(session, settings.project_name, initial_api_key(settings))
            async with database.reading() as session:
                ring = await keys.KeyRing.load(session)
            files = FileStore(settings.files_dir, file_secret(settings))
            graph = GraphService(database, settings, files, metrics, changes)
            app.state.api = rest.Api(database, graph, ring, settings, files, project, changes)
            app.state.search = follower = search.Follower(database)
            async with (
                ring.following(database),
                follower.following(),
                changes.following_commands(database),
                pricing.following(database),
                purge.in_rounds(database, settings),
            ):
                yield
        finally:
            await database.close()
            stores[search.INDEX].close()

    return opened


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if not request.url.path.startswith(_prefixes(request)):
        return await pages.error_page(request, status)
    sentence = error.detail if isinstance(error, HTTPException) else ""
    headers = error.headers if isinstance(error, HTTPException) else None
    return rest.JsonResponse(refusal(f"{sentence}: {request.method} {request.url.path}"), status, headers)


async def _failed(request: Request, _error: Exception) -> Response:
    # The framework raises the error again after this answer, so that it is logged with its traceback.
    if request.url.path.startswith(_prefixes(request)):
        return rest.JsonResponse(refusal("The server met an unexpected error; it is in the server's log."), 500)
    return await pages.error_page(request, 500)


def _prefixes(request: Request) -> tuple[str, ...]:
    root = request.scope.get("root_path", "")
    return tuple(root + prefix for prefix in _API_PREFIXES)
