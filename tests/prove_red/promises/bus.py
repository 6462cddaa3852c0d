"""The connection to NATS: it heals, what waits is bounded, and what cannot be healed ends the process."""

from __future__ import annotations

from tests.prove_red.row import Row

BUS = "tests/nats/test_bus.py"
MESSAGE = "tests/nats/test_message.py"
HEAL = "tests/nats/test_heal.py"
SUPERVISION = "tests/nats/test_supervision.py"

ROWS = (
    Row(
        promise="A message is handed over in the turn in which the socket brought it.",
        file="sidecar/adapters/nats_client.py",
        good="            read_at_once(reader, self, self._handed_over)\n",
        bad="            pass\n",
        tests=("tests/nats/test_bus.py::test_a_message_waits_for_no_turn_of_the_loop",),
    ),
    Row(
        promise="What nats-py has begun to read it reads to the end: no message overtakes another.",
        file="sidecar/adapters/nats_message.py",
        good="        if waits is not None and not state.buf and state.state == parser.AWAITING_CONTROL_LINE:\n",
        bad="        if not state.buf and state.state == parser.AWAITING_CONTROL_LINE:\n",
        tests=(f"{MESSAGE}::test_no_message_overtakes_another",),
    ),
    Row(
        promise="A message that was cut by the network is put together again.",
        file="sidecar/adapters/nats_message.py",
        good="        if waits is not None and not state.buf and state.state == parser.AWAITING_CONTROL_LINE:\n",
        bad="        if waits is not None and not state.buf:\n",
        tests=(f"{MESSAGE}::test_a_payload_is_no_message",),
    ),
    Row(
        promise="No write begins on a link that does not answer, however connected the client looks.",
        file="sidecar/adapters/nats_bus.py",
        good="return self._client.is_connected and not self._supervision.doubtful",
        bad="return self._client.is_connected",
        tests=(f"{HEAL}::test_no_write_begins_on_a_link_that_does_not_answer",),
    ),
    Row(
        promise="A link that does not answer is left for another.",
        file="sidecar/adapters/nats_supervision.py",
        good="if now - self._asked > self._pace.silent:",
        bad="if stuck and now - self._asked > self._pace.silent:",
        tests=(f"{SUPERVISION}::test_a_silent_link_is_doubted_and_then_left",),
    ),
    Row(
        promise="A message to ourselves counts as proof only when it is the one that was asked for.",
        file="sidecar/adapters/nats_supervision.py",
        good="if token and token == self._token:",
        bad="if token:",
        tests=(f"{SUPERVISION}::test_only_the_answer_to_the_last_question_is_proof",),
    ),
    Row(
        promise="When NATS stays away for the time stated, that is told, once.",
        file="sidecar/adapters/nats_supervision.py",
        good="if self.ill_seconds(now) > self._pace.heal and not self.given_up:",
        bad="if self.ill_seconds(now) > self._pace.heal and not connected and not self.given_up:",
        tests=(f"{SUPERVISION}::test_gives_up_on_a_link_that_only_looks_well",),
    ),
    Row(
        promise="Time in which this process itself stood still is not the link's fault.",
        file="sidecar/adapters/nats_supervision.py",
        good="        self._forgive(now)\n",
        bad="        self._ticked = now\n",
        tests=(f"{SUPERVISION}::test_our_own_pause_is_not_the_links_fault",),
    ),
    Row(
        promise="A process that lost NATS for good does not end with success.",
        file="sidecar/app.py",
        good="    if lifetime.lost is not None:\n        raise BusError(lifetime.lost)\n",
        bad="",
        tests=("tests/app/test_end.py::test_ends_when_nats_stays_away",),
    ),
    Row(
        promise="What waits for the nats-server is bounded; beyond it each message is refused and counted.",
        file="sidecar/adapters/nats_bus.py",
        good="if before > BUFFER_BYTES:",
        bad="if before > 4 * BUFFER_BYTES:",
        tests=(f"{HEAL}::test_there_is_an_end_to_what_waits",),
    ),
    Row(
        promise="A cancellation that leaks out of a callback does not end its subscription.",
        file="sidecar/adapters/nats_bus.py",
        good="except (Exception, asyncio.CancelledError):  # noqa: BLE001 - what leaks",
        bad="except Exception:  # noqa: BLE001 - what leaks",
        tests=(f"{BUS}::test_a_callback_that_raises_does_not_end_its_subscription",),
    ),
    Row(
        promise="A read loop that died is replaced.",
        file="sidecar/adapters/nats_client.py",
        good="if self.is_connected and not cancelled():",
        bad="if self.is_closed and not cancelled():",
        tests=(f"{BUS}::test_a_read_loop_that_died_is_replaced",),
    ),
    Row(
        promise="No message of a peer ends the connection.",
        file="sidecar/adapters/nats_client.py",
        good="        except Exception as error:  # noqa: BLE001 - whatever a message provokes",
        bad="        except errors.Error as error:  #",
        tests=(f"{BUS}::test_no_message_of_a_peer_ends_the_connection",),
    ),
    Row(
        promise="A late PONG does not end the connection.",
        file="sidecar/adapters/nats_client.py",
        good="with contextlib.suppress(asyncio.InvalidStateError):",
        bad="with contextlib.suppress(asyncio.TimeoutError):",
        tests=(f"{BUS}::test_a_late_pong_does_not_end_the_connection",),
    ),
    Row(
        promise="A `tls://` server without TLS is not given the password.",
        file="sidecar/adapters/nats_client.py",
        good='server.uri.scheme == "tls" and not',
        bad='server.uri.scheme == "wss" and not',
        tests=("tests/nats/test_connect.py::test_tls_is_never_given_up",),
    ),
    Row(
        promise="The words about a connection that failed hold no password.",
        file="sidecar/adapters/nats_bus.py",
        good='what = f"could not connect to NATS at {shown(url)}"',
        bad='what = f"could not connect to NATS at {url}"',
        tests=("tests/nats/test_connect.py::test_a_wrong_password_is_told_at_once_and_never_shown",),
    ),
    Row(
        promise="A drain hands over everything that was published before it.",
        file="sidecar/adapters/nats_bus.py",
        good="                await self._bus.round_trip(DRAIN_SECONDS)\n",
        bad="",
        tests=(f"{BUS}::test_drain_hands_over_what_was_received",),
    ),
    Row(
        promise="`handed_over` means that the kernel has it.",
        file="sidecar/adapters/nats_bus.py",
        good="while self.connected and client.queued - client.unwritten < mark:",
        bad="while self.connected and client.queued < mark:",
        tests=(f"{BUS}::test_handed_over_gives_up_when_the_server_takes_nothing",),
    ),
    Row(
        promise="No subject ends its line of the protocol.",
        file="sidecar/adapters/nats_client.py",
        good='or "\\r" in words or "\\n" in words or "\\t" in words:',
        bad='or "\\r" in words:',
        tests=(f"{BUS}::test_an_illegal_subject_is_refused",),
    ),
    Row(
        promise="No subject is two words of the protocol.",
        file="sidecar/adapters/nats_client.py",
        good='words.count(" ") > 1 + bool(reply) or',
        bad='words.count(" ") > 2 or',
        tests=(f"{BUS}::test_an_illegal_subject_is_refused",),
    ),
    Row(
        promise="No value of a header ends its line.",
        file="sidecar/adapters/nats_client.py",
        good='if block.count("\\r") + block.count("\\n") > 2 * (len(headers) + 2):',
        bad='if block.count("\\r") + block.count("\\n") > 20 * (len(headers) + 2):',
        tests=(f"{BUS}::test_a_header_stays_in_its_line",),
    ),
    Row(
        promise="What a broken socket does not take waits for the next connection.",
        file="sidecar/adapters/nats_client.py",
        good="if not transport.is_closing() and not transport.get_write_buffer_size() and",
        bad="if not transport.get_write_buffer_size() and",
        tests=(f"{BUS}::test_what_a_broken_socket_does_not_take_is_kept",),
    ),
    Row(
        promise="What goes along to the next connection is not told as lost.",
        file="sidecar/adapters/nats_client.py",
        good="        self._pending += lines\n",
        bad='        self._pending.append(b"".join(lines))\n',
        tests=(f"{BUS}::test_what_may_come_later_and_is_kept_is_not_lost",),
    ),
    Row(
        promise="Replies given to a connection that broke are counted as lost.",
        file="sidecar/adapters/nats_client.py",
        good="self._counts.lost += max(0, self.unproved - waiting)",
        bad="self._counts.lost += 0",
        tests=(f"{HEAL}::test_what_was_in_flight_when_the_server_died_is_counted",),
    ),
    Row(
        promise="A request whose reply cannot come any more fails with its connection, not at its time limit.",
        file="sidecar/adapters/nats_client.py",
        good='                future.set_exception(errors.Error("the connection broke before the reply came"))\n',
        bad="                continue\n",
        tests=(f"{BUS}::test_a_request_ends_with_its_connection",),
    ),
    Row(
        promise="A header with two values does not look as if it had one.",
        file="sidecar/adapters/nats_message.py",
        good="    if len(lines) > len(headers):\n",
        bad="    if len(lines) > 3 * len(headers):\n",
        tests=(f"{MESSAGE}::test_a_name_with_two_values_is_told",),
    ),
    Row(
        promise="A subject of a peer cannot name another subscription as its receiver.",
        file="sidecar/adapters/nats_client.py",
        good='parser.MSG_RE = re.compile(rb"\\AMSG[ \\t]+([^ \\t\\r\\n]+)',
        bad='parser.MSG_RE = re.compile(rb"\\AMSG\\s+([^\\s]+)',
        tests=(f"{MESSAGE}::test_a_subject_is_one_word",),
    ),
    Row(
        promise="Nor where we read it ourselves.",
        file="sidecar/adapters/nats_message.py",
        good='                _, subject, number, *reply, size = data[at:end].split(b" ")\n                head = 0\n',
        bad="                _, subject, number, *reply, size = data[at:end].split()\n                head = 0\n",
        tests=(f"{MESSAGE}::test_a_subject_is_one_word",),
    ),
)
