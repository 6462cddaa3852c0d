"""Matrix on Synapse: rooms and messages, one transaction per call, and a limit that is obeyed to the millisecond."""

from __future__ import annotations

import asyncio
import json
import uuid

from tests.real.ledger import CLOCKS, Ledger, began_at, ended_at
from tests.real.paced import Paced
from tests.real.servers import SYNAPSE_RATE, Server


async def connect(ledger: Ledger, server: Server) -> None:
    for name in ("ann", "ben"):
        made = await ledger.ok(f"admin.{name}.matrix.import", {"fields": server.logins[name], "base_url": server.url})
        ledger.check(made["account"] == f"@{name}:localhost", f"account {made['account']}")
    wrong = {"fields": {"token": "nope"}, "base_url": server.url}
    await ledger.refused("CREDENTIAL_REJECTED", "admin.wrong.matrix.import", wrong, says="nothing was stored")
    await ledger.ok("admin.wrong.matrix.import", {**wrong, "verify": False})


async def story(ledger: Ledger, run: str) -> str:
    """Returns the room that it leaves behind."""
    me = await ledger.ok("read.ann.matrix.account.whoami")
    ledger.check(me["user_id"] == "@ann:localhost", f"account {me}")
    made = await ledger.ok("write.ann.matrix.rooms.create", {"name": "made by make real", "alias": run})
    room = str(made["room_id"])
    await _room(ledger, run, room)
    await _messages(ledger, run, room)
    await _refusals(ledger, run, room)
    return room


async def _room(ledger: Ledger, run: str, room: str) -> None:
    rooms = await ledger.ok("read.ann.matrix.rooms.list")
    ledger.check(room in rooms["joined_rooms"], "the new room is not listed")
    found = await ledger.ok("read.ann.matrix.rooms.resolve", {"alias": f"#{run}:localhost"})
    ledger.check(found["room_id"] == room, f"the alias leads to {found}")
    await ledger.ok("write.ann.matrix.rooms.set_topic", {"room_id": room, "topic": "läuft"})
    name = await ledger.ok("read.ann.matrix.http.get", {"path": f"/_matrix/client/v3/rooms/{room}/state/m.room.topic"})
    ledger.check(name["topic"] == "läuft", f"topic {name}")
    uninvited = {"room": room}
    await ledger.refused("PROVIDER_FORBIDDEN", "write.ben.matrix.rooms.join", uninvited, attempts=1, says="invite")
    invited = {"room_id": room, "user_id": "@ben:localhost"}
    await ledger.ok("write.ann.matrix.rooms.invite", invited)
    await ledger.ok("write.ben.matrix.rooms.join", {"room": f"#{run}:localhost"})
    members = await ledger.ok("read.ann.matrix.rooms.members", {"room_id": room})
    ledger.check(sorted(members) == ["@ann:localhost", "@ben:localhost"], f"members {members}")
    again = await ledger.refused(
        "PROVIDER_CONFLICT", "write.ann.matrix.rooms.invite", invited, says="already in the room"
    )
    ledger.check(again.provider_code == "M_FORBIDDEN", f"code {again.provider_code}")
    await ledger.ok("write.ben.matrix.rooms.leave", {"room_id": room, "reason": "done"})
    await ledger.refused("PROVIDER_FORBIDDEN", "write.ben.matrix.rooms.leave", {"room_id": room}, attempts=1)


async def _messages(ledger: Ledger, run: str, room: str) -> None:
    call_id, text = str(uuid.uuid4()), {"room_id": room, "text": f"{run} zebra 🦓", "html": "<b>zebra</b>"}
    first = await ledger.ok("write.ann.matrix.messages.send", text, Call_Id=call_id)
    twice = await ledger.ok("write.ann.matrix.messages.send", text, Call_Id=call_id)
    ledger.check(first == twice, "the same call sent twice made two messages")
    reply = {"room_id": room, "text": f"{run} giraffe", "kind": "notice", "reply_to": first["event_id"]}
    second = await ledger.ok("write.ann.matrix.messages.send", reply)
    at = {"room_id": room, "event_id": first["event_id"]}
    shown = await ledger.ok("read.ann.matrix.messages.get", at)
    ledger.check(shown["content"]["formatted_body"] == "<b>zebra</b>", f"content {shown['content']}")
    asked = {"room_id": room, "filter": {"types": ["m.room.message"]}, "limit": 1}
    newest, cursor = await ledger.page("read.ann.matrix.messages.list", asked)
    older, _ = await ledger.page("read.ann.matrix.messages.list", asked, Cursor=cursor or "")
    listed = [event["event_id"] for page in (newest, older) for event in page["chunk"]]
    ledger.check(listed == [second["event_id"], first["event_id"]], f"two pages hold {listed}")
    await ledger.ok("write.ann.matrix.messages.react", {**at, "emoji": "👍"})
    twice = await ledger.refused("PROVIDER_CONFLICT", "write.ann.matrix.messages.react", {**at, "emoji": "👍"})
    ledger.check(twice.provider_code == "M_DUPLICATE_ANNOTATION", f"code {twice.provider_code}")
    found = await ledger.ok("read.ann.matrix.messages.search", {"query": run, "room_ids": [room], "limit": 5})
    ledger.check(found["count"] == 2, f"found {found['count']}")
    await ledger.ok("write.ann.matrix.messages.redact", {**at, "reason": "wrong room"})
    redacted = await ledger.ok("read.ann.matrix.messages.get", at)
    ledger.check(redacted["content"] == {}, f"content {redacted['content']}")
    await ledger.ok("read.ann.matrix.users.search", {"query": "ann"})
    await ledger.ok("read.ann.matrix.profiles.get", {"user_id": "@ben:localhost"})


