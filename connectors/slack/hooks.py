"""What a failed answer of Slack says, where paths cannot say it; and how many users a page has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.provider import Explained

USERS_ON_A_PAGE = 200


def explain(status: int, headers: Mapping[str, str], body: Any) -> Explained:  # noqa: ARG001 (the signature is fixed)
    """The error's word, with the scopes needed and given, and the sentences that Slack adds about arguments.

    https://docs.slack.dev/apis/web-api#responses
    """
    if not isinstance(body, dict):
        return Explained()
    parts = [
        f"the scope {body['needed']} is needed" if _text(body.get("needed")) else "",
        f"the token has {body['provided']}" if _text(body.get("provided")) else "",
        *_sentences(body.get("response_metadata")),
    ]
    return Explained(code=_text(body.get("error")), message="; ".join(part for part in parts if part) or None)


def users_on_a_page(values: dict[str, Any]) -> dict[str, Any]:
    """The input with a limit: without one Slack tries to answer with every user, and fails for a large workspace.

    https://docs.slack.dev/reference/methods/users.list
    """
    return {"limit": USERS_ON_A_PAGE, **values}


def _sentences(metadata: Any) -> list[str]:
    messages = metadata.get("messages") if isinstance(metadata, dict) else None
    if not isinstance(messages, list):
        return []
    return [item.removeprefix("[ERROR] ") for item in messages if isinstance(item, str)]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
