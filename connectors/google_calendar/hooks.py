"""Events as people say them, made into Google's: times, guests, reminders, and an id of the call's own."""

from __future__ import annotations

from typing import Any

DAY = len("2026-11-23")
TRANSPARENCY = {True: "opaque", False: "transparent"}


def new_event(values: dict[str, Any]) -> dict[str, Any]:
    """A new event under the id of the call (unless another is given), whose letters are 0-9 and a-f.

    https://developers.google.com/workspace/calendar/api/v3/reference/events/insert
    """
    return {"event_id": values["call_id"].replace("-", ""), **_event(values)}


def changed_event(values: dict[str, Any]) -> dict[str, Any]:
    """What changes of an event. Of a day and a moment the one not meant is emptied: the other would stay beside it.

    https://developers.google.com/workspace/calendar/api/v3/reference/events/patch
    """
    event = _event(values)
    for name in {"start", "end"} & event.keys():
        event[name] = {"date": None, "dateTime": None} | event[name]
    return event


def _event(values: dict[str, Any]) -> dict[str, Any]:
    """What is given of an event, in Google's form.

    https://developers.google.com/workspace/calendar/api/v3/reference/events#resource
    """
    event = dict(values)
    for name in {"start", "end"} & values.keys():
        event[name] = _when(values[name], values.get("time_zone"))
    if "guests" in values:
        event["guests"] = [{"email": address} for address in values["guests"]]
    if "busy" in values:
        event["busy"] = TRANSPARENCY[values["busy"]]
    if "reminders" in values:
        event["reminders"] = {"useDefault": False, "overrides": values["reminders"]}
    if event.pop("meeting", False):
        event["meeting"] = _meeting(values["call_id"])
    return event


def asked_calendars(values: dict[str, Any]) -> dict[str, Any]:
    """The calendars to look at, each in an object of its own.

    https://developers.google.com/workspace/calendar/api/v3/reference/freebusy/query
    """
    return {**values, "calendars": [{"id": name} for name in values.get("calendars", ["primary"])]}


def _when(text: str, time_zone: str | None) -> dict[str, str]:
    """A day, or a moment in its time zone."""
    if len(text) == DAY:
        return {"date": text}
    return {"dateTime": text, "timeZone": time_zone} if time_zone else {"dateTime": text}


def _meeting(call_id: str) -> dict[str, Any]:
    """A new Google Meet; asked for twice under one id it is one.

    https://developers.google.com/workspace/calendar/api/guides/create-events#conferencing
    """
    return {"createRequest": {"requestId": call_id, "conferenceSolutionKey": {"type": "hangoutsMeet"}}}
