"""What a dry run answers: the request that would be sent, with nothing in it that the credential would add."""

from __future__ import annotations

import base64

import msgspec

from sidecar.core.redact import redact_url
from sidecar.model import Request, Success
from sidecar.wire.reply import DryRun, ShownRequest


def dry_run(request: Request, credential: str) -> Success:
    """`credential` says in words what would be added."""
    body: dict[str, str] = {}
    if request.content:
        try:
            body["body"] = request.content.decode()
        except UnicodeDecodeError:
            body["body_base64"] = base64.b64encode(request.content).decode()
    url, headers = redact_url(request.url), dict(request.headers)
    would_send = ShownRequest(method=request.method, url=url, headers=headers, **body)
    return Success(body=msgspec.json.encode(DryRun(request=would_send, credential=credential)))
