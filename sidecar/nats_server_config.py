"""The settings of the nats-servers that we ship, and how a nats-server's configuration is written. Pure.

https://docs.nats.io/running-a-nats-service/configuration
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Config = dict[str, object]

CLUSTER = "sidecar"
CLIENT_PORT = 4222
ROUTE_PORT = 6222
MONITOR_PORT = 8222
MAX_PAYLOAD = 1024 * 1024
MEMORY_BYTES = 64 * 1024 * 1024
FILE_BYTES = 8 * 1024 * 1024 * 1024

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
COMMENT = "#"  # a key that begins so is a comment, and its value is nothing
INCLUDE = "include"
NOW = "always"


def server_settings(*, store_dir: str = "$NATS_STORE_DIR", sync_interval: str = NOW) -> Config:
    """What every server of ours has, alone or in a cluster."""
    return {
        "max_payload": MAX_PAYLOAD,
        "# Clients are told to go elsewhere before a server stops; a leader hands over first.": None,
        "lame_duck_grace_period": "2s",
        "lame_duck_duration": "30s",
        "# A sidecar that a network took away is given its share of the calls until the server's pings tell.": None,
        "ping_interval": "5s",
        "ping_max": 2,
        "jetstream": {
            "store_dir": store_dir,
            "max_memory_store": MEMORY_BYTES,
            "max_file_store": FILE_BYTES,
            "# The default writes to the disk every two minutes: a power cut would take acknowledged writes with it.": (
                None
            ),
            "sync_interval": sync_interval,
        },
    }


def cluster_settings(*, host: str, port: int, routes: Sequence[str], login: tuple[str, str]) -> Config:
    """How the nodes of a cluster find each other. `login` is user and password of the routes, one for all nodes; each
    route's URL holds it too.
    """
    user, password = login
    return {
        "name": CLUSTER,
        "listen": f"{host}:{port}",
        "routes": list(routes),
        "authorization": {"user": user, "password": password, "timeout": 5},
    }


def config_text(config: Mapping[str, object]) -> str:
    """The configuration as a nats-server reads it. A value that begins with `$` is taken from the environment."""
    return "".join(f"{line}\n" for line in _lines(config, ""))


def _lines(config: Mapping[str, object], indent: str) -> list[str]:
    lines: list[str] = []
    for key, value in config.items():
        if key.startswith(COMMENT):
            lines.append(f"{indent}{key}")
        elif key == INCLUDE:
            lines.append(f"{indent}{INCLUDE} {_value(value)}")
        elif isinstance(value, Mapping):
            lines += [f"{indent}{_key(key)} {{", *_lines(value, f"{indent}  "), f"{indent}}}"]
        elif isinstance(value, list | tuple) and value:
            lines += [f"{indent}{_key(key)}: [", *_items(value, f"{indent}  "), f"{indent}]"]
        else:
            lines.append(f"{indent}{_key(key)}: {_value(value)}")
    return lines


def _items(items: Sequence[object], indent: str) -> list[str]:
    lines: list[str] = []
    for item in items:
        if isinstance(item, Mapping) and any(isinstance(value, Mapping) for value in item.values()):
            lines += [f"{indent}{{", *_lines(item, f"{indent}  "), f"{indent}}}"]
        else:
            lines.append(f"{indent}{_value(item)}")
    return lines


def _key(key: str) -> str:
    return key if WORD.fullmatch(key) else _quoted(key)


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str() if value.startswith("$") and WORD.fullmatch(value[1:]):
            return value
        case str():
            return _quoted(value)
        case Mapping():
            return "{ " + ", ".join(f"{_key(key)}: {_value(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            raise TypeError(f"a nats-server's configuration has no {type(value).__name__}")


def _quoted(text: str) -> str:
    r"""Quoted, `\` and `"` escaped. Subjects, tokens and names have neither."""
    if not text.isprintable():
        raise ValueError("a nats-server's configuration has no control characters")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
