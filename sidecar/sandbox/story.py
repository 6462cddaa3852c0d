"""The steps of the demonstration: each does something real, holds what it promises, and says it in a line or two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import anyio
import click

from sidecar.adapters.nats_bus import NatsBus
from sidecar.adapters.nats_reader import read_trace
from sidecar.app import Sidecar
from sidecar.sandbox.agent import Agent
from sidecar.sandbox.case import CREDENTIAL
from sidecar.sandbox.server import Received, Sandbox, import_payload
from sidecar.trace.line import Tone, counted, seconds
from sidecar.trace.show import trace_text
from sidecar.wire.event import Admin, Auth, CallEvent, Finished, Started, decoder

WHO, TENANT = "alice", "default"
LIST, POST = f"sidecar.read.{TENANT}.{WHO}.github.issues.list", f"sidecar.write.{TENANT}.{WHO}.slack.messages.post"
HISTORY = f"sidecar.read.{TENANT}.{WHO}.slack.conversations.history"
ISSUES = {"owner": "acme", "repo": "web", "state": "open"}
MESSAGE = {"channel": "#ops", "text": "Who looks at 812?"}
ONCE, KEY = {"channel": "#ops", "text": "Invoice 4711 has arrived"}, "run-7.notify-ops"
MISSPELT = {"chanel": "#ops", "text": "Who looks at 812?"}
LIMITED = {"channel": "C0OPS", "limit": 5}  # what a case of Slack answers with 429 first
TOLD = 2.0  # seconds that the 429 asks for
POSTS = 4
SHORTEST = 0.5  # of the second between two posts, on a machine that is busy
STORED, PAUSE = 10.0, 0.05  # seconds that a call's last events may come later than its reply; between two looks
INDENT = " " * 14
STYLES: Mapping[Tone, Mapping[str, Any]] = {
    Tone.GOOD: {"fg": "green"},
    Tone.WARN: {"fg": "yellow"},
    Tone.BAD: {"fg": "red"},
    Tone.DIM: {"dim": True},
    Tone.STRONG: {"bold": True},
}


class NotAsSaid(Exception):
    """A step did not do what the demonstration says of it."""


def hold(condition: object, promise: str, seen: object) -> None:
    """Raise NotAsSaid when the promise does not hold."""
    if not condition:
        raise NotAsSaid(f"{promise}: this does not hold; seen: {seen}")


def paint(text: str, tone: Tone) -> str:
    """The text in its colour, which click takes out again where the output is no terminal."""
    return click.style(text, **STYLES[tone])


async def told_of(bus: NatsBus, pattern: str, call_id: str) -> list[CallEvent]:
    """The events of a call, read again for a while where its end is not among them: a reply may be here before it."""
    enough = anyio.current_time() + STORED
    while True:
        kept = [decoder.decode(entry.payload) async for entry in read_trace(bus, pattern)]
        events = [event for event in kept if not isinstance(event, Admin | Auth) and event.call_id == call_id]
        if any(isinstance(event, Finished) for event in events) or anyio.current_time() >= enough:
            return events
        await anyio.sleep(PAUSE)


class Story:
    """One telling. `colour` as click wants it: False for none, None for where they help."""

    def __init__(self, running: Sidecar, served: Sandbox, agent: Agent, colour: bool | None) -> None:  # noqa: FBT001  # click's own three values
        self._running = running
        self._served = served
        self._agent = agent
        self._colour = colour
        self._step = 0

    async def tell(self) -> None:
        """Every step after the start. Raises NotAsSaid."""
        await self._connect("github")
        await self._connect("slack")
        await self._read()
        await self._write()
        await self._mistake()
        await self._quota()
        await self._twice()
        await self._why(await self._limit())

    def started(self, server: str, took: float) -> None:
        providers = counted(len(self._running.catalogue.providers), "provider")
        self._say("start", f"{server} · sidecar ready in {took:.2f} s · sandbox answers for {providers}")

    async def _connect(self, provider: str) -> None:
        """An operator gives the sidecar a token; agents never see it."""
        payload = import_payload(self._running.catalogue.providers[provider], verify=True)
        reply = await self._agent.ask(f"sidecar.admin.{TENANT}.{WHO}.{provider}.import", payload)
        hold(reply.failed is None and reply.body["verified"] is True, f"{provider} takes the credential", reply)
        hold(CREDENTIAL["token"] not in str(reply.body), "no reply holds the secret", reply)
        kept, account = f"{reply.body['kind']} token, sealed", reply.body["account"]
        self._say("connect", f"{WHO} -> {provider:<8} {kept:<22} {paint(f'verified: {account}', Tone.GOOD)}")

    async def _read(self) -> None:
        reply = await self._agent.ask(LIST, ISSUES)
        hold(reply.failed is None and len(reply.body) > 1, "the issues are listed", reply)
        self._asked("read", LIST, ISSUES)
        self._more(paint(f"{len(reply.body)} issues in {seconds(reply.took)}", Tone.GOOD))
        for issue in reply.body:
            self._more(f"  #{issue['number']}  {issue['title']:<32} {counted(issue['comments'], 'comment')}")

    async def _write(self) -> None:
        reply = await self._agent.ask(POST, MESSAGE)
        hold(reply.failed is None and reply.body["ts"], "the message is posted", reply)
        self._asked("write", POST, MESSAGE)
        self._more(f"{paint(f'done in {seconds(reply.took)}', Tone.GOOD)}, ts {reply.body['ts']}")

    async def _mistake(self) -> None:
        """A misspelt field is refused with the nearest name, before anything is sent."""
        before = len(self._served.received)
        reply = await self._agent.ask(POST, MISSPELT)
        hold(reply.failed == "VALIDATION" and reply.body["side_effect"] == "none", "the mistake is refused", reply)
        hold("did you mean `channel`?" in reply.body["detail"], "the right name is told", reply)
        hold(not self._received(before), "nothing reached the provider", self._received(before))
        error = reply.body["errors"][0]
        self._asked("mistake", POST, MISSPELT)
        self._more(f"{paint('refused, nothing sent', Tone.WARN)}: {error['pointer']} {error['detail']}")

    async def _quota(self) -> None:
        """More than Slack allows at once: the sidecar waits in the caller's place."""
        before = len(self._served.received)
        texts = [f"Message {number}" for number in range(1, POSTS + 1)]
        replies = await self._agent.ask_together(POST, [{"channel": "#ops", "text": text} for text in texts])
        arrived = self._received(before)
        gaps = [later.at - earlier.at for earlier, later in pairwise(arrived)]
        hold(all(reply.failed is None for reply in replies), "every post is done", replies)
        hold(len(arrived) == POSTS and min(gaps) > SHORTEST, "Slack gets one a second", gaps)
        waited = max(reply.took for reply in replies)
        hold(waited > POSTS - 1, "the last one waits for those before it", waited)
        self._say("quota", f"{POSTS} posts at once into a channel that takes 1 per second")
        done = paint(f"{POSTS} done, 0 refused by Slack", Tone.GOOD)
        self._more(f"{done}; the last waited {waited:.1f} s because bucket `channel` was empty")

    async def _twice(self) -> None:
        """The same write sent again with its key: done once, answered alike."""
        before, key = len(self._served.received), {"Idempotency-Key": KEY}
        first = await self._agent.ask(POST, ONCE, headers=key)
        again = await self._agent.ask(POST, ONCE, headers=key)
        hold(first.failed is None and first.body == again.body, "both get the same answer", [first, again])
        hold(again.headers.get("Idempotent-Replayed") == "true", "the second one says so", again.headers)
        hold(len(self._received(before)) == 1, "Slack is asked once", self._received(before))
        self._say("twice", f"the same write again with the same Idempotency-Key ({KEY})")
        answered = paint("answered from the record, nothing sent", Tone.GOOD)
        self._more(f"{answered}, in {seconds(again.took)}: ts {again.body['ts']} both times")

    async def _limit(self) -> str:
        """A 429 is obeyed: no request before its time. Gives the call's id."""
        before = len(self._served.received)
        reply = await self._agent.ask(HISTORY, LIMITED)
        first, second = self._received(before)
        pause = second.at - first.at
        hold(reply.failed is None and reply.headers["Attempts"] == "2", "the second attempt succeeds", reply)
        hold([first.status, second.status] == [429, 200], "Slack limits, then answers", [first, second])
        hold(pause >= TOLD, "no request before its time", pause)
        self._asked("limit", HISTORY, LIMITED)
        again = paint(f"asked again after {pause:.2f} s, done", Tone.GOOD)
        self._more(f"Slack answered 429 with `Retry-After: {TOLD:g}`; {again}")
        return reply.headers["Call-Id"]

    async def _why(self, call_id: str) -> None:
        """What the trace tells of that call."""
        events = await told_of(self._running.bus, f"sidecar.trace.{TENANT}.{WHO}.slack.>", call_id)
        whole = events and isinstance(events[0], Started) and isinstance(events[-1], Finished)
        hold(whole, "the trace is whole", events)
        self._say("why", f"sidecar trace show {call_id[-8:]}")
        for line in trace_text(events, paint).splitlines():
            self._more(line)

    def _received(self, before: int) -> list[Received]:
        """What the sandbox received since it had received so many."""
        return list(self._served.received)[before:]

    def _asked(self, name: str, subject: str, payload: Mapping[str, Any]) -> None:
        self._say(name, subject)
        self._more(paint(json.dumps(payload), Tone.DIM))

    def _say(self, name: str, text: str) -> None:
        self._step += 1
        head = paint(f"{self._step:>2} {name:<10}", Tone.STRONG)
        click.echo(f"{head} {text}", color=self._colour)

    def _more(self, text: str) -> None:
        click.echo(f"{INDENT}{text}".rstrip(), color=self._colour)
