"""The literalai client over one transport of ours: a pooled connection, or a call into the server of this process."""

from collections.abc import Mapping
from typing import Any

import httpx
from literalai.api import AsyncLiteralAPI
from literalai.api.base import prepare_variables


class RecordingError(ConnectionError):
    """The recording server could not be asked, or did not do what it was asked.

    Who must catch it after a save of the source catches ConnectionError: the client that raises may be of older code.
    """


class UnreachableError(RecordingError):
    """No answer, or one that says `later`: asking again can help."""


class RefusedError(RecordingError):
    """The server understood and said no: the same request will not fare better."""


class LiteralAPI(AsyncLiteralAPI):
    """The SDK's asynchronous API whose GraphQL calls share one `httpx.AsyncClient`.

    The SDK itself opens a connection, and with it a TLS context, for each call. Only GraphQL calls go this way.
    """

    def __init__(self, url: str, key: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        super().__init__(api_key=key, url=url)
        self._http = httpx.AsyncClient(transport=transport, follow_redirects=True)

    async def make_gql_call(
        self,
        description: str,
        query: str,
        variables: Mapping[str, Any],
        timeout: float | None = 10,  # noqa: ASYNC109 - the SDK's signature
    ) -> dict[str, Any]:
        """Post one GraphQL document and return its whole answer; `timeout` is in seconds.

        Raises:
            UnreachableError: no connection, a timeout, or a status of 429 or 5xx.
            RefusedError: another bad status, GraphQL errors, or an answer whose `ok` is false.
        """
        body = {"query": query, "variables": prepare_variables(dict(variables))}
        try:
            response = await self._http.post(self.graphql_endpoint, json=body, headers=self.headers, timeout=timeout)
        except (httpx.TransportError, httpx.TooManyRedirects) as error:
            raise UnreachableError(f"could not {description}: {error or type(error).__name__}") from error
        if response.status_code == 429 or response.status_code >= 500:
            raise UnreachableError(f"could not {description}: the server answered {response.status_code}")
        return _checked(description, response)

    async def project_id(self) -> str:
        """Return the project that the key belongs to (`POST /api/my-project`)."""
        response = await self._http.post(f"{self.rest_endpoint}/my-project", json={}, headers=self.headers, timeout=5)
        return str(response.raise_for_status().json()["projectId"])

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _checked(description: str, response: httpx.Response) -> dict[str, Any]:
    """Return the answer's JSON, or raise RefusedError with the server's own reason."""
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise RefusedError(f"could not {description}: status {response.status_code} and no JSON answer")
    if response.status_code >= 400 or answer.get("errors"):
        raise RefusedError(f"could not {description}: {answer.get('errors') or response.status_code}")
    for value in (answer.get("data") or {}).values():
        if isinstance(value, dict) and value.get("ok") is False:
            raise RefusedError(f"could not {description}: {value.get('message')}")
    return answer
