"""The sender: where requests go, what is known to have been sent, and what an answer may be."""

from __future__ import annotations

from tests.prove_red.row import Row

SSRF = "tests/sender/test_ssrf.py"
SENT = "tests/sender/test_sent.py"
POOL = "sidecar/adapters/http1_pool.py"
CONNECTION = "sidecar/adapters/http1_connection.py"
CONNECT = "sidecar/adapters/http1_connect.py"
ANSWER = "sidecar/adapters/http1_answer.py"
ANSWERS = "tests/sender/test_answer.py"
POOLED = "tests/sender/test_pool.py"

ROWS = (
    Row(
        promise="A name of which one address is refused is not called at all.",
        file=CONNECT,
        good="        for address in addresses:\n            why",
        bad="        for address in addresses[:1]:\n            why",
        tests=(f"{SSRF}::test_no_name_leads_inside",),
    ),
    Row(
        promise="The address that was checked is the one that is connected to, at every connection.",
        file=CONNECT,
        good="return [_info(address, origin.port) for address in addresses]",
        bad="return [_info(address, origin.port) for address in await self._lookup(origin.host, origin.port)]",
        tests=(f"{SSRF}::test_rebinding_does_not_lead_inside",),
    ),
    Row(
        promise="An inner address is refused however it is written as a host.",
        file=CONNECT,
        good="        if address is not None:\n            problem",
        bad="        if address is not None and not tls:\n            problem",
        tests=(f"{SSRF}::test_no_form_of_an_inner_address_is_called",),
    ),
    Row(
        promise="Plain http goes only where the operator said so.",
        file="sidecar/core/egress.py",
        good="    if clear_text:\n",
        bad="    if clear_text and not host:\n",
        tests=("tests/sender/test_egress.py::test_clear_text_to_a_public_address_is_refused",),
    ),
    Row(
        promise="Link-local addresses, where metadata services live, are refused.",
        file="sidecar/core/egress.py",
        good='        ("169.254.0.0/16", "link-local, where metadata services live (RFC 3927)"),\n',
        bad="",
        tests=("tests/sender/test_egress.py::test_what_python_calls_inner_is_refused",),
    ),
    Row(
        promise="An entry of the egress list for one port allows no other.",
        file="sidecar/core/egress.py",
        good="return any(address in network and only in {None, port} for network, only in self.networks)",
        bad="return any(address in network for network, _ in self.networks)",
        tests=("tests/sender/test_egress.py::test_what_an_entry_does_not_name_stays_refused",),
    ),
    Row(
        promise="A number that is no port does not lead to another port.",
        file=CONNECT,
        good="        if not 0 < port <= MOST_PORT:\n",
        bad="        if not 0 < port:\n",
        tests=(f"{SSRF}::test_a_number_that_is_no_port_is_not_called",),
    ),
    Row(
        promise="An address that takes connections and is silent does not hide the one that serves.",
        file=CONNECT,
        good="asyncio.timeout(self._connect_timeout / 2 if others else None)",
        bad="asyncio.timeout(None)",
        tests=(f"{POOLED}::test_an_address_that_is_silent_in_tls_does_not_take_all_the_time",),
    ),
    Row(
        promise="A URL with a user name is not called.",
        file=CONNECT,
        good="        if url.userinfo:\n",
        bad='        if url.userinfo and url.scheme == "http":\n',
        tests=(f"{SSRF}::test_a_url_with_a_user_is_not_called",),
    ),
    Row(
        promise="Certificates are checked.",
        file="sidecar/adapters/http1_sender.py",
        good="context = httpx.create_ssl_context()",
        bad="context = httpx.create_ssl_context(verify=False)",
        tests=("tests/sender/test_transport.py::test_certificates_are_checked_by_default",),
    ),
    Row(
        promise="Certificates are judged alike on every Python.",
        file="sidecar/adapters/tls.py",
        good="    context.verify_flags &= ~NEWER\n",
        bad="",
        tests=("tests/sender/test_transport.py::test_certificates_are_judged_alike_on_every_python",),
    ),
    Row(
        promise="A request that was read and not answered is unknown.",
        file="sidecar/adapters/http1_exchange.py",
        good="        self.sent = True\n",
        bad="",
        tests=(f"{SENT}::test_a_server_that_reads_and_closes_saw_one_request",),
    ),
    Row(
        promise="A status without its whole body was done.",
        file=ANSWER,
        good="self.status, self.version, self.framing = status, version, framing",
        bad="self.version, self.framing = version, framing",
        tests=(f"{SENT}::test_a_truncated_body_is_done",),
    ),
    Row(
        promise="A call does not go on after its failure: what was not sent at its deadline is discarded.",
        file=POOL,
        good="        connection.cut()\n",
        bad="        connection.transport.close()\n",
        tests=(f"{SENT}::test_a_request_half_written_at_its_deadline_is_cut",),
    ),
    Row(
        promise="What a server says unasked never becomes the answer to the next request.",
        file=CONNECTION,
        good="        if answer is None:\n            self.cut()\n",
        bad="        if answer is None:\n",
        tests=("tests/sender/test_hostile.py::test_bytes_nobody_asked_for_answer_no_request",),
    ),
    Row(
        promise="A server that says when it closes is believed.",
        file=POOL,
        good="min(self._keep_alive, idle - IDLE_MARGIN)",
        bad="min(self._keep_alive, idle + IDLE_MARGIN)",
        tests=(f"{SENT}::test_a_server_that_says_when_it_closes_is_believed",),
    ),
    Row(
        promise="An answer with more bytes behind it is refused.",
        file=ANSWER,
        good="        if self.ended:\n            self._refuse_more()\n        self._headers = []\n",
        bad="        if self.ended:\n            return\n        self._headers = []\n",
        tests=(f"{ANSWERS}::test_more_than_the_answer_in_one_piece_is_refused",),
    ),
    Row(
        promise="A server that goes on without saying anything is left before it has cost memory.",
        file=ANSWER,
        good="            if self._loose > MAX_HEAD and not self.ended:\n",
        bad="            if len(received) > MAX_HEAD and not self.ended:\n",
        tests=(f"{ANSWERS}::test_nothing_goes_on_without_end",),
    ),
    Row(
        promise="What a 1xx says of the connection does not cost the answer behind it.",
        file=ANSWER,
        good="            lenient_keep_alive=True,\n",
        bad="",
        tests=(f"{ANSWERS}::test_where_segments_end_makes_no_difference",),
    ),
    Row(
        promise="A transfer encoding that only one of two readers takes for chunks is refused.",
        file=ANSWER,
        good="        if self.framing.chunked is not self._counted:",
        bad="        if False:",
        tests=(f"{ANSWERS}::test_what_is_refused_is_refused_in_any_pieces",),
    ),
    Row(
        promise="A body of tiny gzip members does not stop the loop.",
        file="sidecar/adapters/bounded_body.py",
        good="range(0, len(chunk), SLICE):\n                reason = self._decode(chunk[start : start + SLICE])",
        bad="range(1):\n                reason = self._decode(chunk[start:])",
        tests=("tests/sender/test_bounded_body.py::test_a_crowd_of_members_costs_what_its_bytes_cost",),
    ),
    Row(
        promise="A NUL in a header is refused.",
        file=ANSWER,
        good='        if b"\\0" in value:\n',
        bad='        if b"\\0" in name:\n',
        tests=(f"{ANSWERS}::test_every_limit_is_exact",),
    ),
    Row(
        promise="A body that ends with its connection is not whole when the connection broke.",
        file=ANSWER,
        good="elif error is None and self.framing.length is None",
        bad="elif self.framing.length is None",
        tests=(f"{ANSWERS}::test_an_end_at_every_byte",),
    ),
    Row(
        promise="A server that answered before it took the whole request gets no second one on that connection.",
        file=CONNECTION,
        good="self._socket.poll(0) == self._clear",
        bad="self._socket.poll(0) in ([], self._clear)",
        tests=(f"{SENT}::test_an_unread_request_is_not_followed_by_another",),
    ),
    Row(
        promise="A kept connection that its server has ended is not written to, whether or not the loop has seen that.",
        file=POOL,
        good="until and connection.is_clear():",
        bad="until and not connection.closed:",
        tests=("tests/sender/test_kept.py::test_what_nobody_had_looked_at_is_seen",),
    ),
    Row(
        promise="Who leaves in the moment of its turn passes it on.",
        file=POOL,
        good="                self.put_back(connection)\n            raise\n",
        bad="                pass\n            raise\n",
        tests=(f"{POOLED}::test_who_leaves_passes_the_turn_on",),
    ),
    Row(
        promise="Hosts take turns at the limit of all connections.",
        file=POOL,
        good="(hungry is not line and hungry.slots < self._per_host)",
        bad="(hungry is not line and not hungry.waiting)",
        tests=(f"{POOLED}::test_hosts_take_turns_at_the_total_limit",),
    ),
    Row(
        promise="A place that a failed connection had is free again.",
        file=POOL,
        good="            if isinstance(opened, Failure):\n                self._release(line)\n",
        bad="            pass\n",
        tests=(f"{POOLED}::test_a_failed_connection_gives_its_turn_to_the_next",),
    ),
    Row(
        promise="Closing ends what is still being opened.",
        file=POOL,
        good="        self._connector.stop()\n",
        bad="",
        tests=(f"{POOLED}::test_closing_ends_a_look_up",),
    ),
    Row(
        promise="An opening that was cancelled leaves no connection for which closing would wait.",
        file=POOL,
        good="lambda: Pooled(self, line, self._loop))\n",
        bad="lambda: self._open.add(new := Pooled(self, line, self._loop)) or new)\n",
        tests=("tests/sender/test_cancel.py::test_closing_waits_for_no_opening_that_was_cancelled",),
    ),
    Row(
        promise="A server that closes its side is known to have ended now, not when our body has left.",
        file="sidecar/adapters/http1_connection.py",
        good='is known now, not when our own bytes have left."""\n        self._ended(None)\n',
        bad='is known now, not when our own bytes have left."""\n',
        tests=("tests/sender/test_flow.py::test_a_server_that_ends_while_we_write_is_told_at_once",),
    ),
    Row(
        promise="A decoded body of more than the limit is refused.",
        file="sidecar/adapters/bounded_body.py",
        good="        if self._size > self._limit:\n",
        bad="        if len(chunk) > self._limit:\n",
        tests=("tests/sender/test_bounded_body.py::test_the_limit_is_exact",),
    ),
    Row(
        promise="A body in gzip that ends before its stream does is truncated.",
        file="sidecar/adapters/bounded_body.py",
        good="if self._encoded and not self._member.eof:",
        bad="if self._encoded and not self._size:",
        tests=("tests/sender/test_bounded_body.py::test_a_stream_cut_short_is_truncated",),
    ),
    Row(
        promise="Unclear HTTP framing is refused.",
        file="sidecar/adapters/http1.py",
        good='    return b"" if name != name.strip() else None\n',
        bad="    return None\n",
        tests=("tests/sender/test_http1.py::test_a_head_of_two_meanings_is_refused",),
    ),
    Row(
        promise="No header of a request can become another.",
        file="sidecar/adapters/http1.py",
        good='!= 2 * (len(lines) - 1) or b" " in target:',
        bad='< 2 * (len(lines) - 1) or b" " in target:',
        tests=("tests/sender/test_http1.py::test_a_header_that_could_become_another_is_refused",),
    ),
    Row(
        promise="Who cancels sees a cancellation, not a time-out.",
        file="sidecar/adapters/deadline.py",
        good="if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:",
        bad="if self._expired and kind is asyncio.CancelledError:",
        tests=("tests/sender/test_deadline.py::test_a_cancellation_beside_the_deadline_wins",),
    ),
    Row(
        promise="Of many look-ups of one name one asks, and goes on when it is cancelled.",
        file="sidecar/adapters/dns.py",
        good="await asyncio.shield(asking)",
        bad="await asking",
        tests=(
            "tests/sender/test_dns.py::test_a_cancelled_asker_does_not_fail_the_others",
            "tests/sender/test_dns.py::test_a_silent_dns_server_is_asked_once_at_a_time",
        ),
    ),
)
