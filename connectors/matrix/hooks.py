"""The content of Matrix events, whose keys hold dots and depend on each other."""

from __future__ import annotations

from typing import Any

# The msgtype of each kind of text. https://spec.matrix.org/latest/client-server-api/#mroommessage-msgtypes
KINDS = {"text": "m.text", "notice": "m.notice", "emote": "m.emote"}


def message(values: dict[str, Any]) -> dict[str, Any]:
    """A text message as the content of an m.room.message event; `content` adds to it, or replaces parts of it.

    https://spec.matrix.org/latest/client-server-api/#mroommessage
    """
    content: dict[str, Any] = {"msgtype": KINDS[values.get("kind", "text")], "body": values["text"]}
    if "html" in values:
        content |= {"format": "org.matrix.custom.html", "formatted_body": values["html"]}
    relation = _relation(values.get("thread"), values.get("reply_to"))
    if relation:
        content["m.relates_to"] = relation
    if "mention" in values:
        content["m.mentions"] = {"user_ids": values["mention"]}
    return {**values, "content": content | values.get("content", {})}


def _relation(thread: str | None, reply_to: str | None) -> dict[str, Any]:
    """How a message belongs to earlier ones.

    In a thread, a message that replies to none names the thread's first as fallback for clients without threads.
    https://spec.matrix.org/latest/client-server-api/#threading
    """
    relation: dict[str, Any] = {}
    if thread:
        relation = {"rel_type": "m.thread", "event_id": thread, "is_falling_back": reply_to is None}
    if thread or reply_to:
        relation["m.in_reply_to"] = {"event_id": reply_to or thread}
    return relation
