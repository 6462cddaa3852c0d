"""Messages as people write and read them: composed as MIME, read out of Gmail's parts."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.charset import Charset
from email.header import Header
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import formataddr
from html.parser import HTMLParser
from typing import Any

from sidecar.provider import Explained

RETRY_AFTER = re.compile(r"Retry after (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?)Z")
OWN_DOMAIN = "gmail.com"
MAX_DEPTH = 30  # of parts in parts

# ---- What a limited answer says.


def explain(status: int, headers: Mapping[str, str], body: Any) -> Explained:  # noqa: ARG001 (the signature is fixed)
    """Google's word and sentence, and the moment to come back that stands in the sentence of a limited answer.

    https://developers.google.com/workspace/gmail/api/guides/handle-errors
    """
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return Explained()
    message = _text(error.get("message"))
    first = next((item for item in _list(error.get("errors")) if isinstance(item, dict)), {})
    return Explained(
        code=_text(first.get("reason")) or _text(error.get("status")), message=message, retry_at=_moment(message or "")
    )


def _moment(message: str) -> float | None:
    found = RETRY_AFTER.search(message)
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp() if found else None
    except ValueError:  # the 31st of February
        return None


# ---- Writing. https://developers.google.com/workspace/gmail/api/guides/sending


def composed(values: dict[str, Any]) -> dict[str, Any]:
    """The input with the whole message (RFC 5322, base64url) in place of its text. The same call makes the same bytes.

    No Date and no sender of ours: Gmail puts them in. Its id is made from the call's, so that it can be found again.
    """
    message = _body(values)
    sender = values.get("from", "")
    domain = sender.rstrip(">").rpartition("@")[2] or OWN_DOMAIN
    message["Message-ID"] = f"<{values['call_id']}@{domain}>"
    for name, people in (("From", [sender] if sender else []), *((key.title(), values.get(key, [])) for key in PEOPLE)):
        if people:
            message[name] = ", ".join(_address(item) for item in people)
    if "reply_to" in values:
        message["Reply-To"] = _address(values["reply_to"])
    if "subject" in values:
        message["Subject"] = _subject(values["subject"])
    if "in_reply_to" in values:
        message["In-Reply-To"] = values["in_reply_to"]
        chain = [item for item in values.get("references", []) if item != values["in_reply_to"]]
        message["References"] = " ".join([*chain, values["in_reply_to"]])
    whole = message.as_bytes(policy=compat32.clone(linesep="\r\n"))
    return {**values, "text": base64.urlsafe_b64encode(whole).decode()}


PEOPLE = ("to", "cc", "bcc")


def _body(values: Mapping[str, Any]) -> Message:
    """Text; with HTML both as alternatives; with attachments these in front of the files."""
    text: Message = _part("plain", values.get("text", ""))
    if "html" in values:
        text = _multipart("alternative", values, [text, _part("html", values["html"])])
    files = [_attachment(item) for item in values.get("attachments", [])]
    return _multipart("mixed", values, [text, *files]) if files else text


def _part(subtype: str, text: str) -> Message:
    """Text in UTF-8 and base64; its lines end as RFC 2046 section 4.1.1 wants it."""
    part = MIMENonMultipart("text", subtype)
    part.set_payload("\r\n".join(re.split("\r\n|\r|\n", text)), Charset("utf-8"))
    return part


def _multipart(subtype: str, values: Mapping[str, Any], parts: list[Message]) -> Message:
    """Parts behind each other. The boundary occurs in none of them: they are base64, which has no `_`."""
    return MIMEMultipart(subtype, f"=_{subtype}_{values['call_id']}", parts)


def _attachment(given: Mapping[str, str]) -> Message:
    kind, _, subtype = given.get("content_type", "application/octet-stream").partition("/")
    part = MIMEBase(kind, subtype)
    coded = base64.encodebytes(base64.b64decode(given["content"])).decode()
    part.set_payload(coded.replace("\n", "\r\n"))
    part["Content-Transfer-Encoding"] = "base64"
    name = given["file_name"]
    part.add_header("Content-Disposition", "attachment", filename=name if name.isascii() else ("utf-8", "", name))
    return part


def _subject(text: str) -> str:
    """The subject as a header (RFC 2047); what only looks encoded is encoded, so that it is shown as it stands."""
    return Header(text, "utf-8" if "=?" in text else None, header_name="Subject").encode()


def _address(text: str) -> str:
    """An address with its name, which may be of any letters (RFC 2047)."""
    name, _, address = text.rpartition("<")
    return formataddr((" ".join(name.split()).strip('" '), address.rstrip(">")))


# ---- Reading. https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages#Message


def readable_thread(body: Any) -> Any:
    """The conversation with each of its messages as `readable_message` shows it."""
    thread = _dict(body)
    return {"id": thread.get("id"), "messages": [readable_message(item) for item in _list(thread.get("messages"))]}


def readable_message(body: Any) -> Any:
    """Who wrote what to whom and when: the headers that matter, text and HTML decoded, attachments by id."""
    message = _dict(body)
    payload = _dict(message.get("payload"))
    headers = _headers(payload)
    texts: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    attachments: list[dict[str, Any]] = []
    for part in _leaves(payload):
        kind, content = _text(part.get("mimeType")) or "", _dict(part.get("body"))
        if kind in texts and not part.get("filename") and isinstance(content.get("data"), str):
            texts[kind].append(_decoded(content["data"], _headers(part).get("content-type", "")))
        elif content.get("attachmentId"):
            attachments.append(_listed(part, kind, content))
    plain, html = "\n".join(texts["text/plain"]), "\n".join(texts["text/html"])
    shown = {
        "id": message.get("id"),
        "thread_id": message.get("threadId"),
        "labels": _list(message.get("labelIds")),
        "received": _rfc3339(message.get("internalDate")),
        **{name.replace("-", "_"): headers[name] for name in SHOWN if name in headers},
        "text": plain or _text_of(html),
        "attachments": attachments,
    }
    if "message-id" in headers:
        shown["header_id"] = headers["message-id"]
    if "references" in headers:
        shown["references"] = headers["references"].split()
    return {**shown, "html": html} if html else shown


SHOWN = ("date", "from", "to", "cc", "bcc", "reply-to", "subject", "in-reply-to")


def attachment(body: Any) -> Any:
    """The bytes in usual base64, as messages.send takes them; Gmail gives the other alphabet."""
    given = _dict(body)
    return {"content": base64.b64encode(_bytes(given.get("data"))).decode(), "size": given.get("size")}


def _headers(part: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a part by name in lower case; of several the first."""
    found: dict[str, str] = {}
    for item in _list(part.get("headers")):
        name, value = (_text(_dict(item).get(key)) for key in ("name", "value"))
        if name and value:
            found.setdefault(name.lower(), value)
    return found


