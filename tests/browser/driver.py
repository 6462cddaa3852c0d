"""Debian's Chromium, without a window, by the WebDriver protocol (https://www.w3.org/TR/webdriver2/)."""

from __future__ import annotations

import base64
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.real.servers import free_ports

# What it would otherwise ask of its maker's hosts it is told not to.
QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
UP_SECONDS = 30.0


def why_not() -> str | None:
    """Why there is no browser here, or None."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(missing)} must be installed (Debian: chromium, chromium-driver)" if missing else None


class Browser:
    """One browser with a profile of its own."""

    def __init__(self, session: str) -> None:
        self._client = httpx.Client(base_url=session, trust_env=False, timeout=40)

    def go(self, url: str) -> None:
        """Open it, and wait until it is loaded; a page that cannot be is no error."""
        answer = self._client.post("/url", json={"url": url})
        assert answer.is_success or "net::ERR" in answer.text, answer.text

    @property
    def url(self) -> str:
        return str(self._get("/url"))

    @property
    def text(self) -> str:
        """What a person reads."""
        return str(self.run("return document.body ? document.body.innerText : ''"))

    @property
    def heading(self) -> str:
        return str(self.run("return (document.querySelector('h1') || {innerText: ''}).innerText"))

    @property
    def cookies(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get("/cookie")
        return found

    def run(self, script: str, *arguments: object) -> Any:
        return self._post("/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, selector: str) -> None:
        """Press the one thing that the CSS selector finds."""
        [element] = self._post("/element", {"using": "css selector", "value": selector}).values()
        self._post(f"/element/{element}/click", {})

    def until(self, heading: str, seconds: float = 30) -> None:
        """Return when the page with this heading is there."""
        end = time.monotonic() + seconds
        while self.heading != heading:
            assert time.monotonic() < end, f"{self.url}: {self.text}"
            time.sleep(0.05)  # the browser goes from page to page by itself

    def forget(self) -> None:
        """No cookies, no memory of any page."""
        self.command("Network.clearBrowserCookies")

    def command(self, name: str, **parameters: object) -> Any:
        """The DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""
        return self._post("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def look(self, file: Path, *, width: int, height: int = 720, dark: bool = False) -> None:
        """A picture of the page as it is, on a screen of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.command("Emulation.setEmulatedMedia", features=media)
        file.write_bytes(base64.b64decode(self._get("/screenshot")))

    def close(self) -> None:
        self._client.close()

    def _get(self, path: str) -> Any:
        return self._client.get(path).raise_for_status().json()["value"]

    def _post(self, path: str, body: object) -> Any:
        answer = self._client.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()["value"]


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser that takes any certificate; ended with the block."""
    port = free_ports(1)[0]
    arguments = [*QUIET, f"--user-data-dir={profile}"]
    wanted = {
        "browserName": "chrome",
        "acceptInsecureCerts": True,
        "goog:chromeOptions": {"args": arguments, "binary": shutil.which("chromium")},
    }
    with subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as driver:
        root = f"http://127.0.0.1:{port}"
        try:
            _wait_until_up(f"{root}/status")
            asked = {"capabilities": {"alwaysMatch": wanted}}
            answer = httpx.post(f"{root}/session", json=asked, timeout=60, trust_env=False)
            assert answer.is_success, answer.text
            session = f"{root}/session/{answer.json()['value']['sessionId']}"
            made = Browser(session)
            try:
                yield made
            finally:
                made.close()
                httpx.delete(session, timeout=30, trust_env=False)
        finally:
            driver.terminate()


def _wait_until_up(url: str) -> None:
    end = time.monotonic() + UP_SECONDS
    while True:
        try:
            httpx.get(url, timeout=5, trust_env=False)
        except httpx.TransportError:
            assert time.monotonic() < end, "chromedriver does not answer"
            time.sleep(0.05)
        else:
            return
