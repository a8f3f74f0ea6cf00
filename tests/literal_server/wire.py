"""A client of the wire as short as can be, and reports of steps to send with it."""

import json
from typing import Any

import httpx
from literalai.api.helpers import gql as untyped_gql

KEY = "my-initial-api-key"

# The documents of the SDK as it sends them; its own types say less than it takes.
gql: Any = untyped_gql


class Wire:
    """Sends documents to a server and answers their data; an error in the answer fails the test."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def post(self, query: str, variables: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        """Send a document and answer the whole body."""
        # The standard library writes JSON that can be sent whatever is in it.
        content = json.dumps({"query": query, "variables": variables or {}})
        response = await self.http.post("/api/graphql", content=content, headers=headers)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def send(self, query: str, variables: dict[str, Any] | None = None, **headers: str) -> Any:
        """Send a document and answer the value of its only root field."""
        body = await self.post(query, variables, **headers)
        assert "errors" not in body, body
        (value,) = body["data"].values()
        return value

    async def report(self, *steps: dict[str, Any], **headers: str) -> None:
        """Send reports of steps in one AddStep, as the SDK writes it."""
        body = await self.post(
            gql.steps_query_builder(list(steps)), gql.steps_variables_builder(list(steps)), **headers
        )
        assert all(answer["ok"] for answer in body["data"].values()), body

    async def thread(self, identity: str, **headers: str) -> Any:
        """Read a thread with its steps."""
        return await self.send(gql.GET_THREAD, {"id": identity}, **headers)

    async def step(self, identity: str, **headers: str) -> Any:
        """Read a step."""
        return await self.send(gql.GET_STEP, {"id": identity}, **headers)
