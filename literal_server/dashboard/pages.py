"""The pages, their routes and templates."""

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute


def routes() -> list[BaseRoute]:
    """The routes of the pages."""
    return []


def make_templates() -> Environment:
    """The templates."""
    return Environment(autoescape=True)


async def error_page(request: Request, status: int) -> Response:  # noqa: ARG001
    """A page for an error."""
    return PlainTextResponse("", status)
