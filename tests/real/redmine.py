"""Redmine: create, read, update, list over pages, delete; and every way in which it refuses."""

from __future__ import annotations

import base64

from tests.real.ledger import Ledger
from tests.real.servers import Server

FILE = b"%PDF-1.7 \x00\xff real bytes"


async def connect(ledger: Ledger, server: Server) -> None:
    """The connections of this story; a wrong key is refused before it is stored."""
    for name, kind in (("bot", "api_key"), ("admin", "api_key"), ("basic", "basic")):
        given = {"kind": kind, "fields": server.logins[name], "base_url": server.url}
        made = await ledger.ok(f"admin.{name}.redmine.import", given)
        ledger.check(made["account"] == ("admin" if name == "admin" else "bot"), f"account {made['account']}")
    wrong = {"fields": {"key": "nope"}, "kind": "api_key", "base_url": server.url}
    await ledger.refused("CREDENTIAL_REJECTED", "admin.wrong.redmine.import", wrong, says="nothing was stored")
    await ledger.refused("NO_CREDENTIAL", "read.wrong.redmine.issues.list", attempts=0)
    await ledger.ok("admin.wrong.redmine.import", {**wrong, "verify": False})


async def story(ledger: Ledger, run: str) -> None:
    await _who_and_where(ledger)
    issues = await _write(ledger, run)
    await _read(ledger, run, issues)
    await _files_and_time(ledger, issues[0])
    await _delete(ledger, issues)
    await _refusals(ledger, run)


async def _who_and_where(ledger: Ledger) -> None:
    me = await ledger.ok("read.bot.redmine.users.current")
    ledger.check(me["login"] == "bot" and "api_key" not in me, f"the account is {sorted(me)}")
    await ledger.ok("read.basic.redmine.users.current")
    projects = await ledger.ok("read.bot.redmine.projects.list", {"include": ["trackers"]})
    ledger.check([item["identifier"] for item in projects["projects"]] == ["demo"], f"projects {projects}")
    project = await ledger.ok("read.bot.redmine.projects.get", {"project": "demo", "include": ["trackers"]})
    ledger.check(project["trackers"][0]["name"] == "Bug", f"trackers {project['trackers']}")
    members = await ledger.ok("read.bot.redmine.projects.members", {"project": "demo"})
    ledger.check(members["memberships"][0]["user"]["name"] == "Bot Agent", f"members {members}")
    await ledger.ok("read.bot.redmine.statuses.list")
    await ledger.ok("read.bot.redmine.priorities.list")
    modules = {"project": {"enabled_module_names": ["issue_tracking", "time_tracking"]}}
    change = {"method": "PUT", "path": "/projects/demo.json", "json": modules}
    ledger.check(await ledger.ok("write.admin.redmine.http.request", change) is None, "a 204 is not null")


async def _write(ledger: Ledger, run: str) -> list[int]:
    """Three issues, the first of them changed and commented on."""
    numbers = []
    for index in range(3):
        values = {
            "project": "demo",
            "subject": f"{run} läuft {index}",
            "description": "“quoted” \\ & <b>",
            "tracker_id": 1,
        }
        made = await ledger.ok("write.bot.redmine.issues.create", values)
        ledger.check(made["subject"] == values["subject"], f"subject {made['subject']}")
        numbers.append(int(made["id"]))
    change = {"issue_id": numbers[0], "status_id": 2, "done_percent": 50, "assigned_to_id": 5, "note": "under way"}
    ledger.check(await ledger.ok("write.bot.redmine.issues.update", change) is None, "a 204 is not null")
    await ledger.ok("write.bot.redmine.issues.comment", {"issue_id": numbers[0], "text": "seen here too"})
    await ledger.ok("write.bot.redmine.issues.update", {"issue_id": numbers[0], "assigned_to_id": ""})
    return numbers


async def _read(ledger: Ledger, run: str, issues: list[int]) -> None:
    values = {"issue_id": issues[0], "include": ["journals", "allowed_statuses"]}
    issue = await ledger.ok("read.bot.redmine.issues.get", values)
    notes = [journal["notes"] for journal in issue["journals"] if journal["notes"]]
    ledger.check(notes == ["under way", "seen here too"], f"notes {notes}")
    ledger.check(issue["done_ratio"] == 50 and "assigned_to" not in issue, f"issue {issue}")
    asked = {"issue_ids": issues, "status": "*", "sort": "id", "limit": 2}
    first, cursor = await ledger.page("read.bot.redmine.issues.list", asked)
    second, end = await ledger.page("read.bot.redmine.issues.list", asked, Cursor=cursor or "")
    listed = [issue["id"] for page in (first, second) for issue in page["issues"]]
    ledger.check(listed == issues and end is None, f"two pages hold {listed}, then {end}")
    found = await ledger.ok("read.bot.redmine.issues.search", {"query": run, "titles_only": True})
    ledger.check(found["total_count"] == len(issues), f"found {found['total_count']}")
    await ledger.ok("read.bot.redmine.http.get", {"path": "/trackers.json"})


