"""NATS over TLS: whose certificates are taken."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from sidecar.adapters.nats_bus import connect
from sidecar.ports import BusError
from tests.authority import Authority
from tests.fixtures_nats import configured

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("known", [True, False])
async def test_a_companys_own_authority_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    """The one that `SSL_CERT_FILE` names, on every Python, though it names no key usage; and no authority but that."""
    company, other = Authority(tmp_path, bare=True), Authority(tmp_path, bare=True)
    (tmp_path / "company.pem").write_bytes(company.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "company.pem"))
    shown = str((company if known else other).issued("127.0.0.1"))
    async with configured(tmp_path, {"tls": {"cert_file": shown, "key_file": shown}}) as server:
        url = f"tls://127.0.0.1:{server.port}"
        with anyio.fail_after(30):
            if known:
                bus = await connect(url)
                await bus.close()
            else:
                with pytest.raises(BusError, match="certificate verify failed"):
                    await connect(url, timeout=2)
