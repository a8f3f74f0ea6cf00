"""The literalai client over one transport of ours: a pooled connection, or a call into the server of this process."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import uuid4

import httpx
from literalai.api import AsyncLiteralAPI
from literalai.api.base import prepare_variables
from literalai.api.helpers.gql import steps_query_builder
from literalai.observability.step import Step
from literalai.observability.thread import Thread

from recording.updates import as_json

# A wrong key or address is mended by its owner, not by throwing away what could not be sent with it.
NOT_NOW = (401, 403, 404, 405, 407, 408, 425, 429, 503)

UPLOAD_SECONDS = 60.0
STAMP = "stamp"

# As the SDK's helpers return it: query, description, variables, and what reads the answer.
Document = tuple[str, str, Mapping[str, Any], Any]

# The SDK's own document asks for the generations too; each holds the whole context of its call, and none is wanted.
_THREAD = """query RecordedThread($id: String!) {
  threadDetail(id: $id) {
    id name metadata tags createdAt
    participant { id identifier metadata }
    steps {
      id threadId parentId rootRunId type name startTime endTime createdAt error input output metadata environment tags
      scores { id type name value comment }
      attachments { id stepId threadId metadata mime name objectKey url }
    }
  }
}"""
_STEP = "query KnownStep($id: String!) { step(id: $id) { id } }"
_OWNER = "query ThreadOwner($id: String!) { threadDetail(id: $id) { id participant { identifier } } }"


class RecordingError(ConnectionError):
    """The recording server could not be asked, or did not do what it was asked.

    Who must catch it after a save of the source catches ConnectionError: the client that raises may be of older code.
    """


class UnreachableError(RecordingError):
    """No connection, or an answer that says `later` or `not you`: nothing is wrong with the request.

    `retry_after` is how many seconds the server wants to be left alone.
    """

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class FailedError(UnreachableError):
    """The server broke, or fell silent, over this request: it can help to ask again, or the request may be at fault."""


class RefusedError(RecordingError):
    """The server understood and said no: the same request will not fare better."""


class RecordedStep(Step):
    """A step that was read. The SDK's own sleeps for a millisecond when it is made: seconds, for a long thread."""

    def __init__(self, name: str = "", type: Any = None, thread_id: str | None = None) -> None:
        self.name, self.type, self.thread_id = name, type, thread_id
        self.root_run_id = self.processor = None


