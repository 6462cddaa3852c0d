"""What a failed answer of GitHub says, where paths cannot say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.model import Problem
from sidecar.provider import Explained

# What the codes of a refused field mean, in our words.
# https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#validation-failed
CODES = {
    "missing": "names something that does not exist",
    "missing_field": "is required",
    "invalid": "has a form that GitHub does not accept",
    "already_exists": "is taken: another one has the same value",
    "unprocessable": "has a value that GitHub does not accept",
}


def explain(status: int, headers: Mapping[str, str], body: Any) -> Explained:  # noqa: ARG001 (the signature is fixed)
    """The message with every finding in it, the first finding's code, and each finding at its field."""
    if not isinstance(body, dict):
        return Explained()
    findings = body.get("errors")
    findings = findings if isinstance(findings, list) else []
    fields = [item for item in findings if isinstance(item, dict)]
    parts = [_text(body.get("message")), *(_said(item) for item in findings), _permission(headers)]
    return Explained(
        code=next((_text(item.get("code")) for item in fields if _text(item.get("code"))), None),
        message="; ".join(part for part in parts if part) or None,
        problems=tuple(
            Problem(f"/{_text(item.get('field'))}", _meaning(item)) for item in fields if _text(item.get("field"))
        ),
    )


def _said(finding: Any) -> str:
    """A finding as words: a sentence, or a field and what is wrong with it."""
    if not isinstance(finding, dict):
        return _text(finding)
    return f"{_text(finding.get('field'))} {_meaning(finding)}".strip()


def _meaning(finding: dict[str, Any]) -> str:
    """GitHub's own sentence where it gives one (code `custom`), else what its code means."""
    code = _text(finding.get("code"))
    return _text(finding.get("message")) or CODES.get(code, code)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _permission(headers: Mapping[str, str]) -> str:
    """The permission that would have been enough, which GitHub names in a header.

    https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible
    """
    wanted = headers.get("x-accepted-github-permissions")
    return f"permission needed: {wanted}" if wanted else ""
