"""A provider of OAuth on this machine that always consents, and a sidecar with the pages for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from anyio.from_thread import start_blocking_portal

from sidecar.laptop import development
from sidecar.settings import Settings
from tests.build import CREATE_ITEM, GET_ITEM, write_provider

CLIENT = {"client_id": "our-client", "client_secret": "our-secret"}
TOKEN, REFRESH = "token-of-anna", "refresh-of-anna"
STEPS = ["Make a project.", "Make a client; download its JSON file."]
ME = GET_ITEM | {"path": "/me", "input": {}, "required": [], "summary": "Get the account."}


@dataclass(slots=True)
class Consenting:
    """The provider. `answers` overlays what the authorize endpoint sends back; `asked` are forms of token requests."""

    url: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def consent(self, authorize_url: str) -> str:
        """Where the browser of somebody who says yes (or as `answers` has it) is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(authorize_url).query).items()}
        answer = self.answers or {"code": "the-code"}
        return f"{asked['redirect_uri']}?{urlencode(answer | {'state': asked['state']})}"


@dataclass(frozen=True, slots=True)
class Consents:
    """Where everything is."""

    provider: Consenting
    data_dir: Path


@contextmanager
def consenting() -> Iterator[Consenting]:
    known = Consenting()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["authorization"] == f"Bearer {TOKEN}":
                self._answer(200, {"login": "anna", "id": 1})
            else:
                self._answer(401, {"error": "who?"})

        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["content-length"])).decode()
            known.asked.append({name: values[0] for name, values in parse_qs(form).items()})
            token = {"access_token": TOKEN, "refresh_token": REFRESH, "expires_in": 3600, "token_type": "Bearer"}
            self._answer(200, token)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
            del format, args

        def _answer(self, status: int, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        known.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield known
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def consents(folder: Path) -> Iterator[Consents]:
    """`sidecar dev` with providers `near` (back to loopback), `far` (https alone), `both` (a key too), and more."""
    with consenting() as provider:
        oauth2 = {
            "kind": "oauth2",
            "authorize_url": f"{provider.url}/authorize",
            "token_url": f"{provider.url}/token",
            "client_auth": "post",
            "app": STEPS,
            "docs": "https://docs.acme.example/oauth",
        }
        for name, auth in {
            "near": [oauth2 | {"redirect": "loopback"}],
            "far": [oauth2],
            "both": [oauth2, {"kind": "bearer"}],
            # A sidecar notices a file that is gone within a second: these never have one, or get it once.
            "bare": [oauth2],
            "bare_near": [oauth2 | {"redirect": "loopback"}],
            "typed": [oauth2],
        }.items():
            write_provider(
                folder / "connectors",
                name=name,
                title=name.title(),
                operations={"me.get": ME, "items.create": CREATE_ITEM},
                base_url={"kind": "self_hosted", "default": provider.url},
                auth=auth,
                verify={"operation": "me.get", "account": "login"},
            )
        settings = Settings(
            data_dir=str(folder / "data"),
            connectors=(str(folder / "connectors"),),
            egress_allow=("127.0.0.1",),
            grace_seconds=0,
        )

        @asynccontextmanager
        async def all_of_it() -> Any:
            async with development(settings, None):
                yield Consents(provider, Path(settings.data_dir))

        loop = {"use_uvloop": True}
        with start_blocking_portal("asyncio", loop) as portal, portal.wrap_async_context_manager(all_of_it()) as it:
            yield it
