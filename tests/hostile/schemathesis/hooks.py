"""Signs what schemathesis sends, as a shop of the test bed; told where and as whom by the environment."""

import base64
import hashlib
import json
import os
import time
from urllib.parse import urlsplit

import schemathesis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

AUTHORITY = os.environ["POS_AUTHORITY"]
KEY_ID = os.environ["POS_KEY_ID"]
KEY = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(os.environ["POS_SEED"] + "="))
PUBLIC = {"kty": "OKP", "crv": "Ed25519", "x": os.environ["POS_PUBLIC"]}


def signed(request):
    """The profile pos-connect/1 of docs/PROTOCOL.md over a request that is ready to be sent."""
    # It finds its own key among the shop's, and would revoke it.
    request.url = request.url.replace(f"/keys/{KEY_ID}/", f"/keys/{'A' * 43}/")
    target = urlsplit(request.url)
    for name in ("Signature", "Signature-Input", "Content-Digest"):
        request.headers.pop(name, None)
    body = request.body or b""
    body = body.encode() if isinstance(body, str) else body
    if target.path in ("/v1/registrations", "/v1/sessions"):
        body = with_own_key(body)
        request.body = body
        request.headers["Content-Length"] = str(len(body))
    lines = [("@method", request.method), ("@authority", AUTHORITY), ("@path", target.path)]
    lines.append(("@query", "?" + target.query))
    if body:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        request.headers["Content-Digest"] = f"sha-256=:{digest}:"
        request.headers["Content-Type"] = "application/json"
        lines.append(("content-digest", request.headers["Content-Digest"]))
        lines.append(("content-type", "application/json"))
    if "Idempotency-Key" in request.headers:
        lines.append(("idempotency-key", request.headers["Idempotency-Key"]))
    now = int(time.time())
    covered = " ".join(f'"{name}"' for name, _ in lines)
    parameters = f'({covered});created={now};expires={now + 30};keyid="{KEY_ID}";tag="pos-connect/1"'
    base = "".join(f'"{name}": {text(value)}\n' for name, value in lines)
    signature = KEY.sign(f'{base}"@signature-params": {parameters}'.encode())
    request.headers["Signature-Input"] = f"pos={parameters}"
    request.headers["Signature"] = f"pos=:{base64.b64encode(signature).decode()}:"
    return request


def with_own_key(body):
    """What signs these calls is the key in their body."""
    try:
        value = json.loads(body)
    except ValueError:
        return body
    return json.dumps(value | {"key": PUBLIC}).encode() if isinstance(value, dict) else body


def text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


@schemathesis.hook
def before_call(context, case, kwargs):
    """Behind everything else that schemathesis does to a call."""
    kwargs["auth"] = signed
