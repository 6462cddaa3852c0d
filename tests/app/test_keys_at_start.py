"""What a sidecar needs of keys before it serves: without one it does not, and each thing wrong is said."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from sidecar.adapters.key_file import KeyFileError, add_key
from sidecar.adapters.tenant_keys import TenantKeys
from sidecar.keys import keys_on_a_laptop, keys_to_run
from sidecar.settings import Settings


def now() -> float:
    return 0.0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Settings(), "neither SIDECAR_KEK_FILE nor SIDECAR_KEK_DIR is set"),
        (Settings(), "make a key: sidecar keys new FILE"),
        (Settings(kek_file="{}/kek"), "key file {}/kek is not there; make one: sidecar keys new {}/kek"),
        (
            Settings(kek_dir="{}/none"),
            "SIDECAR_KEK_DIR: {}/none has no key file; make one for each tenant: sidecar keys",
        ),
        (
            Settings(kek_dir="{}/good", tenant="new co"),
            "key file {}/good/new.20co is not there; make one: sidecar keys new",
        ),
        (Settings(kek_dir="{}/bad"), "key file {}/bad/acme holds no key"),
    ],
)
def test_without_a_key_it_does_not_start(tmp_path: Path, settings: Settings, told: str) -> None:
    """The file that is looked for is named, with the command that makes it."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "acme").touch(mode=0o600)
    add_key(tmp_path / "good" / "acme")
    here = str(tmp_path)
    placed = Settings(
        tenant=settings.tenant,
        kek_file=settings.kek_file and settings.kek_file.replace("{}", here),
        kek_dir=settings.kek_dir and settings.kek_dir.replace("{}", here),
    )
    wrong = keys_to_run(placed, now)
    assert isinstance(wrong, str)
    assert told.replace("{}", here) in wrong


def test_one_tenants_file_gone_wrong_keeps_nobody_else_from_being_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told in the log, and so is a file that no tenant is called after."""
    add_key(tmp_path / "acme")
    add_key(tmp_path / "acme.pem")
    (tmp_path / "evil").touch(mode=0o600)
    keys = keys_to_run(Settings(kek_dir=str(tmp_path)), now)
    assert isinstance(keys, TenantKeys)
    assert keys.open("acme", "B|k", keys.seal("acme", "B|k", b"x")) == b"x"
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.partition(" holds")[0].partition(" is no")[0] for text in told] == [
        f"key file {tmp_path}/evil",
        f"{tmp_path}/acme.pem",
    ]


def test_a_laptop_tells_a_wrong_file_at_the_start(tmp_path: Path) -> None:
    """Not at the first call."""
    add_key(tmp_path / "keys" / "default")
    (tmp_path / "keys" / "default").chmod(0o644)
    with pytest.raises(KeyFileError, match="open to others"):
        keys_on_a_laptop(Settings(data_dir=str(tmp_path)), now)
