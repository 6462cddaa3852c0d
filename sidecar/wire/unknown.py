"""What is wrong with JSON that may hold a secret, in words that repeat nothing of it."""

from __future__ import annotations

import msgspec

UNKNOWN = "unknown field"


def told_without_names(error: Exception, form: type[msgspec.Struct], what: str) -> str:
    """What msgspec says of `what`: places and types. The name of an unknown field, which may be a secret that slipped,
    is left out.
    """
    if not isinstance(error, msgspec.ValidationError):
        return f"{what} is not JSON"
    if UNKNOWN not in str(error):
        return str(error)
    return f"{what} has a field that is not known; fields are: {', '.join(form.__struct_encode_fields__)}"
