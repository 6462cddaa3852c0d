"""Keys of tenants: each in its own file, read again when it changes, never lost to a file that has gone wrong."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from sidecar.adapters.key_file import add_key, read_key_file
from sidecar.adapters.tenant_keys import LOOK_SECONDS, TenantKeys
from sidecar.key_places import KeyPlaces, file_name, file_tenant, places_in_production, places_on_a_laptop
from sidecar.ports import KeyUnavailable, SealBroken
from sidecar.settings import Settings

PLAIN = b'{"token":"hunter2"}'


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time

    def later(self) -> None:
        self.time += LOOK_SECONDS


@pytest.fixture
def now() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path, now: Clock) -> TenantKeys:
    """Keys for acme and evil, from a folder."""
    for tenant in ("acme", "evil"):
        add_key(tmp_path / tenant)
    return TenantKeys(KeyPlaces(files={}, folder=tmp_path).files_of, now)


def replace(file: Path, text: str) -> None:
    fresh = file.with_suffix(".fresh")
    fresh.write_text(text)
    fresh.chmod(0o600)
    fresh.replace(file)


def test_each_tenant_has_its_own_key(keys: TenantKeys, tmp_path: Path) -> None:
    """What one key seals, it alone opens."""
    sealed = keys.seal("acme", "B|k", PLAIN)
    assert keys.open("acme", "B|k", sealed) == PLAIN
    assert keys.held("acme") == tuple(read_key_file(tmp_path / "acme"))
    with pytest.raises(KeyUnavailable):
        keys.open("evil", "B|k", sealed)


def test_a_record_of_another_tenant_does_not_open_with_both_keys(tmp_path: Path, now: Clock) -> None:
    """Even a tenant who has the other's key in his file, and the record at the place of his own, opens nothing."""
    add_key(tmp_path / "acme")
    stolen = (tmp_path / "acme").read_text()
    add_key(tmp_path / "evil")
    replace(tmp_path / "evil", stolen + (tmp_path / "evil").read_text())
    keys = TenantKeys(KeyPlaces(files={}, folder=tmp_path).files_of, now)
    sealed = keys.seal("acme", "B|acme.alice.github", PLAIN)
    assert keys.key_of(sealed) in keys.held("evil")
    with pytest.raises(SealBroken):
        keys.open("acme", "B|evil.alice.github", sealed)
    for place in ("B|evil.alice.github", "B|acme.alice.github"):
        with pytest.raises(SealBroken):
            keys.open("evil", place, sealed)
        with pytest.raises(SealBroken):
            keys.rewrap("evil", place, sealed)


def test_a_tenant_without_a_key_is_told_its_file(keys: TenantKeys, tmp_path: Path) -> None:
    """The others go on; as soon as the file is there, it does too."""
    with pytest.raises(KeyUnavailable, match=f"'new co' has no key here: key file {tmp_path}/new.20co is not there"):
        keys.seal("new co", "B|k", PLAIN)
    assert keys.open("acme", "B|k", keys.seal("acme", "B|k", PLAIN)) == PLAIN
    add_key(tmp_path / "new.20co")
    assert keys.open("new co", "B|k", keys.seal("new co", "B|k", PLAIN)) == PLAIN


def test_a_new_key_seals_and_the_old_one_opens(keys: TenantKeys, tmp_path: Path, now: Clock) -> None:
    """A file that was replaced is noticed a second later, without a restart."""
    before = keys.seal("acme", "B|k", PLAIN)
    newest = add_key(tmp_path / "acme")
    assert keys.key_of(keys.seal("acme", "B|k", PLAIN)) != newest
    now.later()
    assert keys.key_of(keys.seal("acme", "B|k", PLAIN)) == newest
    assert keys.open("acme", "B|k", before) == PLAIN


def test_a_record_under_a_newer_key_opens_at_once(keys: TenantKeys, tmp_path: Path, now: Clock) -> None:
    """Another sidecar looked a moment earlier: no call fails for that."""
    keys.held("acme")
    add_key(tmp_path / "acme")
    others = TenantKeys(KeyPlaces(files={}, folder=tmp_path).files_of, now)
    assert keys.open("acme", "B|k", others.seal("acme", "B|k", PLAIN)) == PLAIN


