"""Who may read the pages: a question to the embedder, which a few ready answers come with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request

from literal_server.guard import is_local_request


@dataclass(frozen=True)
class Visitor:
    """Who reads the pages; who does not see all sees the threads of the participant of the same name.

    `signed_in` says that the visitor came by the server's own sign-in, and so can sign out; an admin may set prices.
    """

    name: str
    sees_all: bool
    signed_in: bool = False
    is_admin: bool = False


# Answers who reads the pages, None when they stay closed. With an attribute `sign_in` (an address) a browser that is
# turned away is sent there, and told in `next` where it wanted to go.
Authenticate = Callable[[Request], Awaitable[Visitor | None]]


async def anyone(_request: Request) -> Visitor | None:
    """Let everybody read the pages: for an embedder that has its own door in front."""
    return Visitor("anyone", sees_all=True)


async def local_only(request: Request) -> Visitor | None:
    """Let in the browser on this very machine, and nobody else."""
    return Visitor("local", sees_all=True, is_admin=True) if is_local_request(request.scope) else None