class LiteralAPI(AsyncLiteralAPI):
    """The SDK's asynchronous API whose GraphQL calls and uploads share one `httpx.AsyncClient`.

    The SDK itself opens a connection, and with it a TLS context, for each call. GraphQL calls and uploads go this way.
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
            UnreachableError: no connection, or a status that says later or not you (401, 403, 404, 429, 503).
            FailedError: a cut connection, no answer in time, another status of 5xx, or an answer that is no JSON.
            RefusedError: another bad status, GraphQL errors, or an answer whose `ok` is false.
        """
        answer = await self._ask(description, query, variables, timeout)
        for value in (answer.get("data") or {}).values():
            if isinstance(value, dict) and value.get("ok") is False:
                raise RefusedError(f"could not {description}: {value.get('message')}")
        return answer

    async def add_steps(
        self, steps: Sequence[Mapping[str, Any]], stamps: Sequence[Mapping[str, Any] | None] = ()
    ) -> list[str | None]:
        """Report steps in one request; return for each None once it is stored, else why the server does not take it.

        `stamps` are theirs, sent beside the SDK's own variables: a server of another make has no ear for them.
        What JSON has no form for is sent as the outbox keeps it.
        Raises the errors of `make_gql_call`; RefusedError where the answer does not speak of each step.
        """
        # Not by the SDK's own builders, which walk through every value of every step twice to find such things.
        told = {f"{key}_{number}": value for number, step in enumerate(steps) for key, value in step.items()}
        told |= {f"{STAMP}_{number}": stamp for number, stamp in enumerate(stamps)}
        answer = await self._post("add steps", as_json({"query": _add_steps(len(steps)), "variables": told}), 10)
        outcomes = [(answer.get("data") or {}).get(f"step{number}") for number in range(len(steps))]
        spoken = [outcome for outcome in outcomes if isinstance(outcome, dict) and "ok" in outcome]
        if len(spoken) < len(steps):
            raise RefusedError("could not add steps: the answer does not speak of each")
        return [None if outcome["ok"] else str(outcome.get("message") or "refused") for outcome in spoken]

    async def tell(self, document: Document, stamp: Mapping[str, Any] | None = None) -> None:
        """Send a change as one of the SDK's helpers makes it, with a stamp. Raises the errors of `make_gql_call`."""
        query, description, variables, _ = document
        await self.make_gql_call(description, query, {**variables, **({f"{STAMP}_0": stamp} if stamp else {})})

    async def _ask(
        self, description: str, query: str, variables: Mapping[str, Any], seconds: float | None
    ) -> dict[str, Any]:
        body = as_json({"query": query, "variables": prepare_variables(dict(variables))})
        return await self._post(description, body, seconds)

    async def _post(self, description: str, body: str, seconds: float | None) -> dict[str, Any]:
        sent = {"content": body, "headers": self.headers, "timeout": seconds}
        return _checked(description, await self._send(description, "POST", self.graphql_endpoint, **sent))

    async def _send(self, description: str, method: str, url: str, **request: Any) -> httpx.Response:
        try:
            return await self._http.request(method, url, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.TooManyRedirects) as error:
            raise UnreachableError(f"could not {description}: {error or type(error).__name__}") from error
        except httpx.RequestError as error:
            raise FailedError(f"could not {description}: {error or type(error).__name__}") from error

    async def upload_file(
        self, content: bytes | str, thread_id: str | None = None, mime: str | None = "application/octet-stream"
    ) -> dict[str, Any]:
        """Store a file and return `{"object_key", "url"}`; the SDK's own way could not reach a server in this process.

        Raises RecordingError.
        """
        name = str(uuid4())
        body = {"fileName": name, "contentType": mime, "threadId": thread_id}
        sent: dict[str, Any] = {"json": body, "headers": self.headers, "timeout": 10}
        description = "upload a file"
        signed = _checked(
            description, await self._send(description, "POST", f"{self.rest_endpoint}/upload/file", **sent)
        )
        method = "put" if "put" in signed else "post"
        target = signed[method]
        fields = target.get("fields") or {}
        upload: dict[str, Any] = {"headers": target.get("headers"), "timeout": UPLOAD_SECONDS}
        if target.get("uploadType") == "raw":
            upload["content"] = content
        else:
            parts = [(key, (None, value)) for key, value in fields.items()]
            upload["files"] = [*parts, ("file", (name, content, mime))]
        stored = await self._send(description, method.upper(), target["url"], **upload)
        if not stored.is_success:
            raise RefusedError(f"could not {description}: status {stored.status_code} {stored.text[:200]}")
        return {"object_key": fields.get("key"), "url": signed.get("signedUrl")}

    async def get_thread(self, id: str) -> Thread | None:  # type: ignore[override]
        """Return a thread with its steps but not their generations, None where there is none (as the SDK's own does).

        Raises RecordingError.
        """
        answer = await self.make_gql_call("get a thread", _THREAD, {"id": id})
        found: Any = (answer.get("data") or {}).get("threadDetail")
        if not found:
            return None
        steps = found.pop("steps", None) or []
        thread = Thread.from_dict(found)
        thread.steps = [RecordedStep.from_dict(step) for step in steps]
        return thread

    async def owner_of_thread(self, thread_id: str) -> str:
        """Return the name of a thread's participant, empty for a thread that is nobody's or not there.

        Raises RecordingError.
        """
        answer = await self.make_gql_call("find a thread's owner", _OWNER, {"id": thread_id})
        thread = (answer.get("data") or {}).get("threadDetail") or {}
        return str((thread.get("participant") or {}).get("identifier") or "")

    async def has_step(self, step_id: str) -> bool:
        """Tell whether a step of this id is stored. Raises RecordingError."""
        answer = await self.make_gql_call("look for a step", _STEP, {"id": step_id})
        return bool((answer.get("data") or {}).get("step"))

    async def project_id(self) -> str:
        """Return the project that the key belongs to (`POST /api/my-project`)."""
        response = await self._http.post(f"{self.rest_endpoint}/my-project", json={}, headers=self.headers, timeout=5)
        return str(response.raise_for_status().json()["projectId"])

    async def is_deleted(self, thread_id: str) -> bool:
        """Tell whether a thread that cannot be read was deleted; a server of another make does not say, so False.

        Raises UnreachableError when the server gives no answer.
        """
        address, body = f"{self.rest_endpoint}/verbatim/thread-state", {"threadId": thread_id}
        try:
            response = await self._http.post(address, json=body, headers=self.headers, timeout=5)
        except httpx.TransportError as error:
            raise UnreachableError(f"could not ask for a thread: {error or type(error).__name__}") from error
        return response.status_code == 200 and response.json().get("state") == "deleted"

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


@lru_cache(maxsize=64)
def _add_steps(count: int) -> str:
    """Return the SDK's document that adds so many steps."""
    return str(steps_query_builder([None] * count))


def _checked(description: str, response: httpx.Response) -> dict[str, Any]:
    """Return the answer's JSON, or raise the error that fits its status, with the server's own reason."""
    status = response.status_code
    try:
        answer = response.json()
    except ValueError:
        answer = None
    said = (answer.get("errors") if isinstance(answer, dict) else None) or ""
    if status in NOT_NOW:
        raise UnreachableError(f"could not {description}: status {status} {said}", _seconds_to_wait(response))
    if status >= 500:
        raise FailedError(f"could not {description}: status {status} {said}")
    if status >= 400 or said:
        raise RefusedError(f"could not {description}: {said or status}")
    if not isinstance(answer, dict):
        raise FailedError(f"could not {description}: status {status} and no JSON answer")
    return answer


def _seconds_to_wait(response: httpx.Response) -> float:
    """Return the seconds that a server asks to be left alone for, at most a minute; dates count as nothing."""
    said = response.headers.get("retry-after", "")
    return min(60.0, float(said)) if said.isdecimal() else 0.0
