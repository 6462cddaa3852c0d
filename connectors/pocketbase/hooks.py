"""What PocketBase answers, where paths cannot say it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from sidecar.model import Problem
from sidecar.provider import Explained


def explain(status: int, headers: Mapping[str, str], body: Any) -> Explained:  # noqa: ARG001 (the signature is fixed)
    """The fields that were refused, each at its place in `data`; without any, the general sentence.

    A failure is {"status", "message", "data": {field: {"code", "message"}}}. https://pocketbase.io/docs/api-records/
    """
    if not isinstance(body, dict):
        return Explained()
    data = body.get("data")
    fields = data if isinstance(data, dict) else {}
    refused = {name: value for name, value in sorted(fields.items()) if isinstance(value, dict) and "code" in value}
    if not refused:
        return Explained(message=_text(body.get("message")))
    said = {name: _text(value.get("message")) or _text(value["code"]) or "refused" for name, value in refused.items()}
    return Explained(
        code=_text(next(iter(refused.values()))["code"]),
        message="; ".join(f"{name}: {words}" for name, words in said.items()),
        problems=tuple(Problem(pointer=f"/data/{_escaped(name)}", detail=words) for name, words in said.items()),
    )


def account_of_token(body: Any) -> Any:
    """Whose token it is, read from the claims of the file token that was answered; never the token itself.

    https://pocketbase.io/docs/api-files/#generate-protected-file-token
    """
    claims = _claims(body.get("token") if isinstance(body, dict) else None)
    return {"record_id": claims.get("id"), "collection_id": claims.get("collectionId")}


def _claims(token: Any) -> dict[str, Any]:
    """The payload of a JSON Web Token (RFC 7519), unchecked: it came from the server itself."""
    parts = token.split(".") if isinstance(token, str) else []
    if len(parts) != 3:  # noqa: PLR2004
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _escaped(name: str) -> str:
    """One step of a JSON pointer (RFC 6901 section 3)."""
    return name.replace("~", "~0").replace("/", "~1")
