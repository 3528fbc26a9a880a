"""The runner for Python (tests/scenarios/README.md): requests in, answers out, one line each.

python3 runner.py [--async]
"""

import asyncio
import base64
import enum
import inspect
import json
import re
import sys

import pos_connect as pos
from bed import Vault

REFUSALS = (TypeError, AttributeError, ValueError, OverflowError)
ODD = {
    "nan": float("nan"),
    "minus_one": -1,
    "two_to_63": 2**63,
    "lone_surrogate": "\ud800",
    "megabyte": "x" * 2**20,
    "bytes": b"\xff\xfe",
    "object": object(),
}


class Raising(pos.KeyStorage):
    def __init__(self, error):
        self.error = error

    def load(self):
        raise self.error

    def replace(self, old, new):
        raise self.error


STORAGES = {
    "memory": Vault,
    "raises": lambda text: Raising(pos.KeyStorageError.Failed(text)),
    "throws": lambda text: Raising(LookupError(text)),
}


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def from_json(value, kept):
    if isinstance(value, list):
        return [from_json(one, kept) for one in value]
    if not isinstance(value, dict):
        return value
    fields = {name: from_json(one, kept) for name, one in value.get("fields", {}).items()}
    if "record" in value:
        return getattr(pos, value["record"])(**fields)
    if "enum" in value:
        return getattr(pos, value["enum"])[value["value"].upper()]
    if "variant" in value:
        of, _, name = value["variant"].partition(".")
        return getattr(getattr(pos, of), name.upper())(**fields)
    if "kept" in value:
        return kept[value["kept"]]
    if "octets" in value:
        return base64.b64decode(value["octets"])
    if "odd" in value:
        return ODD[value["odd"]]
    if "storage" in value:
        return STORAGES[value["storage"]](value["text"])
    return {name: from_json(one, kept) for name, one in value.items()}


def to_json(value):
    if value is None or isinstance(value, (bool, int, str)) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, list):
        return [to_json(one) for one in value]
    fields = {name: to_json(one) for name, one in vars(value).items()}
    of, dot, variant = type(value).__qualname__.partition(".")
    return {"variant": of + dot + variant.lower(), "fields": fields} if dot else fields


def find(request, kept, connection):
    if "on" in request:
        return getattr(kept[request["on"]], request["call"])
    if request["call"] == "Connection":
        return connection
    found = pos
    for name in request["call"].split("."):
        found = getattr(found, name)
    return found


async def answer(request, kept, connection):
    if "drop" in request:
        del kept[request["drop"]]
        return {"value": None}
    try:
        arguments = {name: from_json(one, kept) for name, one in request["arguments"].items()}
        value = find(request, kept, connection)(**arguments)
        if inspect.isawaitable(value):
            value = await value
    except pos.Error as error:
        fields = {name: to_json(one) for name, one in vars(error).items() if name[0] != "_"}
        return {"error": {"kind": snake(type(error).__name__), **fields}}
    except REFUSALS as error:
        return {"refused": type(error).__name__}
    if "keep" in request:
        kept[request["keep"]] = value
        return {"kept": request["keep"]}
    return {"value": to_json(value)}


async def main():
    connection = pos.Connection if "--async" in sys.argv else pos.BlockingConnection
    kept = {}
    for line in sys.stdin:
        print(json.dumps(await answer(json.loads(line), kept, connection)), flush=True)


asyncio.run(main())
