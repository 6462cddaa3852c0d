"""PocketBase: records, files and pages; a token taken for a guest's; and a limit that tells no time to wait."""

from __future__ import annotations

import base64

from tests.real.ledger import CLOCKS, Ledger, began_at, ended_at
from tests.real.paced import Paced
from tests.real.servers import Server

RECORDS = "pocketbase.records"
ONE_OF_MANY = {"collection": "contacts", "data": {"name": "one of many"}}
FILE = b"\x89PNG\r\n\x1a\n real bytes"
RULE = '@request.auth.id != ""'


async def connect(ledger: Ledger, server: Server) -> None:
    for name in ("bot", "admin"):
        made = await ledger.ok(
            f"admin.{name}.pocketbase.import", {"fields": server.logins[name], "base_url": server.url}
        )
        ledger.check(bool(made["account"]), f"account {made['account']}")
    wrong = {"fields": {"key": "nope"}, "base_url": server.url}
    await ledger.refused("CREDENTIAL_REJECTED", "admin.wrong.pocketbase.import", wrong, says="nothing was stored")
    await ledger.ok("admin.wrong.pocketbase.import", {**wrong, "verify": False})
    await ledger.refused("CREDENTIAL_REJECTED", "admin.wrong.pocketbase.verify")


async def story(ledger: Ledger, run: str) -> None:
    who = await ledger.ok("read.bot.pocketbase.account.check")
    ledger.check(set(who) == {"record_id", "collection_id"} and bool(who["record_id"]), f"account {who}")
    await ledger.ok("read.bot.pocketbase.health.get")
    await _records(ledger, run)
    await _files(ledger, run)
    await _refusals(ledger, run)


async def _records(ledger: Ledger, run: str) -> None:
    ids = []
    for index in range(3):
        data = {"name": f"{run} Ada {index}", "email": f"{run}-{index}@example.test"}
        made = await ledger.ok(f"write.bot.{RECORDS}.create", {"collection": "contacts", "data": data})
        ledger.check(made["name"] == data["name"], f"name {made['name']}")
        ids.append(made["id"])
    change = {"collection": "contacts", "record_id": ids[0], "data": {"name": f"{run} Grace"}}
    await ledger.ok(f"write.bot.{RECORDS}.update", change)
    one = await ledger.ok(f"read.bot.{RECORDS}.get", {"collection": "contacts", "record_id": ids[0]})
    ledger.check(one["name"] == f"{run} Grace", f"name {one['name']}")
    asked = {"collection": "contacts", "filter": f"name ~ '{run}'", "sort": ["-name"], "limit": 2}
    first, cursor = await ledger.page(f"read.bot.{RECORDS}.list", asked)
    second, end = await ledger.page(f"read.bot.{RECORDS}.list", asked, Cursor=cursor or "")
    listed = [item["id"] for page in (first, second) for item in page["items"]]
    ledger.check(sorted(listed) == sorted(ids) and end is None, f"two pages hold {listed}, then {end}")
    count = await ledger.ok(f"read.bot.{RECORDS}.count", {"collection": "contacts", "filter": f"name ~ '{run}'"})
    ledger.check(count == 3, f"count {count}")
    gone = {"collection": "contacts", "record_id": ids[0]}
    await ledger.refused("PROVIDER_FORBIDDEN", f"write.bot.{RECORDS}.delete", gone, attempts=1, says="superuser")
    ledger.check(await ledger.ok(f"write.admin.{RECORDS}.delete", gone) is None, "a 204 is not null")
    await ledger.refused("PROVIDER_NOT_FOUND", f"read.bot.{RECORDS}.get", gone, attempts=1, says="guest")
    await ledger.refused("PROVIDER_NOT_FOUND", f"write.admin.{RECORDS}.delete", gone, attempts=1)


async def _files(ledger: Ledger, run: str) -> None:
    name = f"files_{run}"
    fields = [{"name": "title", "type": "text"}, {"name": "papers", "type": "file", "maxSelect": 3, "maxSize": 100000}]
    collection = {
        "name": name,
        "type": "base",
        "fields": fields,
        "viewRule": RULE,
        "createRule": RULE,
        "updateRule": RULE,
    }
    made = {"method": "POST", "path": "/api/collections", "json": collection}
    await ledger.ok("write.admin.pocketbase.http.request", made)
    shown = await ledger.ok("read.admin.pocketbase.collections.get", {"collection": name})
    ledger.check(shown["updateRule"] == RULE, f"rule {shown['updateRule']}")
    listed = await ledger.ok("read.admin.pocketbase.collections.list", {"filter": f"name = '{name}'"})
    ledger.check(listed["totalItems"] == 1, f"collections {listed['totalItems']}")
    record = await ledger.ok(f"write.bot.{RECORDS}.create", {"collection": name, "data": {"title": "with a file"}})
    file = {"collection": name, "record_id": record["id"], "field": "papers+", "file_name": "läufer b.png"}
    content = base64.b64encode(FILE).decode()
    kept = await ledger.ok(f"write.bot.{RECORDS}.set_file", {**file, "content": content})
    ledger.check(len(kept["papers"]) == 1, f"files {kept['papers']}")
    there = {"collection": name, "record_id": record["id"], "file_name": kept["papers"][0]}
    ledger.check(await ledger.ok("read.bot.pocketbase.files.download", there) == FILE, "other bytes")
    nothing = {**there, "file_name": "nope.png"}
    await ledger.refused("PROVIDER_NOT_FOUND", "read.bot.pocketbase.files.download", nothing, attempts=1)


