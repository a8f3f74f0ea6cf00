"""The page of prices, for admins: what the models cost that were called, whence that is known, prices of one's own."""

from collections.abc import Mapping
from urllib.parse import quote

from anyio import to_thread
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from literal_server.dashboard import forms
from literal_server.dashboard.pages import behind_door, error_page, project_of, render, root_of
from literal_server.errors import Refused
from literal_server.prices import PRICES, Entry, Prices
from literal_server.pricing import models_called

_LONGEST_FORM = 8_192
_FIELDS = ("model", "provider", "input", "output")


def routes() -> list[Route]:
    """The routes of the page and of its forms."""
    path = "/projects/{project}/prices"
    return [
        Route(path, behind_door(_show), methods=["GET"]),
        Route(path, behind_door(_change), methods=["POST"]),
    ]


async def _show(request: Request) -> Response:
    return await _page(request, request.query_params)


async def _change(request: Request) -> Response:
    if not request.state.visitor.is_admin:
        return await error_page(request, 403, "Prices are for admins to set.")
    form = await forms.fields(request, _LONGEST_FORM)
    async with request.app.state.api.database.reading() as session:
        prices: Prices = session.info[PRICES]
    try:
        if form.get("do") == "remove":
            await to_thread.run_sync(prices.remove, form.get("model", ""), form.get("provider", ""))
        else:
            await to_thread.run_sync(prices.put, _entry(form))
    except Refused as refused:
        return await _page(request, form, str(refused))
    done = "removed" if form.get("do") == "remove" else "set"
    home = f"{root_of(request)}/projects/{quote(project_of(request), safe='')}/prices"
    return RedirectResponse(f"{home}?done={done}", 303)


def _entry(form: Mapping[str, str]) -> Entry:
    typed = {name: form.get(name, "").strip() for name in _FIELDS}
    if not all(value.isprintable() for value in typed.values()):
        raise Refused("A pattern has printable characters only.")
    try:
        return Entry.model_validate(typed | {"provider": typed["provider"] or "*"})
    except ValidationError as error:
        told = [f"{one['loc'][0]}: {one['msg']}" for one in error.errors()]
        raise Refused(f"This is no price. {'; '.join(told)}.") from None


async def _page(request: Request, given: Mapping[str, str], mistake: str | None = None) -> Response:
    if not request.state.visitor.is_admin:
        return await error_page(request, 403, "Prices are for admins.")
    async with request.app.state.api.database.reading() as session:
        called = await models_called(session, project_of(request))
        prices: Prices = session.info[PRICES]
    shown = {
        "called": [(one, prices.of(one.model, one.provider)) for one in called],
        "entries": prices.entries,
        "file_mistake": prices.mistake,
        "typed": {name: given.get(name, "") for name in _FIELDS},
        "mistake": mistake,
        "done": given.get("done") if mistake is None else None,
    }
    return render(request, "prices.html", shown, 400 if mistake else 200)
