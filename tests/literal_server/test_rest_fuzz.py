"""Hostile requests to the REST side, made from a description of it; and signed addresses changed in every way."""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st

from tests.literal_server.fuzz import examples
from tests.literal_server.wire import KEY

ANYTHING = {"oneOf": [{"type": "string"}, {"type": "null"}, {"type": "integer"}, {"type": "array"}, {"type": "object"}]}


def post(*names: str) -> dict[str, Any]:
    body = {"type": "object", "properties": dict.fromkeys(names, ANYTHING)}
    content = {"application/json": {"schema": {"oneOf": [body, body, ANYTHING]}}}
    answers = {"200": {"description": "an answer"}, "400": {"description": "a refusal"}}
    return {"post": {"requestBody": {"content": content}, "responses": answers}}


DESCRIPTION = {
    "openapi": "3.1.0",
    "info": {"title": "REST", "version": "1"},
    "paths": {
        "/api/graphql": post("query", "variables", "operationName"),
        "/api/my-project": post("projectId"),
        "/api/export/dataset": post("id", "name"),
        "/api/upload/file": post("fileName", "contentType", "threadId"),
        "//api/export/dataset": post("id", "name"),
    },
}
schema = schemathesis.openapi.from_dict(DESCRIPTION)


@schema.parametrize()
@examples(8)
def test_hostile_bodies_get_an_answer(case: schemathesis.Case[Any], address: str) -> None:
    """Whatever comes to an address of the REST side is answered in JSON, and never as a fault of ours."""
    response = case.call(base_url=address, headers={"x-api-key": KEY})
    assert response.status_code in (200, 400, 405, 413), response.text
    assert isinstance(response.json(), dict)


@pytest.mark.parametrize("path", [*DESCRIPTION["paths"], "/api/nothing", "/api/verbatim/files/a/b"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
@pytest.mark.anyio
async def test_other_methods_get_an_answer(http: httpx.AsyncClient, path: str, method: str) -> None:
    """No method makes an address of the API fail."""
    assert (await http.request(method, f"http://localhost{path}", content=b"\0\xff")).status_code < 500


texts = st.sampled_from(["", "0", "-1", "x", "\0", "é", "../..", "%2e%2e", "text/html", "9" * 30, "a" * 5_000])
changes = st.fixed_dictionaries(
    {},
    optional={name: texts | st.text(max_size=10) for name in ("type", "expires", "limit", "signature", "extra")},
)
ways = st.sampled_from(["", "/", "/x", "/..", "/%2e%2e/", "\\", "/00000000-0000-4000-8000-000000000000"])


@examples(60)
@given(which=st.sampled_from(["write", "read"]), changed=changes, way=ways, dropped=st.booleans())
@pytest.mark.anyio
async def test_a_changed_address_opens_nothing(
    http: httpx.AsyncClient, which: str, changed: dict[str, str], way: str, dropped: bool
) -> None:
    """Signed addresses work as they were made; changed in any part that counts they give and take nothing."""
    signed = (await http.post("/api/upload/file", json={"contentType": "text/plain"})).json()
    target, readable = signed["post"]["url"], signed["signedUrl"]
    parts = urlsplit(target if which == "write" else readable)
    told = dict(parse_qsl(parts.query))
    said = {} if dropped else told | changed
    wrong = urlunsplit(parts._replace(path=parts.path + way, query=urlencode(said)))
    same = way == "" and all(said.get(name) == value for name, value in told.items())
    right = {"file": ("x", b"secret", "text/plain")}
    if which == "write":
        response = await http.post(wrong, files=right)
        assert response.is_success is same, (wrong, response.text)
        return
    assert (await http.post(target, files=right)).is_success
    answer = await http.get(wrong)
    assert (b"secret" in answer.content) is same, wrong
    assert answer.status_code < 500