async def _refusals(ledger: Ledger, run: str) -> None:
    taken = {"collection": "contacts", "data": {"name": "Ada", "email": f"{run}-1@example.test"}}
    failure = await ledger.refused("PROVIDER_CONFLICT", f"write.bot.{RECORDS}.create", taken, says="must be unique")
    ledger.check([problem.pointer for problem in failure.errors] == ["/data/email"], f"errors {failure.errors}")
    wrong = {"collection": "contacts", "data": {"email": "x"}}
    failure = await ledger.refused("PROVIDER_REJECTED", f"write.bot.{RECORDS}.create", wrong, says="Cannot be blank")
    ledger.check(len(failure.errors) == 2, f"errors {failure.errors}")
    asked = {"collection": "contacts", "filter": "nope = 1"}
    await ledger.refused("PROVIDER_REJECTED", f"read.bot.{RECORDS}.list", asked, attempts=1, says="collections.get")
    nowhere = {"collection": "nope"}
    await ledger.refused("PROVIDER_NOT_FOUND", f"read.bot.{RECORDS}.list", nowhere, attempts=1, says="no collection")
    await ledger.refused("PROVIDER_FORBIDDEN", "read.bot.pocketbase.collections.list", attempts=1, says="superuser")
    guest = await ledger.ok(f"read.wrong.{RECORDS}.list", {"collection": "contacts"})
    ledger.check(guest["items"] == [], "a guest sees records")
    new = {"collection": "contacts", "data": {"name": "x"}}
    await ledger.refused("PROVIDER_FORBIDDEN", f"write.wrong.{RECORDS}.create", new, attempts=1, says="guest")
    await ledger.refused("CREDENTIAL_REJECTED", "read.wrong.pocketbase.account.check", attempts=1)
    path = "/api/collections/contacts/records"
    broken = {"method": "POST", "path": path, "base64": "e2JhZA==", "content_type": "application/json"}
    await ledger.refused("PROVIDER_REJECTED", "write.bot.pocketbase.http.request", broken, attempts=1)
    token = {"method": "POST", "path": "/api/collections/users/auth-refresh"}
    await ledger.refused("VALIDATION", "write.bot.pocketbase.http.request", token, attempts=0, says="closed")


# As `limited` sets it.
CREATES = Paced("PocketBase", "bot", "pocketbase", "creates", 4, 2.0, f"write.bot.{RECORDS}.create", ONE_OF_MANY)


async def limited(ledger: Ledger) -> str:
    """A 429 that tells no time is backed off from, and nothing is sent while the call waits."""
    limit = {"label": "contacts:create", "maxRequests": 4, "duration": 2, "audience": ""}
    settings = {"rateLimits": {"enabled": True, "rules": [limit]}}
    await ledger.ok(
        "write.admin.pocketbase.http.request", {"method": "PATCH", "path": "/api/settings", "json": settings}
    )
    for _ in range(8):
        reply = await ledger.ask(f"write.bot.{RECORDS}.create", ONE_OF_MANY, {})
        if reply.failed:
            ledger.check(b"PROVIDER_RATE_LIMITED" in reply.payload, f"ended in {reply.payload.decode()}")
            ledger.check(reply.attempts == 3, f"given up after {reply.attempts} attempts")
    attempts = [event for event in ledger.attempts_of("pocketbase") if event["connection"] == "bot"]
    refused = [index for index, event in enumerate(attempts) if event.get("http.response.status_code") == 429]
    ledger.check(len(refused) > 0, "PocketBase never answered 429")
    pauses = []
    for index in refused:
        ledger.check("retry-after" not in attempts[index]["response_headers"], "it told a time after all")
        pauses += [began_at(event) - ended_at(attempts[index]) for event in attempts[index + 1 : index + 2]]
    backed_off = 0
    for call_id in {event["call_id"] for event in attempts}:
        told = await ledger.events(call_id)
        for index, event in enumerate(told):
            if event["event"] == "attempt" and "retry in" in event["decided"]:
                wait, again = told[index + 1], next(item for item in told[index + 1 :] if item["event"] == "attempt")
                backed_off += 1
                pause = began_at(again) - ended_at(event)
                ledger.check(pause >= wait["seconds"] - CLOCKS, f"waited {pause:.3f} s, not {wait['seconds']:.3f} s")
    ledger.check(backed_off > 0, "no attempt was followed by a back-off")
    seconds = ", ".join(f"{pause:.2f}" for pause in pauses)
    return f"PocketBase: {len(refused)} answers of 429 without a time; until the next request passed, s: {seconds}"