def test_a_mounted_secret_is_swapped(tmp_path: Path, now: Clock) -> None:
    """Kubernetes replaces a symbolic link to the folder of all files: the link of each file stays."""
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
        add_key(tmp_path / version / "acme")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "acme").symlink_to("..data/acme")
    keys = TenantKeys(KeyPlaces(files={}, folder=tmp_path).files_of, now)
    sealed = keys.seal("acme", "B|k", PLAIN)
    (tmp_path / "..next").symlink_to("..2")
    (tmp_path / "..next").replace(tmp_path / "..data")
    now.later()
    assert keys.held("acme") == tuple(read_key_file(tmp_path / "..2" / "acme"))
    with pytest.raises(KeyUnavailable, match="is not in the key file; put it back"):
        keys.open("acme", "B|k", sealed)


@pytest.mark.parametrize("fault", ["gone", "empty", "half", "open to others", "binary"])
def test_a_file_gone_wrong_leaves_the_keys(
    keys: TenantKeys, tmp_path: Path, now: Clock, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls go on with the last good keys; the log says so once; mended, the file counts again."""
    file = tmp_path / "acme"
    sealed, good = keys.seal("acme", "B|k", PLAIN), file.read_text()
    match fault:
        case "gone":
            file.unlink()
        case "empty":
            replace(file, "")
        case "half":
            replace(file, good[:-10])
        case "open to others":
            file.chmod(0o644)
        case _:
            file.write_bytes(b"\xff\xfe")
    for _ in range(5):
        now.later()
        assert keys.open("acme", "B|k", sealed) == PLAIN
        assert keys.key_of(keys.seal("acme", "B|k", PLAIN)) == keys.key_of(sealed)
    [told] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"the keys of tenant acme stay as they were: key file {file}" in told
    replace(file, good)
    newest = add_key(file)
    now.later()
    assert keys.held("acme")[-1] == newest


def test_a_key_taken_away_is_missed_by_its_records_alone(keys: TenantKeys, tmp_path: Path, now: Clock) -> None:
    """The others go on; put back, it opens again."""
    old, both = keys.seal("acme", "B|k", PLAIN), None
    newest = add_key(tmp_path / "acme")
    both = (tmp_path / "acme").read_text()
    replace(tmp_path / "acme", both.splitlines()[-1] + "\n")
    now.later()
    assert keys.held("acme") == (newest,)
    with pytest.raises(KeyUnavailable, match="put it back"):
        keys.open("acme", "B|k", old)
    assert keys.open("acme", "B|k", keys.seal("acme", "B|k", PLAIN)) == PLAIN
    replace(tmp_path / "acme", both)
    assert keys.open("acme", "B|k", old) == PLAIN


def test_files_are_not_looked_at_on_every_call(keys: TenantKeys, tmp_path: Path) -> None:
    """Within a second calls use the keys that were read, whatever became of the file; an operator who asks is told."""
    sealed = keys.seal("acme", "B|k", PLAIN)
    newest = add_key(tmp_path / "acme")
    assert keys.key_of(keys.seal("acme", "B|k", PLAIN)) == keys.key_of(sealed)
    assert keys.held("acme")[-1] == newest


@pytest.mark.parametrize(
    ("tenant", "name"),
    [
        ("acme", "acme"),
        ("Acme_2-x", "Acme_2-x"),
        ("acme corp", "acme.20corp"),
        ("a.b", "a.2Eb"),
        ("..data", ".2E.2Edata"),
        ("größe", "gr.C3.B6.C3.9Fe"),
        ("a%2Eb", "a.252Eb"),
    ],
)
def test_file_names(tenant: str, name: str) -> None:
    """Legal as keys of a Kubernetes Secret, and no two tenants share one."""
    assert file_name(tenant) == name
    assert file_tenant(name) is not None


@pytest.mark.parametrize("name", ["acme.pem", "a%20b", "acme corp", "a.2eb", "a.41", "..data", "."])
def test_what_is_no_file_name(name: str) -> None:
    """It would never be looked for."""
    assert file_tenant(name) is None


def test_a_scoped_sidecar_holds_one_key(tmp_path: Path, now: Clock) -> None:
    """Also with every tenant's key in the folder."""
    for tenant in ("acme", "evil"):
        add_key(tmp_path / tenant)
    places = places_in_production(Settings(tenant="acme", kek_dir=str(tmp_path)))
    assert places is not None
    keys = TenantKeys(places.files_of, now)
    keys.seal("acme", "B|k", PLAIN)
    with pytest.raises(KeyUnavailable, match="this sidecar serves tenant 'acme' alone"):
        keys.seal("evil", "B|k", PLAIN)
    assert places.files_there() == [tmp_path / "acme"]


@pytest.mark.parametrize(("tenant", "owner"), [("acme", "acme"), (None, "default")])
def test_one_file_is_one_tenants(tmp_path: Path, now: Clock, tenant: str | None, owner: str) -> None:
    """That of SIDECAR_TENANT, else `default`; the others are told what to set."""
    add_key(tmp_path / "kek")
    places = places_in_production(Settings(tenant=tenant, kek_file=str(tmp_path / "kek")))
    assert places is not None
    keys = TenantKeys(places.files_of, now)
    assert keys.open(owner, "B|k", keys.seal(owner, "B|k", PLAIN)) == PLAIN
    with pytest.raises(KeyUnavailable, match=f"serves tenant '{tenant}' alone" if tenant else "set SIDECAR_KEK_DIR"):
        keys.seal("other", "B|k", PLAIN)


def laptop(tmp_path: Path, now: Clock, *, kek_file: str | None = None, kek_dir: str | None = None) -> TenantKeys:
    settings = Settings(data_dir=str(tmp_path), kek_file=kek_file, kek_dir=kek_dir)
    return TenantKeys(places_on_a_laptop(settings).files_of, now, make=True)


def test_a_laptop_makes_keys_when_they_are_needed(tmp_path: Path, now: Clock) -> None:
    """A file for each tenant, its owner's alone; a restart finds them."""
    sealed = {tenant: laptop(tmp_path, now).seal(tenant, "B|k", PLAIN) for tenant in ("default", "acme corp")}
    assert sorted(file.name for file in (tmp_path / "keys").iterdir()) == ["acme.20corp", "default"]
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "keys").iterdir()} == {0o600}
    for tenant, record in sealed.items():
        assert laptop(tmp_path, now).open(tenant, "B|k", record) == PLAIN


