"""The connect listener: a link opened, a link begun, the provider's answer. Apart from the operations listener."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from sidecar.auth.flow import Ended, Ending, may_return
from sidecar.connect import Site
from sidecar.consent import Arrived, Consent, Offer
from sidecar.log import defect
from sidecar.pages.html import HEADERS, arrived_page, going_page, offer_page, words_page
from sidecar.pages.words import NOT_FOUND

log = logging.getLogger("sidecar.pages")

T = TypeVar("T")

PARAMETERS = 30  # of a redirect; nobody sends so many


@asynccontextmanager
async def unhurried(seconds: float) -> AsyncIterator[TaskGroup]:
    """Where answers of providers are worked on: what was begun in the block ends after it, within so many seconds."""
    async with anyio.create_task_group() as tasks:
        yield tasks
        tasks.cancel_scope.deadline = anyio.current_time() + seconds


def pages(consent: Consent, site: Site, tasks: TaskGroup) -> Starlette:
    """The application. What an answer of a provider sets going runs in `tasks`, whether or not the browser waits."""

    async def show(request: Request) -> Response:
        shown = await _told(lambda: consent.show(request.path_params["code"]))
        return _html(offer_page(shown)) if isinstance(shown, Offer) else _arrived(shown, site)

    async def begin(request: Request) -> Response:
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return _arrived(Arrived(ended=Ended(Ending.FOREIGN_REQUEST)), site)
        going = await _told(lambda: consent.begin(request.path_params["code"]))
        if isinstance(going, Arrived):
            return _arrived(going, site)
        response = _html(going_page(going))
        # Lax: the provider's redirect is a navigation from another site (RFC 6265bis section 5.6.7).
        response.set_cookie(
            going.cookie,
            going.value,
            max_age=going.seconds,
            path="/",
            secure=site.secure,
            httponly=True,
            samesite="lax",
        )
        return response

    async def callback(request: Request) -> Response:
        parameters = request.query_params.multi_items()
        named = dict(parameters)
        if len(named) != len(parameters) or len(named) > PARAMETERS:  # RFC 6749 section 3.1: none more than once
            return _arrived(Arrived(ended=Ended(Ending.MALFORMED)), site)
        return _arrived(await _finished(consent, named, request.cookies, tasks), site)

    async def nothing(_: Request, __: Exception) -> Response:
        return _html(words_page(NOT_FOUND), NOT_FOUND.status)

    routes = [
        Route("/connect/{code}", show, methods=["GET"]),
        Route("/connect/{code}", begin, methods=["POST"]),
        _only_get("/callback", callback),
    ]
    # No redirect for a slash too many: it would be made of the request's Host, and repeat the code.
    application = Starlette(routes=routes, exception_handlers={404: nothing, 405: nothing})
    application.router.redirect_slashes = False
    return application


def _only_get(path: str, answer: Callable[[Request], Awaitable[Response]]) -> Route:
    """A route without HEAD, which some programs send to look at an address: it would use the answer up."""
    route = Route(path, answer, methods=["GET"])
    route.methods = {"GET"}
    return route


async def _finished(
    consent: Consent, parameters: Mapping[str, str], cookies: Mapping[str, str], tasks: TaskGroup
) -> Arrived:
    """How it ended. A browser that goes away, or a listener that closes, does not stop it."""
    done: list[Arrived] = []
    over = anyio.Event()

    async def work() -> None:
        try:
            done.append(await _told(lambda: consent.finish(parameters, cookies)))
        finally:
            over.set()

    tasks.start_soon(work)
    await over.wait()
    return done[0] if done else Arrived(ended=Ended(Ending.UNAVAILABLE))


async def _told(work: Callable[[], Awaitable[T | Arrived]]) -> T | Arrived:
    """A defect has a page too, and its log line."""
    try:
        return await work()
    except Exception as error:
        log.exception("a step of connecting an account ended in a defect", exc_info=defect(error))
        return Arrived(ended=Ended(Ending.UNAVAILABLE))


def _arrived(arrived: Arrived, site: Site) -> Response:
    # Looked at again: the settings may have changed since the link was made.
    allowed = arrived.return_to is not None and may_return(arrived.return_to, site.return_urls)
    text, status = arrived_page(arrived, arrived.return_to if allowed else None)
    return _html(text, status)


def _html(text: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(text, status_code=status, headers=HEADERS)
