"""What operators have: commands, the embedded server, figures, traces, the doctor, setup, the manifests."""

from __future__ import annotations

from tests.prove_red.row import Row

SERVER = "tests/nats/test_server.py"
HTTP = "tests/operations/test_http.py"

ROWS = (
    Row(
        promise="Exit codes are stable: not found is 66.",
        file="sidecar/cli/failure.py",
        good="Code.NOT_FOUND: 66,",
        bad="Code.NOT_FOUND: 64,",
        tests=("tests/cli/test_failure.py::test_exit_codes_are_stable",),
    ),
    Row(
        promise="A secret that was given as an argument is refused, and not repeated.",
        file="sidecar/cli/secret.py",
        good='raise stop(USAGE, f"{where} starts like JSON and is not {SHAPE}") from None',
        bad='raise stop(USAGE, f"{bare} is not {SHAPE}") from None',
        tests=("tests/cli/test_connection.py::test_what_is_wrong_is_told_without_the_secret",),
    ),
    Row(
        promise="A data directory is for one process at a time.",
        file="sidecar/adapters/nats_directory.py",
        good="fcntl.flock(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        bad="fcntl.flock(ours, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        tests=(f"{SERVER}::test_refuses_a_directory_in_use",),
    ),
    Row(
        promise="The embedded server ends with its parent, however that ends.",
        file="sidecar/adapters/nats_process.py",
        good='while read -r _; do :; done\nkill -TERM "$server" 2>/dev/null\n',
        bad="while read -r _; do :; done\nexit 0\n",
        tests=(f"{SERVER}::test_ends_with_a_parent_that_was_killed",),
    ),
    Row(
        promise="A server that was left behind is stopped by the next start.",
        file="sidecar/adapters/nats_server.py",
        good="orphan = await stop_orphan(self._lock)",
        bad="orphan: int | None = None",
        tests=(f"{SERVER}::test_a_server_left_behind_is_stopped_by_the_next_start",),
    ),
    Row(
        promise="Nobody else may read the login of the embedded server.",
        file="sidecar/adapters/nats_directory.py",
        good="os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)",
        bad="os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)",
        tests=(f"{SERVER}::test_what_holds_the_password_is_private",),
    ),
    Row(
        promise="Writes reach the disk before they are acknowledged.",
        file="sidecar/adapters/nats_server.py",
        good='"sync_interval": "always"',
        bad='"sync_interval": "2m"',
        tests=(f"{SERVER}::test_writes_reach_the_disk_before_they_are_acknowledged",),
    ),
    Row(
        promise="The embedded server listens on loopback only.",
        file="sidecar/adapters/nats_server.py",
        good='HOST = "127.0.0.1"',
        bad='HOST = "0.0.0.0"',
        tests=(f"{SERVER}::test_is_ready_when_the_block_begins",),
    ),
    Row(
        promise="What callers make up is never a label of a figure.",
        file="sidecar/adapters/prometheus_metrics.py",
        good='            return "unknown"\n',
        bad="            return operation\n",
        tests=(f"{HTTP}::test_made_up_names_make_no_series",),
    ),
    Row(
        promise="The longest catalogue makes a bounded number of series.",
        file="sidecar/adapters/prometheus_metrics.py",
        good='            return "other"\n',
        bad="            self._operations.clear()\n",
        tests=(f"{HTTP}::test_the_longest_catalogue_makes_so_many_series",),
    ),
    Row(
        promise="An event that is lost is counted.",
        file="sidecar/trace/publish.py",
        good="            self._counters.trace_dropped()\n",
        bad="",
        tests=("tests/trace/test_publish.py::test_what_is_lost_is_said_and_counted",),
    ),
    Row(
        promise="An event that NATS took and JetStream does not have is counted.",
        file="sidecar/trace/proof.py",
        good="            if not taken:\n",
        bad="            if not taken and self._known:\n",
        tests=(
            "tests/trace/test_proof.py::test_what_nobody_took_is_counted_once",
            "tests/trace/test_proof.py::test_events_without_a_stream_are_counted",
        ),
    ),
    Row(
        promise="`started` counts as handed over only while NATS is there.",
        file="sidecar/trace/publish.py",
        good="        return self._bus.connected\n",
        bad="        return True\n",
        tests=("tests/trace/test_publish.py::test_whether_events_have_left_this_process",),
    ),
    Row(
        promise="What an operator makes up as a verb is not counted apart.",
        file="sidecar/admin.py",
        good='verb=address.verb if address.verb in VERBS else "unknown",',
        bad="verb=address.verb,",
        tests=("tests/admin/test_admin.py::test_a_verb_that_is_none",),
    ),
    Row(
        promise="`-` changes nothing anywhere: only a list spans.",
        file="sidecar/admin.py",
        good="if EVERY in (address.connection, address.provider):",
        bad="if EVERY in (address.provider,):",
        tests=("tests/admin/test_admin.py::test_only_a_list_spans",),
    ),
    Row(
        promise="`run` makes nothing: what is missing is said, and it does not start.",
        file="sidecar/app.py",
        good="        if not_there or isinstance(keys, str):\n",
        bad="        if isinstance(keys, str):\n",
        tests=("tests/app/test_fit.py::test_each_thing_that_is_missing_keeps_it_from_starting",),
    ),
    Row(
        promise="`setup` adds copies and never takes any away.",
        file="sidecar/adapters/nats_streams.py",
        good="for key, none in AT_LEAST.items() if config.get(key, none) < wanted[key]]",
        bad="for key, none in AT_LEAST.items() if config.get(key, none) != wanted[key]]",
        tests=("tests/nats/test_streams.py::test_copies_are_never_taken_away",),
    ),
    Row(
        promise="Sizes that an operator chose stay, but for `setup`.",
        file="sidecar/adapters/nats_streams.py",
        good="exact = [*ESSENTIAL, *(LIMITS if limits else ())]",
        bad="exact = [*ESSENTIAL, *LIMITS]",
        tests=("tests/nats/test_streams.py::test_sizes_that_an_operator_chose_stay",),
    ),
    Row(
        promise="`setup --check` changes nothing.",
        file="sidecar/cli/setup.py",
        good="said = anyio.run(_look if check else _make, settings)",
        bad="said = anyio.run(_make, settings)",
        tests=("tests/cli/test_setup.py::test_makes_what_is_missing_once",),
    ),
    Row(
        promise="The doctor fails a key file that others can read.",
        file="sidecar/cli/doctor_here.py",
        good='return fail("key", str(error), "keep',
        bad='return warn("key", str(error), "keep',
        tests=("tests/cli/test_doctor.py::test_a_key_that_others_can_read_fails",),
    ),
    Row(
        promise="The doctor finds a misspelt variable.",
        file="sidecar/cli/doctor_here.py",
        good="    for name in unknown_names(environment):\n        tell(_unknown(name))\n",
        bad="",
        tests=("tests/cli/test_doctor.py::test_it_reads_well",),
    ),
    Row(
        promise="A log record is one line.",
        file="sidecar/log.py",
        good="return json.dumps(line)  #",
        bad="return json.dumps(line, indent=1)  #",
        tests=("tests/operations/test_log.py::test_one_record_one_line",),
    ),
    Row(
        promise="The container's root cannot be written.",
        file="deploy/kustomize/components/sidecar/pod.yaml",
        good="readOnlyRootFilesystem: true",
        bad="readOnlyRootFilesystem: false",
        tests=("tests/deploy/test_manifests.py::test_a_container_may_do_nothing_special",),
    ),
    Row(
        promise="The image's process is not root.",
        file="deploy/Dockerfile",
        good="USER 10001:10001\n",
        bad="",
        tests=("tests/deploy/test_dockerfile.py::test_the_process_is_not_root_and_is_ended_by_sigterm",),
    ),
    Row(
        promise="A trace that a provider or caller wrote into does not steer the terminal.",
        file="sidecar/trace/show.py",
        good="plain(event.said.strip(), WIDE)",
        bad="event.said.strip()",
        tests=("tests/trace/test_show.py::test_nothing_from_outside_steers_the_terminal",),
    ),
)
