"""Where a reply may be sent: what a caller may hear, not what the sidecar may publish."""

from __future__ import annotations

import re
from collections.abc import Sequence

TENANT = "{tenant}"
NO_SUBJECT = re.compile(r"[*>\s]|\.\.|\.$")  # wildcards, white space, empty tokens: nothing is published there


class Inboxes:
    """Reply subjects that begin with one of the prefixes. `{tenant}` in a prefix is the token of the tenant that the
    request's subject names, so that nobody has a reply sent to another tenant's inbox.
    """

    def __init__(self, prefixes: Sequence[str]) -> None:
        self._anybodys = tuple(prefix for prefix in prefixes if TENANT not in prefix)
        self._tenants = tuple(prefix for prefix in prefixes if TENANT in prefix)

    def takes(self, reply: str, subject: str) -> bool:
        """Whether the reply to a request on this subject may go there. Who asks for no tenant (`$SRV`) is of any."""
        if NO_SUBJECT.search(reply):
            return False
        return reply.startswith(self._anybodys) or any(_is_own(prefix, reply, subject) for prefix in self._tenants)


def _is_own(prefix: str, reply: str, subject: str) -> bool:
    before = prefix.partition(TENANT)[0]
    tenant = reply[len(before) :].partition(".")[0] if subject.startswith("$") else subject.split(".", 3)[2]
    return reply.startswith(prefix.replace(TENANT, tenant))
