"""What a provider's manifest may say: strict structs, facts only, no templates, expressions or inheritance.

An unknown key is an error. Paths into JSON are dotted (`error.code`, `errors.0.message`, `errors.*.message`).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from sidecar.fact import Fact, Scalar
from sidecar.kinds import Auth
from sidecar.model import Access, Reason


class FixedUrl(Fact, frozen=True, tag_field="kind", tag="fixed"):
    """One base URL for everybody."""

    url: str


class Subdomain(Fact, frozen=True, tag_field="kind", tag="subdomain"):
    """`https://<subdomain><suffix><path>`: the connection names the subdomain, one DNS label."""

    suffix: str
    path: str = ""


class SelfHosted(Fact, frozen=True, tag_field="kind", tag="self_hosted"):
    """The connection names the server (`https://tracker.example.com/redmine`); `default` serves where it does not."""

    path: str = ""
    default: str | None = None


class KeptUrl(Fact, frozen=True, tag_field="kind", tag="kept"):
    """The URL is known once the account is: `{name}` is a value that stayed with the connection (Atlassian's
    `https://api.atlassian.com/ex/jira/{cloud_id}`), or a field of its credential that is no secret (Twilio's
    `https://api.twilio.com/2010-04-01/Accounts/{username}`); `{name}` at the beginning is a whole URL (Salesforce's
    `{instance_url}`, DocuSign's `{base_uri}/restapi/v2.1/accounts/{account_id}`). The host of what comes out is that of
    `url`, or ends in one of `suffixes`.
    """

    url: str
    suffixes: tuple[str, ...] = ()


BaseUrl = FixedUrl | Subdomain | SelfHosted | KeptUrl


class Window(Fact, frozen=True):
    """At most `units` in any `seconds`."""

    units: int
    seconds: float


class TokenBucket(Fact, frozen=True):
    """A bucket as the provider declares it: `rate` units come back each second, up to `burst`."""

    rate: float
    burst: int


class Quota(Fact, frozen=True):
    """One budget that is kept before the provider's own: every window, the bucket and the slots hold at once.

    `scope` says whose budget it is. Each value of the inputs in `by` has one of its own (a call without them, or a raw
    request, uses one that such calls share), and so has each operation with `each_operation`. `operations` are glob
    patterns, `costs` units by pattern, the first that matches counts, else 1. `variation_ms`: by how much the way to
    the provider may vary. With `set_by_connection` the figures are the server's owner's, and a connection may say them.
    """

    name: str
    scope: Literal["app", "tenant", "connection", "account"]
    by: tuple[str, ...] = ()
    each_operation: bool = False
    windows: tuple[Window, ...] = ()
    bucket: TokenBucket | None = None
    concurrency: int | None = None
    operations: tuple[str, ...] = ("*",)
    costs: dict[str, int] = {}
    variation_ms: int = 20
    set_by_connection: bool = False

    def cost(self, operation: str) -> int:
        """Units that one exchange of this operation takes; 0 where the quota is not about it."""
        if not any(fnmatchcase(operation, pattern) for pattern in self.operations):
            return 0
        return next((units for pattern, units in self.costs.items() if fnmatchcase(operation, pattern)), 1)


Unit = Literal["seconds", "milliseconds", "epoch_seconds", "epoch_milliseconds", "date"]


class LimitTold(Fact, frozen=True):
    """Where answers say how one quota stands: in headers, or at paths of the body.

    `unit` is that of `reset`. `header`: what is said is about this quota only where these have these values. `policy`
    is its name in `RateLimit` and `RateLimit-Policy`, and takes the place of the other names. `fixed`: at `reset` all
    of it is there again.
    """

    quota: str
    place: Literal["header", "body"] = "header"
    limit: str | None = None
    remaining: str | None = None
    reset: str | None = None
    unit: Unit = "seconds"
    header: dict[str, str] = {}
    policy: str | None = None
    fixed: bool = False


class RetryAfter(Fact, frozen=True):
    """Where a limited answer says how long to wait: a header, or a path into the body."""

    unit: Unit
    header: str | None = None
    path: str | None = None


class SuccessTest(Fact, frozen=True):
    """A test of success beyond the status: the value at `path` of the body must equal `equals`. Where it does not,
    `code` and `message` are paths that say why, tried before those of `errors`.
    """

    path: str
    equals: Scalar | None
    code: tuple[str, ...] = ()
    message: tuple[str, ...] = ()


class ErrorRule(Fact, frozen=True):
    """What a failed answer means here when status, provider code and headers all match. The first match wins.

    Of a limited answer: `quota` is the one that it is about, `wait_seconds` how long to wait where it says no time.
    `done_before`: a thing with the id that the call chose is there, so that the call was done where it may have been
    sent before.
    """

    reason: Reason
    status: tuple[int, ...] = ()
    code: tuple[str, ...] = ()
    header: dict[str, str] = {}
    message: str | None = None
    hint: str | None = None
    quota: str | None = None
    wait_seconds: float | None = None
    done_before: bool = False


class Errors(Fact, frozen=True):
    """Where a failed answer keeps its parts: paths tried in order; `request_id` are header names."""

    code: tuple[str, ...] = ()
    message: tuple[str, ...] = ()
    request_id: tuple[str, ...] = ()
    rules: tuple[ErrorRule, ...] = ()


Told = Literal["body", "header"]  # what the next names are of: paths of the answer, or headers


class LinkPaging(Fact, frozen=True, tag_field="kind", tag="link"):
    """The next page is the `rel="next"` of the Link header (RFC 8288), or the URL at `path` of the answer, or in the
    header of that name. Of it the query counts alone: every page is asked of the operation's own path.
    """

    path: str | None = None
    told_in: Told = "body"


class CursorPaging(Fact, frozen=True, tag_field="kind", tag="cursor"):
    """The answer holds the next page's cursor at `path`; it is sent as query (or body) parameter `name`.

    `more` is the path of a flag that says whether there is a next page, `last` of one that says that there is none,
    where the cursor alone does not; or a page without `items` is the last.
    """

    path: str
    name: str
    place: Literal["query", "body"] = "query"
    told_in: Told = "body"
    more: str | None = None
    last: str | None = None
    items: str | None = None


class OffsetPaging(Fact, frozen=True, tag_field="kind", tag="offset"):
    """Items are counted, the first of all is number `first`: the next page starts at `offset + limit`. Where the answer
    does not say its `offset`, it is what was asked for; where it does not say its `limit`, its `items` are counted.

    There is a next page while that is below the `total`, or as the flag `more` or `last` says; with none of these,
    until a page has no `items`.
    """

    name: str
    place: Literal["query", "body"] = "query"
    told_in: Told = "body"
    first: int = 0
    offset: str | None = None
    limit: str | None = None
    total: str | None = None
    more: str | None = None
    last: str | None = None
    items: str | None = None


class PagePaging(Fact, frozen=True, tag_field="kind", tag="page"):
    """Pages are numbered from `first`. Where the answer does not say its `page`, it is what was asked for.

    There is a next page as the number of `pages` says, or the `total` of items and the `size` of a page, or the flag
    `more` or `last`; with none of these, until a page has no `items`.
    """

    name: str
    place: Literal["query", "body"] = "query"
    told_in: Told = "body"
    first: int = 1
    page: str | None = None
    pages: str | None = None
    total: str | None = None
    size: str | None = None
    more: str | None = None
    last: str | None = None
    items: str | None = None


Paging = LinkPaging | CursorPaging | OffsetPaging | PagePaging


class Schema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """The JSON Schema (2020-12) keywords that a manifest may use. An object that lists its properties is closed
    unless `additionalProperties` says otherwise.
    """

    type: str | tuple[str, ...] | None = None
    description: str | None = None
    enum: tuple[Any, ...] | None = None
    format: str | None = None
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    items: Schema | None = None
    min_items: int | None = None
    max_items: int | None = None
    properties: dict[str, Schema] | None = None
    required: tuple[str, ...] | None = None
    additional_properties: bool | Schema | None = None
    any_of: tuple[Schema, ...] | None = None
    content_encoding: Literal["base64"] | None = None
    examples: tuple[Any, ...] | None = None

    @property
    def is_bytes(self) -> bool:
        """Whether it is base64, or a list of such texts."""
        return self.content_encoding is not None or (self.items is not None and self.items.content_encoding is not None)


class Field(Schema, frozen=True):
    r"""One input of an operation: its schema, and where the provider wants it.

    `in: content` makes the value the whole body; `in: none` sends nothing by itself: the input hook or another input
    uses it. `name` is the provider's name when it differs; in a JSON body a dotted name is a path, and `\.` keeps a
    dot (`m\.relates_to.key`). `style` says how a list or a path value is written. Of a part of a multipart body,
    `fileName` and `nameFrom` name the inputs that hold its file name and its provider's name; a list of files is a part
    each, and has a list of names.
    """

    place: Literal["path", "query", "header", "body", "content", "none"] = msgspec.field(name="in")
    name: str | None = None
    name_from: str | None = None
    style: Literal["repeat", "comma", "brackets", "json", "segments"] | None = None
    file_name: str | None = None


class Fixed(Fact, frozen=True):
    """Values sent with every call of an operation. A list in a query or a form is repeated; `body: {}` is an empty JSON
    object.
    """

    query: dict[str, Scalar | list[Scalar]] = {}
    header: dict[str, str] = {}
    body: dict[str, Any] | None = None


class OperationHooks(Fact, frozen=True):
    """Names of functions in `hooks.py` (signatures in `sidecar/provider.py`)."""

    input: str | None = None
    output: str | None = None


class Operation(Fact, frozen=True):
    """One thing a provider can do, in our own words. `docs` is required here."""

    access: Access
    summary: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    input: dict[str, Field] = {}
    required: tuple[str, ...] = ()
    encoding: Literal["json", "form", "multipart", "raw"] = "json"
    content_type: str | None = None
    wrap: str | None = None
    fixed: Fixed = Fixed()
    returns: Literal["json", "nothing", "bytes", "location"] = "json"
    success: SuccessTest | tuple[SuccessTest, ...] = ()
    output: str | None = None
    paging: Paging | None = None
    repeatable: bool | None = None
    look_up: str | None = None
    hooks: OperationHooks = OperationHooks()

    @property
    def tests(self) -> tuple[SuccessTest, ...]:
        """Its own tests of success: `success` is one, or a list."""
        return (self.success,) if isinstance(self.success, SuccessTest) else self.success


class ProviderHooks(Fact, frozen=True):
    """Names of functions in `hooks.py` that serve every operation."""

    explain: str | None = None


class Verify(Fact, frozen=True):
    """The call that shows whether a credential works, and where its answer names the account."""

    operation: str
    account: str | None = None
    input: dict[str, Any] = {}


class Raw(Fact, frozen=True):
    """The raw request: switched on by being there. `headers` are those a caller may set, in lower case.

    `closed` are paths (glob patterns) whose answers hold credentials, which no agent may see: nothing is sent there.
    """

    headers: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()


class Idempotency(Fact, frozen=True):
    """Where the provider takes a key for which it does a write once: a header, or a parameter of the query.

    `operations` are glob patterns over the names of those that it does so for.
    """

    header: str | None = None
    query: str | None = None
    operations: tuple[str, ...] = ("*",)


class Manifest(Fact, frozen=True):
    """`provider.yaml`. `verify_as` is the verification for kinds of credential that cannot make the usual one."""

    format: Literal[1]
    name: str
    title: str
    version: str
    base_url: BaseUrl
    auth: tuple[Auth, ...]
    headers: dict[str, str] = {}
    quotas: tuple[Quota, ...] = ()
    limits_told: tuple[LimitTold, ...] = ()
    success: SuccessTest | None = None
    errors: Errors = Errors()
    retry_after: tuple[RetryAfter, ...] = ()
    verify: Verify | None = None
    verify_as: dict[str, Verify] = {}
    raw: Raw | None = None
    idempotency: Idempotency | None = None
    hooks: ProviderHooks = ProviderHooks()
    max_response_bytes: int | None = None
    unverified: tuple[str, ...] = ()