async def _refusals(ledger: Ledger, run: str, room: str) -> None:
    unknown = await ledger.refused("CREDENTIAL_REJECTED", "read.wrong.matrix.account.whoami", attempts=1)
    ledger.check(unknown.provider_code == "M_UNKNOWN_TOKEN", f"code {unknown.provider_code}")
    nobody = {"user_id": "@nobody:localhost"}
    await ledger.refused("PROVIDER_NOT_FOUND", "read.ann.matrix.profiles.get", nobody, attempts=1)
    elsewhere = {"room_id": "!nope:localhost", "text": "hi"}
    await ledger.refused("PROVIDER_FORBIDDEN", "write.ann.matrix.messages.send", elsewhere, says="rooms.join")
    none = {"room_id": room, "event_id": "$nope"}
    await ledger.refused("PROVIDER_NOT_FOUND", "read.ann.matrix.messages.get", none, attempts=1)
    taken = await ledger.refused("PROVIDER_CONFLICT", "write.ann.matrix.rooms.create", {"alias": run})
    ledger.check(taken.provider_code == "M_ROOM_IN_USE", f"code {taken.provider_code}")
    huge = {"room_id": room, "text": "x" * 70_000}
    await ledger.refused("REQUEST_TOO_LARGE", "write.ann.matrix.messages.send", huge, says="65,536")
    path = "/_matrix/client/v3/createRoom"
    broken = {"method": "POST", "path": path, "base64": "e2JhZA==", "content_type": "application/json"}
    await ledger.refused("PROVIDER_REJECTED", "write.ann.matrix.http.request", broken, says="Content not JSON")
    await ledger.refused(
        "PROVIDER_NOT_FOUND", "read.ann.matrix.http.get", {"path": "/_matrix/client/v9/x"}, says="base_url"
    )
    alias = {"room_id": "#ops:localhost", "text": "hi"}
    await ledger.refused("VALIDATION", "write.ann.matrix.messages.send", alias, attempts=0, says="/room_id")
    await ledger.refused("PROVIDER_REJECTED", "read.ann.matrix.messages.list", {"room_id": room}, Cursor="Z2FyYmFnZQ")


def messages(room: str) -> Paced:
    """Synapse's `rc_message` as a window: as many as there are at once, in the time in which so many come back."""
    units = int(SYNAPSE_RATE["RC_BURST"])
    seconds = units / float(SYNAPSE_RATE["RC_PER_SECOND"])
    values = {"room_id": room, "text": "one of many"}
    return Paced("Synapse", "ann", "matrix", "messages", units, seconds, "write.ann.matrix.messages.send", values)


async def limited(ledger: Ledger, room: str) -> str:
    """After a 429 nothing is sent to that account's server before the time it told, by no call."""
    texts = [{"room_id": room, "text": f"one of many, {index}"} for index in range(7)]
    for text in texts:  # one after another: every wait is the limit's
        await ledger.ok("write.ann.matrix.messages.send", text)
    for reply in await asyncio.gather(*(ledger.ask("write.ann.matrix.messages.send", text, {}) for text in texts[:4])):
        limited = b"PROVIDER_RATE_LIMITED" in reply.payload  # at once, each may be limited three times
        ledger.check(limited if reply.failed else reply.attempts > 0, f"ended in {reply.payload.decode()}")
    await ledger.ok("write.ann.matrix.messages.send", texts[0])  # so that a request follows every 429
    attempts = [event for event in ledger.attempts_of("matrix") if event["connection"] == "ann"]
    limits = [event for event in attempts if event.get("http.response.status_code") == 429]
    ledger.check(len(limits) > 0, "Synapse never answered 429")
    margins = []
    for limit in limits:
        told = json.loads(limit["said"])["retry_after_ms"] / 1000
        later = min(began_at(event) - ended_at(limit) for event in attempts if began_at(event) > ended_at(limit))
        ledger.check(later >= told - CLOCKS, f"told {told:.3f} s, the next request came {later:.3f} s later")
        margins.append((later - told) * 1000)
    span = f"{min(margins):.1f} to {max(margins):.0f} ms after the time told"
    return f"Synapse: {len(limits)} answers of 429; the next request came {span}"
