"""Uploads and fixed lists from manifest to wire: proved by their case in the check, answered by the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.adapters.json_schema import compile_schema
from sidecar.adapters.yaml_file import read_yaml
from sidecar.catalogue.load import load_catalogue
from sidecar.ports import Formats
from sidecar.sandbox.check import check_provider
from sidecar.sandbox.read import all_cases
from sidecar.sandbox.server import Sandbox
from tests.sandbox.acme import DOCS, Acme

FORMATS = Formats(read_yaml, compile_schema)
PARTS: dict[str, Any] = {
    "expand": ["a", "b"],
    "image[]": [
        {"base64": "iVBORw==", "file_name": "a.png", "content_type": "image/png"},
        {"text": "hello", "file_name": "b.txt"},
    ],
}


def acme(parts: dict[str, Any]) -> Acme:
    """With an upload of several files, whose case expects these parts."""
    made = Acme()
    made.operations["images.edit"] = {
        "access": "write",
        "summary": "Edit images.",
        "docs": DOCS,
        "method": "POST",
        "path": "/images",
        "encoding": "multipart",
        "fixed": {"query": {"v": ["1", "2"]}, "body": {"expand": ["a", "b"]}},
        "input": {
            "images": {
                "in": "body",
                "name": "image[]",
                "fileName": "names",
                "type": "array",
                "items": {"type": "string", "contentEncoding": "base64"},
                "description": "The files in base64.",
            },
            "names": {"in": "none", "type": "array", "items": {"type": "string"}, "description": "Their names."},
        },
        "required": ["images"],
    }
    request = {"method": "POST", "path": "/images", "query": {"v": ["1", "2"]}, "multipart": parts}
    made.cases.append(
        {
            "name": "two images",
            "operation": "images.edit",
            "input": {"images": ["iVBORw==", "aGVsbG8="], "names": ["a.png", "b.txt"]},
            "exchanges": [{"request": request, "response": {"status": 200, "json": {"ok": True}}}],
            "expect": {"output": {"ok": True}},
        }
    )
    return made


def found(acme: Acme, folder: Path) -> list[str]:
    return [item.wrong for item in check_provider(acme.write(folder), FORMATS) if not item.note]


def test_a_case_proves_an_upload(tmp_path: Path) -> None:
    """Two parts of one name, with bytes, names and types."""
    assert found(acme(PARTS), tmp_path) == []


@pytest.mark.parametrize(
    "change",
    [
        {"image[]": ["iVBORw==", "hello"]},
        {"image[]": [PARTS["image[]"][0]]},
        {"image[]": [PARTS["image[]"][0], {"text": "hello", "file_name": "a.png"}]},
        {"expand": '["a","b"]'},
    ],
)
def test_a_case_that_says_another_upload_is_found(tmp_path: Path, change: dict[str, Any]) -> None:
    """Base64 for bytes, one part for two, another name, JSON for a list."""
    assert len(found(acme(PARTS | change), tmp_path)) == 1


@pytest.mark.anyio
async def test_the_sandbox_takes_any_such_upload(tmp_path: Path) -> None:
    """One that no case knows gets the answer of its operation, unless its fixed lists are not whole."""
    acme(PARTS).write(tmp_path)
    served = Sandbox(load_catalogue([tmp_path], FORMATS), all_cases([tmp_path], read_yaml))
    headers = {"authorization": "Bearer test-token"}
    files = [("image[]", ("c.png", b"\x00\xff")), ("image[]", ("d.png", b"x"))]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(served), base_url="http://127.0.0.1/acme", headers=headers
    ) as client:
        good = await client.post("/images?v=1&v=2", files=files, data={"expand": ["a", "b"]})
        wrong = await client.post("/images?v=1", files=files, data={"expand": ["a"]})
    assert (good.status_code, wrong.status_code) == (200, 400)
    assert "query parameter 'v' is '[\"1\",\"2\"]' in it" in wrong.json()["message"]
    assert '\'expand\' is ["a","b"] in its body' in wrong.json()["message"]
