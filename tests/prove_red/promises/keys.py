"""Keys: whose they are, which one seals, and how one takes over from another."""

from __future__ import annotations

from tests.prove_red.row import Row

TENANTS = "tests/store/test_tenant_keys.py"
FILE = "tests/store/test_key_file.py"

ROWS = (
    Row(
        promise="The newest key of a file seals, and all of them open.",
        file="sidecar/adapters/cryptography_keys.py",
        good="self.newest = list(keys)[-1]",
        bad="self.newest = next(iter(keys))",
        tests=("tests/store/test_keys.py::test_the_last_key_seals_and_all_open",),
    ),
    Row(
        promise="A record whose key is not at hand is not called damaged: the key can be put back.",
        file="sidecar/adapters/cryptography_keys.py",
        good='raise KeyUnavailable(f"key {parts.key_id[:64]!r} is not in the key file; put it back")',
        bad='raise SealBroken(f"key {parts.key_id[:64]!r} is not in the key file; put it back")',
        tests=("tests/store/test_keys.py::test_a_missing_key_is_named",),
    ),
    Row(
        promise="A record that does not open is not wrapped anew.",
        file="sidecar/adapters/cryptography_keys.py",
        good="            return data_key, AESGCM(data_key).decrypt(parts.nonce, parts.ciphertext, bound)\n",
        bad="            return data_key, parts.ciphertext\n",
        tests=("tests/store/test_keys.py::test_damage_is_not_rewrapped",),
    ),
    Row(
        promise="A rotation writes over exactly the revision that it read: who writes meanwhile is not overwritten.",
        file="sidecar/store/rewrap.py",
        good="outcome = await self._writer.replace(bucket, key, moved, entry.revision, ttl=entry.ttl)",
        bad=(
            "latest = await self._store.get(bucket, key)\n"
            "                outcome = await self._writer.replace("
            "bucket, key, moved, latest.revision if latest else None, ttl=entry.ttl)"
        ),
        tests=("tests/store/test_rewrap_race.py::test_what_is_written_between_read_and_write_stays",),
    ),
    Row(
        promise="A rotation leaves a record its time to live.",
        file="sidecar/store/rewrap.py",
        good="moved, entry.revision, ttl=entry.ttl)",
        bad="moved, entry.revision)",
        tests=("tests/store/test_rewrap_race.py::test_a_record_keeps_its_time_to_live",),
    ),
    Row(
        promise="A look at the keys in use changes nothing.",
        file="sidecar/store/rewrap.py",
        good="moved = self._keys.rewrap(tenant, where, entry.value) if rewrap else None",
        bad="moved = self._keys.rewrap(tenant, where, entry.value)",
        tests=("tests/store/test_rewrap.py::test_looking_changes_nothing",),
    ),
    Row(
        promise="Batches of a rotation follow each other: together they see every record once.",
        file="sidecar/store/rewrap.py",
        good="if place > behind]",
        bad="if place >= behind]",
        tests=("tests/store/test_rewrap.py::test_batches_follow_each_other",),
    ),
    Row(
        promise="Each tenant has a key file of its own.",
        file="sidecar/key_places.py",
        good="return self.folder / file_name(tenant)",
        bad="return self.folder / DEFAULT",
        tests=(f"{TENANTS}::test_each_tenant_has_its_own_key",),
    ),
    Row(
        promise="A scoped sidecar holds the key of its tenant and nobody else's.",
        file="sidecar/key_places.py",
        good="if self.tenant is not None and tenant != self.tenant:",
        bad="if self.tenant is not None and not tenant:",
        tests=(f"{TENANTS}::test_a_scoped_sidecar_holds_one_key",),
    ),
    Row(
        promise="A record under a newer key opens at once: no call fails for a look that was a moment too early.",
        file="sidecar/adapters/tenant_keys.py",
        good="newer = self._keys(tenant, at_once=True)",
        bad="newer = self._keys(tenant)",
        tests=(f"{TENANTS}::test_a_record_under_a_newer_key_opens_at_once",),
    ),
    Row(
        promise="A key file gone wrong leaves the keys in use as they were.",
        file="sidecar/adapters/tenant_keys.py",
        good="    except KeyFileError as error:\n        if str(error) != held.told:",
        bad="    except FileExistsError as error:\n        if str(error) != held.told:",
        tests=(f"{TENANTS}::test_a_file_gone_wrong_leaves_the_keys",),
    ),
    Row(
        promise="A group may read a key file that is root's, no other.",
        file="sidecar/adapters/key_file.py",
        good="allowed = GROUP_READS if owner == 0 and us != 0 else 0",
        bad="allowed = GROUP_READS",
        tests=(f"{FILE}::test_who_may_read_a_key_file",),
    ),
    Row(
        promise="No key is repeated in the message about a malformed key file.",
        file="sidecar/adapters/key_file.py",
        good='line {number}: a line is `<id> <32 bytes in base64>`")',
        bad='line {number}: {words} is not `<id> <32 bytes in base64>`")',
        tests=(f"{FILE}::test_a_malformed_key_file_is_refused",),
    ),
    Row(
        promise="A key file that is there is never written over by a new one.",
        file="sidecar/adapters/key_file.py",
        good="path.hardlink_to(fresh)",
        bad="path.write_bytes(fresh.read_bytes())",
        tests=(f"{FILE}::test_a_key_file_is_made_once_and_private",),
    ),
    Row(
        promise="A key on standby opens, and seals nothing yet.",
        file="sidecar/adapters/key_file.py",
        good="return [*lines[:last], line, *lines[last:]] if standby else [*lines, line]",
        bad="return [*lines, line]",
        tests=(f"{FILE}::test_a_key_on_standby_opens_and_seals_later",),
    ),
)
