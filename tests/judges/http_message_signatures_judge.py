"""The package `http-message-signatures` as judge of the signing profile, in both directions.

It verifies every call and answer of tests/vectors/signatures.json that is good by RFC 9421, builds
their bases by its own code, and refuses those that were forged. What it signs itself, in its own
order of parameters, is committed as tests/vectors/strangers.json, which the Rust tests must accept;
Ed25519 is deterministic, so this script makes the file again and compares. `--write` writes it.

Prints `N passed, N failed`; the exit code is 1 when anything failed.
"""

import base64
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)
from http_message_signatures.digests import ContentDigest

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
STRANGERS = VECTORS / "strangers.json"
ANSWER_COMPONENTS = ("@status", "content-digest", "content-type", '"signature";req;key="pos"')

# Good by RFC 9421, but this library wants more (a keyid) or less (no parameter it does not know).
LIBRARY_RULES = {"without keyid", "with x"}


class Headers:
    """Header fields in their order, doubled ones kept."""

    def __init__(self, fields):
        self.fields = [(name.lower(), value) for name, value in fields]

    def items(self):
        return iter(self.fields)

    def __iter__(self):
        return iter([name for name, _ in self.fields])

    def __contains__(self, name):
        return any(each == name.lower() for each, _ in self.fields)

    def __getitem__(self, name):
        return ", ".join(value for each, value in self.fields if each == name.lower())

    def __setitem__(self, name, value):
        del self[name]
        self.fields.append((name.lower(), value))

    def __delitem__(self, name):
        self.fields = [field for field in self.fields if field[0] != name.lower()]


class Request:
    def __init__(self, method, authority, path, query, headers):
        self.method = method
        self.url = f"https://{authority}{path}" + (f"?{query}" if query else "")
        self.headers = Headers(headers)


class Response:
    def __init__(self, status, headers, request):
        self.status_code = status
        self.headers = Headers(headers)
        self.request = request


class OneKey(HTTPSignatureKeyResolver):
    """The receiver's record: whatever the keyid says, this is the key."""

    def __init__(self, seed):
        self.key = Ed25519PrivateKey.from_private_bytes(seed)

    def resolve_private_key(self, key_id):
        return self.key

    def resolve_public_key(self, key_id):
        return self.key.public_key()


class Verifier(HTTPMessageVerifier):
    """Leaves the times alone: the vectors bring their own clock, and freshness is our rule."""

    require_created = False

    def validate_created_and_expires(self, sig_input, max_age=None):
        pass


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, what, good, detail=""):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {what} {detail}")


def verify(message, seed, tag, body=None):
    """The base that was verified, or the reason why the message was refused."""
    verifier = Verifier(signature_algorithm=algorithms.ED25519, key_resolver=OneKey(seed))
    try:
        results = verifier.verify(message, max_age=None, expect_tag=tag, body=body)
    except Exception as refusal:  # Whatever the library raises, it has not accepted.
        return None, f"{type(refusal).__name__}: {refusal}"
    lines = results[0].covered_components.items()
    return "\n".join(f"{identifier}: {value}" for identifier, value in lines), ""


def sign(message, key, seed, label, tag, components, created_s, expires_s):
    at = lambda seconds: datetime.fromtimestamp(seconds, tz=timezone.utc) if seconds else None
    HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=OneKey(seed)).sign(
        message,
        key_id=key["id"],
        created=at(created_s),
        expires=at(expires_s),
        label=label,
        tag=tag,
        include_alg=False,
        covered_component_ids=components,
        use_existing_digest="content-digest" in message.headers,
    )


def plain_headers(vector):
    """The fields of a call before it is signed."""
    headers = []
    if vector["body"]:
        headers.append(("content-digest", ContentDigest.create(vector["body"].encode())))
        headers.append(("content-type", "application/json"))
    if vector["idempotency_key"] is not None:
        headers.append(("idempotency-key", vector["idempotency_key"]))
    return headers


def signature_headers(vector):
    return [("signature-input", vector["signature_input"]), ("signature", vector["signature"])]


def request_of(vector, headers, path=None):
    path = vector["path"] if path is None else path
    return Request(vector["method"], vector["authority"], path, vector["query"], headers)


def made_calls(vectors, seeds, tally):
    for call in vectors["calls"]:
        headers = plain_headers(call) + signature_headers(call)
        body = call["body"].encode()
        base, refusal = verify(request_of(call, headers), seeds[call["key"]], call["profile"], body)
        tally.check(f"call: {call['name']}", base == call["base"], refusal)
        other = request_of(call, headers, path="/elsewhere")
        base, _ = verify(other, seeds[call["key"]], call["profile"], body)
        tally.check(f"call elsewhere: {call['name']}", base is None)


