"""One exchange with a token endpoint, at its pace, and what the answer means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from sidecar.auth.pace import Pace, Rate
from sidecar.auth.question import Question
from sidecar.auth.token_answer import THROTTLED, TokenOutcome, Unanswered, read
from sidecar.core.wait import retry_after
from sidecar.model import Failure, SideEffect
from sidecar.ports import Clock, HttpSender

MAX_ANSWER = 64 * 1024  # bytes; a token answer is never so long
RATE = Rate()
THROTTLED_SECONDS = 5.0  # where a 429 does not say how long
LONGEST_PAUSE = 300.0  # of every connection, for what one of them was told


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and when it was asked for (Unix seconds)."""

    response: httpx.Response
    began: float


class TokenExchange:
    """Each endpoint has a pace of its own in this process, and a 429 halts it for every connection."""

    def __init__(self, sender: HttpSender, clock: Clock, user_agent: str, rate: Rate = RATE) -> None:
        self._sender = sender
        self._clock = clock
        self._user_agent = user_agent
        self._pace = Pace(clock, rate)

    async def ask(self, question: Question, request: httpx.Request, secrets: Sequence[str] = ()) -> TokenOutcome:
        """One exchange with a token endpoint, and what it means, in words that repeat no secret."""
        answer = await self.send(question, request)
        if isinstance(answer, Unanswered):
            return answer
        response = answer.response
        return read(
            question.auth,
            response.status_code,
            response.headers,
            response.content,
            answer.began,
            question.before,
            [*question.secrets, *secrets],
        )

    async def send(self, question: Question, request: httpx.Request) -> Answered | Unanswered:
        """The answer, when the endpoint may be asked before the deadline."""
        host = request.url.host
        where = request.url.netloc.decode()
        refused = await self._pace.turn(where, question.deadline)
        if refused is not None:
            detail = f"the token endpoint {host} was not asked: {refused.detail}"
            return Unanswered(sent=False, detail=detail, retry_after=refused.retry_after)
        request.headers["user-agent"] = self._user_agent
        began = self._clock.wall()
        answer = await self._sender.send(request, deadline=question.deadline, max_body=MAX_ANSWER)
        if isinstance(answer, Failure):
            detail = f"the token endpoint {host} gave no answer: {answer.reason}: {answer.detail}"
            return Unanswered(sent=answer.side_effect is not SideEffect.NONE, detail=detail)
        if answer.status_code == THROTTLED:
            wait = retry_after((), answer.headers, None, began) or THROTTLED_SECONDS
            self._pace.close(where, min(wait, LONGEST_PAUSE))
        return Answered(answer, began)
