"""Small forms that the pages send, read whole and not further than they can sensibly be."""

from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

_MOST_FIELDS = 10


async def fields(request: Request, longest: int) -> dict[str, str]:
    """Read a form of at most so many bytes. Raises HTTPException for one that is too long or no text."""
    return dict(await pairs(request, longest, _MOST_FIELDS))


async def pairs(request: Request, longest: int, most: int) -> list[tuple[str, str]]:
    """Read a form in which a name may come more than once, with at most so many fields. Raises as `fields` does."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > longest:
            raise HTTPException(413)
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=most, errors="strict")
    except ValueError as error:
        raise HTTPException(400) from error