def test_a_data_directory_of_an_older_version_keeps_working(tmp_path: Path, now: Clock) -> None:
    """Its one file is tenant default's, and opens what it sealed for others, who get a key of their own."""
    old = add_key(tmp_path / "kek")
    before = {tenant: TenantKeys(lambda _: [tmp_path / "kek"], now).seal(tenant, "B|k", PLAIN) for tenant in "ab"}
    keys = laptop(tmp_path, now)
    assert keys.held("default") == (old,)
    for tenant, record in before.items():
        assert keys.open(tenant, "B|k", record) == PLAIN
        moved = keys.rewrap(tenant, "B|k", record)
        assert moved is not None
        assert keys.key_of(moved) == next(iter(read_key_file(tmp_path / "keys" / tenant)))


def test_a_laptop_takes_the_files_that_are_named(tmp_path: Path, now: Clock) -> None:
    """SIDECAR_KEK_FILE is tenant default's, SIDECAR_KEK_DIR everybody's; what is not there is made."""
    laptop(tmp_path, now, kek_file=str(tmp_path / "mine")).seal("default", "B|k", PLAIN)
    laptop(tmp_path, now, kek_dir=str(tmp_path / "all")).seal("acme", "B|k", PLAIN)
    assert (tmp_path / "mine").is_file()
    assert (tmp_path / "all" / "acme").is_file()