async def _files_and_time(ledger: Ledger, issue: int) -> None:
    given = {"file_name": "läufer b.pdf", "content": base64.b64encode(FILE).decode()}
    token = (await ledger.ok("write.bot.redmine.files.upload", given))["token"]
    attach = {"issue_id": issue, "attachments": [{"token": token, "filename": "läufer b.pdf"}]}
    await ledger.ok("write.bot.redmine.issues.update", attach)
    shown = await ledger.ok("read.bot.redmine.issues.get", {"issue_id": issue, "include": ["attachments"]})
    attachment = shown["attachments"][0]
    ledger.check(attachment["filename"] == "läufer b.pdf", f"file name {attachment['filename']}")
    content = await ledger.ok("read.bot.redmine.files.download", {"attachment_id": attachment["id"]})
    ledger.check(content == FILE, f"downloaded {content!r}")
    spent = {"issue_id": issue, "hours": 1.5, "activity_id": 9, "day": "2026-11-20", "comment": "looked into it"}
    entry = await ledger.ok("write.bot.redmine.time_entries.create", spent)
    ledger.check(entry["hours"] == 1.5, f"hours {entry['hours']}")
    entries = await ledger.ok("read.bot.redmine.time_entries.list", {"issue_id": issue, "user": "me"})
    ledger.check(entries["total_count"] == 1, f"entries {entries['total_count']}")


async def _delete(ledger: Ledger, issues: list[int]) -> None:
    for number in issues:
        ledger.check(await ledger.ok("write.bot.redmine.issues.delete", {"issue_id": number}) is None, "not null")
    gone = {"issue_id": issues[0]}
    await ledger.refused("PROVIDER_NOT_FOUND", "read.bot.redmine.issues.get", gone, attempts=1)
    await ledger.refused("PROVIDER_NOT_FOUND", "write.bot.redmine.issues.delete", gone, attempts=1)


async def _refusals(ledger: Ledger, run: str) -> None:
    new = {"project": "demo", "subject": "x"}
    await ledger.refused("CREDENTIAL_REJECTED", "read.wrong.redmine.issues.list", attempts=1, says="REST API")
    await ledger.refused("PROVIDER_FORBIDDEN", "read.bot.redmine.projects.get", {"project": "secret"}, attempts=1)
    hidden = {"project": "secret", "subject": "x"}
    await ledger.refused("PROVIDER_REJECTED", "write.bot.redmine.issues.create", hidden, says="may not add issues")
    blank = {"project": "demo", "subject": " "}
    await ledger.refused("PROVIDER_REJECTED", "write.bot.redmine.issues.create", blank, says="Subject cannot be blank")
    past = {**new, "start_date": "2026-11-21", "due_date": "2026-11-20"}
    await ledger.refused("PROVIDER_REJECTED", "write.bot.redmine.issues.create", past, says="Due date must be greater")
    token = {"issue_id": 1, "attachments": [{"token": "nope"}]}
    await ledger.refused("PROVIDER_NOT_FOUND", "write.bot.redmine.issues.update", {**token, "issue_id": 99999999})
    broken = {"method": "POST", "path": "/issues.json", "base64": "e2JhZA==", "content_type": "application/json"}
    await ledger.refused("PROVIDER_REJECTED", "write.bot.redmine.http.request", broken, attempts=1)
    page = {"attachment_id": 99999999}  # answered with a page for people
    await ledger.refused("PROVIDER_NOT_FOUND", "read.bot.redmine.files.download", page, attempts=1)
    climbing = {"project": "../users/current"}
    await ledger.refused("PROVIDER_NOT_FOUND", "read.bot.redmine.projects.get", climbing, attempts=1)
    closed = {"path": "/users/current.json"}
    await ledger.refused("VALIDATION", "read.bot.redmine.http.get", closed, attempts=0, says="closed")
    misspelt = {"project": "demo", "subjekt": "x"}
    await ledger.refused("VALIDATION", "write.bot.redmine.issues.create", misspelt, attempts=0, says="`subject`")
    await ledger.refused("ACCESS_MISMATCH", "read.bot.redmine.issues.create", new, attempts=0, says="sidecar.write")
    await ledger.refused("UNKNOWN_OPERATION", "read.bot.redmine.issues.lst", attempts=0, says="issues.list")
    await ledger.refused("MALFORMED", "write.bot.redmine.issues.create", b"{bad", attempts=0)
    await ledger.refused("MALFORMED", "read.bot.redmine.issues.list", attempts=0, Cursor="???")
    first = await ledger.ok("write.bot.redmine.issues.create", new, Idempotency_Key=f"k-{run}")
    again = await ledger.ok("write.bot.redmine.issues.create", new, Idempotency_Key=f"k-{run}")
    ledger.check(again == first, f"the same key made issue {first['id']}, then {again['id']}")
    other = {**new, "subject": "another"}
    await ledger.refused(
        "IDEMPOTENCY_MISMATCH", "write.bot.redmine.issues.create", other, Idempotency_Key=f"k-{run}", attempts=0
    )
    shown = await ledger.ok("write.bot.redmine.issues.create", new, Dry_Run="true")
    ledger.check(shown["dry_run"] and shown["request"]["url"].endswith("/issues.json"), f"dry run {shown}")