def _leaves(part: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The parts that hold something. A message in the message is one: it was sent along as a file."""
    inner = [item for item in _list(part.get("parts")) if isinstance(item, dict)]
    if not inner or part.get("filename") or depth == MAX_DEPTH:
        yield part
        return
    for item in inner:
        yield from _leaves(item, depth + 1)


def _listed(part: Mapping[str, Any], kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "attachment_id": content["attachmentId"],
        "file_name": part.get("filename") or None,
        "content_type": kind,
        "size": content.get("size"),
    }


def _decoded(data: str, content_type: str) -> str:
    """A part's text. UTF-8 where it is that; else the charset that the part names; ISO-2022-JP looks like ASCII."""
    content = _bytes(data)
    named = re.search(r'charset="?([A-Za-z0-9._:-]+)', content_type, re.IGNORECASE)
    charset = named[1] if named else "utf-8"
    for name in (charset, "utf-8") if b"\x1b" in content else ("utf-8", charset):
        try:
            return content.decode(name).replace("\r\n", "\n")
        except (UnicodeDecodeError, LookupError):
            continue
    return content.decode("latin-1").replace("\r\n", "\n")


def _bytes(data: Any) -> bytes:
    """Base64url, with or without padding; nothing where it is none."""
    text = data.rstrip("=") if isinstance(data, str) else ""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def _rfc3339(milliseconds: Any) -> str | None:
    try:
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (TypeError, ValueError, OverflowError, OSError):
        return None


class _Plain(HTMLParser):
    """What a reader sees of an HTML page: its words, a line for each block, the address behind a link's words."""

    HIDDEN = frozenset({"head", "script", "style", "title"})
    BLOCKS = frozenset({"blockquote", "br", "div", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "p", "table", "tr"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 (the signature is fixed)
        self._hidden += tag in self.HIDDEN
        if tag in self.BLOCKS:
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self.HIDDEN and self._hidden > 0
        if tag in self.BLOCKS:
            self.words.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(re.sub(r"\s+", " ", data))


def _text_of(html: str) -> str:
    reader = _Plain()
    with suppress(AssertionError):  # of a declaration that is none; what was read before it stays
        reader.feed(html)
        reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.words).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
