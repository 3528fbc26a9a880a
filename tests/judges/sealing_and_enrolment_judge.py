"""A second maker of every golden value of seal.json, enrolment.json and succession.json.

Written from docs/PROTOCOL.md and RFC 9180 alone, on the primitives of the package `cryptography`: no
code is shared with the product, HPKE's key schedule included. Every value that a stranger's client
would have to make is made here from the inputs of the case and compared with the file.

Prints `N passed, N failed`; the exit code is 1 when anything failed.
"""

import base64
import hashlib
import hmac
import json
import struct
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"
BOUND = ("institution", "contract_number", "operation", "order_id", "amount", "currency")

# RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
KEM_SUITE = b"KEM" + struct.pack(">H", 0x0020)
HPKE_SUITE = b"HPKE" + struct.pack(">HHH", 0x0020, 0x0001, 0x0003)


def text_of(octets):
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def octets_of(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def fields(*values):
    """Length-prefixed fields; texts and numbers as the page writes them."""
    octets = [value if isinstance(value, bytes) else str(value).encode() for value in values]
    return b"".join(struct.pack(">I", len(value)) + value for value in octets)


def sha256(octets):
    return hashlib.sha256(octets).digest()


def thumbprint(public):
    """RFC 7638: the members of the JWK in the order of their names."""
    return sha256(json.dumps(public, separators=(",", ":"), sort_keys=True).encode())


def extract(suite, salt, label, secret):
    key = salt or bytes(32)
    return hmac.digest(key, b"HPKE-v1" + suite + label + secret, "sha256")


def expand(suite, secret, label, info, length):
    """One block is enough: nothing here is longer than SHA-256."""
    labelled = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
    return hmac.digest(secret, labelled + b"\x01", "sha256")[:length]


def key_and_nonce(shared, enc, recipient, info):
    secret = extract(KEM_SUITE, b"", b"eae_prk", shared)
    secret = expand(KEM_SUITE, secret, b"shared_secret", enc + recipient, 32)
    no_psk = extract(HPKE_SUITE, b"", b"psk_id_hash", b"")
    context = b"\x00" + no_psk + extract(HPKE_SUITE, b"", b"info_hash", info)
    secret = extract(HPKE_SUITE, secret, b"secret", b"")
    key = expand(HPKE_SUITE, secret, b"key", context, 32)
    return key, expand(HPKE_SUITE, secret, b"base_nonce", context, 12)


def sealed(recipient, info, aad, plaintext, ikm):
    secret = expand(KEM_SUITE, extract(KEM_SUITE, b"", b"dkp_prk", ikm), b"sk", b"", 32)
    ephemeral = X25519PrivateKey.from_private_bytes(secret)
    enc = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    key, nonce = key_and_nonce(shared, enc, recipient, info)
    return enc, ChaCha20Poly1305(key).encrypt(nonce, plaintext, aad)


def opened(secret, info, aad, envelope):
    key = X25519PrivateKey.from_private_bytes(secret)
    enc = octets_of(envelope["enc"])
    shared = key.exchange(X25519PublicKey.from_public_bytes(enc))
    key, nonce = key_and_nonce(shared, enc, key.public_key().public_bytes_raw(), info)
    return ChaCha20Poly1305(key).decrypt(nonce, octets_of(envelope["ct"]), aad)


def info_and_aad(binding, envelope):
    bound = [binding[name] for name in BOUND]
    aad = sha256(fields(*bound, envelope["not_after_ms"], octets_of(envelope["rand"])))
    return fields("pos-connect/1 seal", binding["institution"], envelope["key_id"]), aad


def is_signed(public, octets, signature):
    try:
        key = Ed25519PublicKey.from_public_bytes(octets_of(public["x"]))
        key.verify(octets_of(signature), octets)
    except InvalidSignature:
        return False
    return True


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def same(self, what, made, written):
        made = text_of(made) if isinstance(made, bytes) else made
        if made == written:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {what}: {made!r} is not {written!r}")


def judge_seal(tally):
    file = json.loads((VECTORS / "seal.json").read_text())
    key, recipient = file["seal_key"], octets_of(file["seal_key"]["public"]["x"])
    tally.same("seal key id", thumbprint(key["public"]), key["key_id"])
    for case in file["sealed"]:
        name, envelope, entropy = case["name"], case["envelope"], octets_of(case["entropy"])
        made = dict(v=1, suite=1, key_id=key["key_id"], not_after_ms=case["not_after_ms"])
        made["rand"] = text_of(entropy[:16])
        info, aad = info_and_aad(case["binding"], made)
        plaintext = case["plaintext"].encode().ljust(512, b" ")
        enc, ct = sealed(recipient, info, aad, plaintext, entropy[16:])
        made |= {"enc": text_of(enc), "ct": text_of(ct)}
        tally.same(f"info: {name}", info, case["info"])
        tally.same(f"aad: {name}", aad, case["aad"])
        tally.same(f"envelope: {name}", made, envelope)
        parts = (enc, ct, entropy[:16], made["not_after_ms"])
        nullifier = sha256(fields("pos-connect/1 envelope", 1, 1, key["key_id"], *parts))
        tally.same(f"sha256: {name}", nullifier, case["sha256"])
    for case in file["must_not_open"]:
        # The others open, and what comes out is no instrument, or are for another key.
        if case["error"] == "not_for_this":
            info, aad = info_and_aad(case["binding"], case["envelope"])
            try:
                opened(octets_of(case["secret"]), info, aad, case["envelope"])
                found = "opened"
            except (InvalidTag, ValueError):
                found = "not_for_this"
            tally.same(f"must not open: {case['name']}", found, "not_for_this")
    judge_key_sets(file, tally)


def judge_key_sets(file, tally):
    good = [(file["key_set"], True)]
    bad = [(case, case["error"] != "bad_signature") for case in file["refused_key_sets"]]
    for case, is_good in good + bad:
        payload = octets_of(case["signed"]["payload"])
        octets = fields("pos-connect/1 seal key set", payload)
        found = is_signed(file["root"]["public"], octets, case["signed"]["signature"])
        tally.same(f"key set: {case.get('name', 'good')}", found, is_good)
    payload = json.loads(octets_of(file["key_set"]["signed"]["payload"]))
    tally.same("key set: payload", payload, file["key_set"]["payload"])
    for key in payload["keys"]:
        tally.same("key set: key id", thumbprint(key["public"]), key["key_id"])


def crc24(octets):
    """OpenPGP's, RFC 9580 section 6.1."""
    crc = 0xB704CE
    for octet in octets:
        crc ^= octet << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc.to_bytes(3, "big")


def judge_enrolment(tally):
    file = json.loads((VECTORS / "enrolment.json").read_text())
    for case in file["codes"]:
        secret, pin = octets_of(case["secret"]), thumbprint(case["answer_key"])[:16]
        tally.same("fingerprint", pin, case["fingerprint"])
        number = int.from_bytes(secret + pin + crc24(secret + pin), "big")
        digits = "".join(BASE32[number >> shift & 31] for shift in range(275, -1, -5))
        groups = [digits[at : at + 4] for at in range(0, 56, 4)]
        tally.same("printed code", "-".join(groups), case["printed"])
        seed = sha256(fields("pos-connect/1 enrolment key", secret))
        tally.same("enrolment key seed", seed, case["enrolment_key_seed"])
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        tally.same("enrolment key", public, case["enrolment_key"]["x"])
    case = file["registration"]
    octets = fields("pos-connect/1 registration", case["user_id"], octets_of(case["module_key"]["x"]))
    judge_proof("registration", octets, case["enrolment_key"], case, tally)
    case = file["key_roll"]
    keys = (octets_of(case["old"]["x"]), octets_of(case["new"]["x"]))
    judge_proof("key roll", fields("pos-connect/1 key roll", *keys), case["new"], case, tally)


def judge_succession(tally):
    file = json.loads((VECTORS / "succession.json").read_text())
    for case in file["statements"]:
        statement = case["statement"]
        keys = [octets_of(statement[side]["x"]) for side in ("predecessor", "successor")]
        at = struct.pack(">Q", statement["created_ms"])
        octets = fields("pos-connect/1 answer key succession", *keys, at)
        case = case | {"signature": statement["signature"]}
        judge_proof("statement", octets, statement["predecessor"], case, tally)


    for case in file["walks"]:
        believed = leads(case["pin"], case["statements"], case["offered"])
        tally.same(f"walk: {case['name']}", believed, case["error"] is None)


def leads(pin, statements, offered):
    """The rules of the page, in its order."""
    steps = [(each["predecessor"]["x"], each["successor"]["x"]) for each in statements]
    chain = [first for first, _ in steps] + [offered["x"]]
    known = [text_of(thumbprint(dict(offered, x=key))[:16]) for key in chain]
    return (
        len(steps) <= 64
        and [last for _, last in steps] == chain[1:]
        and len(set(chain)) == len(chain)
        and all(is_stated(each) for each in statements)
        and pin in known
    )


def is_stated(statement):
    keys = [octets_of(statement[side]["x"]) for side in ("predecessor", "successor")]
    at = struct.pack(">Q", statement["created_ms"])
    octets = fields("pos-connect/1 answer key succession", *keys, at)
    return is_signed(statement["predecessor"], octets, statement["signature"])


def judge_proof(what, octets, signer, case, tally):
    tally.same(f"{what}: octets", octets, case["octets"])
    tally.same(f"{what}: signature", is_signed(signer, octets, case["signature"]), True)


def main():
    tally = Tally()
    judge_seal(tally)
    judge_enrolment(tally)
    judge_succession(tally)
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