def made_answers(vectors, seeds, tally):
    calls = {call["name"]: call for call in vectors["calls"]}
    for answer in vectors["answers"]:
        call = calls[answer["call"]]
        request = request_of(call, plain_headers(call) + signature_headers(call))
        headers = signature_headers(answer) + [
            ("content-digest", answer["content_digest"]),
            ("content-type", "application/json"),
        ]
        body, seed = answer["body"].encode(), seeds[answer["key"]]
        response = Response(answer["status"], headers, request)
        base, refusal = verify(response, seed, answer["profile"], body)
        tally.check(f"answer: {answer['name']}", base == answer["base"], refusal)
        forged = Response(answer["status"] + 1, headers, request)
        base, _ = verify(forged, seed, answer["profile"], body)
        tally.check(f"answer with another status: {answer['name']}", base is None)


def received_calls(vectors, seeds, tally):
    for call in vectors["received_calls"]:
        headers = [tuple(field) for field in call["headers"]]
        headers.append(("host", call["authority"]))
        if call["body"]:
            headers.append(("content-length", str(len(call["body"].encode()))))
        error = call.get("error")
        if call["is_rfc9421"] and call["name"] not in LIBRARY_RULES:
            # The signature is good, so that it is our rule which refuses (or accepts) the call.
            # Only where there are two signatures must the library be told which is meant.
            tag = call["profile"] if call["name"] == "two signatures" else None
            base, refusal = verify(request_of(call, headers), seeds[call["key"]], tag)
            tally.check(f"good by RFC 9421: {call['name']}", base is not None, refusal)
        if error in ("wrong_signature", "digest_mismatch"):
            base, _ = verify(
                request_of(call, headers), seeds[call["key"]], call["profile"], call["body"].encode()
            )
            tally.check(f"forged: {call['name']}", base is None)


def received_answers(vectors, seeds, tally):
    for answer in vectors["received_answers"]:
        request = Request("POST", "pos.example", "/", "", [
            ("signature", f"pos=:{answer['call_signature']}:"),
        ])
        headers = [tuple(field) for field in answer["headers"]]
        headers.append(("content-length", str(len(answer["body"].encode()))))
        response = Response(answer["status"], headers, request)
        error = answer.get("error")
        body = answer["body"].encode()
        base, refusal = verify(response, seeds[answer["key"]], answer["profile"], body)
        if error is None:
            tally.check(f"received answer: {answer['name']}", base is not None, refusal)
        elif error in ("wrong_signature", "digest_mismatch"):
            tally.check(f"forged answer: {answer['name']}", base is None)


def strangers(vectors, seeds):
    """Every call and answer of the vectors, signed by the library from the inputs alone."""
    keys = {key["name"]: key for key in vectors["keys"]}
    calls, requests, answers = [], {}, []
    for call in vectors["calls"]:
        request = request_of(call, plain_headers(call))
        components = ["@method", "@authority", "@path", "@query"]
        components += [name for name, _ in plain_headers(call)]
        sign(request, keys[call["key"]], seeds[call["key"]], "pos", call["profile"], components,
             call["created_s"], call["expires_s"])
        requests[call["name"]] = request
        calls.append({"call": call["name"], "headers": sorted(request.headers.items())})
    for answer in vectors["answers"]:
        headers = [
            ("content-digest", ContentDigest.create(answer["body"].encode())),
            ("content-type", "application/json"),
        ]
        response = Response(answer["status"], headers, requests[answer["call"]])
        key = answer["key"]
        sign(response, keys[key], seeds[key], "pos-answer", answer["profile"], ANSWER_COMPONENTS,
             answer["created_s"], None)
        answers.append({
            "answer": answer["name"],
            "call_signature": requests[answer["call"]].headers["signature"],
            "headers": sorted(response.headers.items()),
        })
    about = "Signed by the Python package http-message-signatures 3.0.0 from the inputs in " \
        "signatures.json: tests/judges/http_message_signatures_judge.py writes and checks this."
    content = {"about": about, "calls": calls, "answers": answers}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def main():
    vectors = json.loads((VECTORS / "signatures.json").read_text())
    padded = lambda text: text + "=" * (-len(text) % 4)
    seeds = {key["name"]: base64.urlsafe_b64decode(padded(key["seed"])) for key in vectors["keys"]}
    tally = Tally()
    made_calls(vectors, seeds, tally)
    made_answers(vectors, seeds, tally)
    received_calls(vectors, seeds, tally)
    received_answers(vectors, seeds, tally)
    theirs = strangers(vectors, seeds)
    if sys.argv[1:] == ["--write"]:
        STRANGERS.write_text(theirs)
    committed = STRANGERS.read_text() if STRANGERS.exists() else ""
    tally.check("strangers.json is what the library signs", committed == theirs)
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
