"""Short inputs as Microsoft Graph writes them: filters, people, bodies, moments, preferences."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

IDS = 'IdType="ImmutableId"'
# What a list shows of a message or an event: enough to choose, without the bodies.
MESSAGE = (
    "id", "conversationId", "subject", "from", "toRecipients", "receivedDateTime", "isRead", "hasAttachments",
    "importance", "bodyPreview", "webLink",
)  # fmt: skip
EVENT = (
    "id", "subject", "start", "end", "isAllDay", "location", "organizer", "attendees", "isCancelled", "isOnlineMeeting",
    "onlineMeeting", "showAs", "responseStatus", "bodyPreview", "seriesMasterId", "type", "webLink",
)  # fmt: skip
EVER = "1970-01-01T00:00:00Z"
UNTIL = {"since": "ge", "before": "lt"}


def messages_in_folder(values: dict[str, Any]) -> dict[str, Any]:
    """A list's filter, unless the caller wrote one. What it is ordered by must come first in it, or the order is
    refused as too complex.

    https://learn.microsoft.com/graph/api/user-list-messages#using-filter-and-orderby-in-the-same-query
    """
    clauses = [f"receivedDateTime {word} {values[name]}" for name, word in UNTIL.items() if values.get(name)]
    clauses += [f"isRead eq {_word(not values['unread'])}"] if "unread" in values else []
    if clauses and not values.get("since"):
        clauses.insert(0, f"receivedDateTime ge {EVER}")
    found = {"filter": " and ".join(clauses)} if clauses else {}
    return {"select": list(MESSAGE), **found, **values}


def search(values: dict[str, Any]) -> dict[str, Any]:
    """The words in quotes, as the parameter wants them.

    https://learn.microsoft.com/graph/search-query-parameter#using-search-on-message-collections
    """
    words = values["query"].replace("\\", "\\\\").replace('"', '\\"')
    return {"select": list(MESSAGE), **values, "query": f'"{words}"'}


def reading(values: dict[str, Any]) -> dict[str, Any]:
    """Bodies as text, unless HTML is asked for; times in the zone asked for.

    https://learn.microsoft.com/graph/api/event-get#request-headers
    """
    wanted = [IDS, f'outlook.body-content-type="{values.get("body_type", "text")}"']
    if "time_zone" in values:
        wanted.append(f'outlook.timezone="{values["time_zone"]}"')
    return {**values, "body_type": ", ".join(wanted)}


def events(values: dict[str, Any]) -> dict[str, Any]:
    """As `reading`, with what a list shows of an event."""
    return reading({"select": list(EVENT), **values})


def message(values: dict[str, Any]) -> dict[str, Any]:
    """A message to send, or what a reply has beside its text.

    https://learn.microsoft.com/graph/api/resources/message
    """
    shaped = dict(values)
    for name in ("to", "cc", "bcc", "reply_to"):
        if name in values:
            shaped[name] = [_person(address) for address in values[name]]
    if "body" in values:
        shaped["body"] = _body(values)
    if "attachments" in values:
        shaped["attachments"] = [_file(item) for item in values["attachments"]]
    return shaped


def event(values: dict[str, Any]) -> dict[str, Any]:
    """An event. Its transaction id is the call's own, unless the caller has one: sent twice, it is made once.

    https://learn.microsoft.com/graph/api/resources/event#properties
    """
    shaped = changed_event(values)
    return {"transaction_id": values.get("call_id"), **shaped}


def changed_event(values: dict[str, Any]) -> dict[str, Any]:
    """The fields of an event that are given. Where attendees change, they are all replaced."""
    shaped = dict(values)
    for name in ("start", "end"):
        if name in values:
            shaped[name] = _moment(values[name], values.get("time_zone", "UTC"))
    if "body" in values:
        shaped["body"] = _body(values)
    if "location" in values:
        shaped["location"] = {"displayName": values["location"]}
    people = [
        {**_person(address), "type": kind}
        for name, kind in (("attendees", "required"), ("optional_attendees", "optional"))
        for address in values.get(name, ())
    ]
    if "attendees" in values or people:
        shaped["attendees"] = people
    return shaped


def _person(address: str) -> dict[str, Any]:
    return {"emailAddress": {"address": address}}


def _body(values: dict[str, Any]) -> dict[str, str]:
    return {"contentType": values.get("body_type", "text"), "content": values["body"]}


def _file(item: dict[str, Any]) -> dict[str, Any]:
    """https://learn.microsoft.com/graph/api/resources/fileattachment"""
    kind = item.get("content_type", "application/octet-stream")
    return {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": item["name"],
        "contentType": kind,
        "contentBytes": item["content"],
    }


def _moment(text: str, zone: str) -> dict[str, str]:
    """A moment as date and time without offset, and the zone that they are read in.

    https://learn.microsoft.com/graph/api/resources/datetimetimezone
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # 31 February: Microsoft says what is wrong with it
        return {"dateTime": text, "timeZone": zone}
    if moment.tzinfo is None:
        return {"dateTime": text, "timeZone": zone}
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:  # within hours of the year 1 or 9999
        return {"dateTime": text, "timeZone": zone}
    return {"dateTime": moment.replace(tzinfo=None).isoformat(), "timeZone": "UTC"}


def _word(value: object) -> str:
    return "true" if value else "false"
