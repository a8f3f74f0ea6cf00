"""The forms with which a reviewer marks, scores, tags and comments: POSTs that lead back to where they were sent."""

import math
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote, urlencode

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from literal_server import reviews
from literal_server.dashboard import forms
from literal_server.dashboard.pages import READINGS, behind_door, error_page, owner_of, project_of, root_of
from literal_server.errors import Refused
from literal_server.reviews import Judgement, Target

# One long text, of which a character takes at most twelve bytes on the way.
_LONGEST_FORM = 16 * reviews.LONGEST_TEXT

Form = Mapping[str, str]
Work = Callable[[AsyncSession, Target, Form, str], Awaitable[object]]


def routes() -> list[Route]:
    """The routes, to stand before those of the threads."""
    return [Route("/projects/{project}/logs/reviews/{thread:path}", behind_door(_take), methods=["POST"])]


async def _take(request: Request) -> Response:
    if owner_of(request) is not None:
        return await error_page(request, 403, "Reviews are for reviewers and admins.")
    form = await forms.fields(request, _LONGEST_FORM)
    work = _WORK.get(form.get("do", ""))
    if work is None:
        raise Refused(f"A review can {', '.join(_WORK)}.")
    thread_id = request.path_params["thread"]
    target = Target(project_of(request), thread_id, form.get("step") or None)
    async with request.app.state.api.database.writing() as session:
        await work(session, target, form, request.state.visitor.name)
    return RedirectResponse(_back(request, thread_id, form), 303)


def _back(request: Request, thread_id: str, form: Form) -> str:
    """Answer the address of the page with the form: the same reading, step and moment.

    A page goes to its selected step by itself.
    """
    reading = form.get("view") if form.get("view") in READINGS else "transcript"
    place = {"view": reading, "currentStepId": form.get("step") or form.get("current"), "t": form.get("seconds")}
    query = urlencode({name: value for name, value in place.items() if value})
    home = f"{root_of(request)}/projects/{quote(project_of(request), safe='')}/logs/threads"
    return f"{home}/{quote(thread_id, safe='')}?{query}{'' if form.get('step') else '#review'}"


async def _mark(session: AsyncSession, target: Target, _form: Form, by: str) -> None:
    await reviews.mark(session, target.project, target.thread_id, by)


async def _unmark(session: AsyncSession, target: Target, _form: Form, _by: str) -> None:
    await reviews.unmark(session, target.project, target.thread_id)


async def _score(session: AsyncSession, target: Target, form: Form, by: str) -> None:
    value = _number(form.get("value", ""), "A score's value")
    await reviews.score(session, target, Judgement(form.get("name", ""), value, form.get("comment")), by)


async def _comment(session: AsyncSession, target: Target, form: Form, by: str) -> None:
    seconds = _number(form["seconds"], "A moment") if form.get("seconds") else None
    await reviews.comment(session, target, form.get("text", ""), by, seconds)


async def _tag(session: AsyncSession, target: Target, form: Form, _by: str) -> None:
    await reviews.tag(session, target, form.get("name", ""))


async def _untag(session: AsyncSession, target: Target, form: Form, _by: str) -> None:
    await reviews.untag(session, target, form.get("name", ""))


async def _withdraw(session: AsyncSession, target: Target, form: Form, by: str) -> None:
    await reviews.withdraw(session, target, form.get("id", ""), by)


_WORK: dict[str, Work] = {
    "mark": _mark,
    "unmark": _unmark,
    "score": _score,
    "comment": _comment,
    "tag": _tag,
    "untag": _untag,
    "withdraw": _withdraw,
}


def _number(typed: str, what: str) -> float:
    try:
        number = float(typed.strip())
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Refused(f"{what} is a number, such as 1 or 0.5.")
    return number
