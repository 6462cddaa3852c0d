"""What Redmine answers, without what no agent may see."""

from __future__ import annotations

from typing import Any


def without_api_key(body: Any) -> Any:
    """The account's own record. Redmine puts the account's API key into it, which would be a raw credential.

    https://www.redmine.org/projects/redmine/wiki/Rest_Users#GET
    """
    user = body.get("user") if isinstance(body, dict) else None
    return {name: value for name, value in user.items() if name != "api_key"} if isinstance(user, dict) else {}
