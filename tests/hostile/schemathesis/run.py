"""schemathesis on docs/openapi.json, against the server of a test bed, signed: no status 500, no panic.

    python run.py PATH_OF_POS_TESTBED EXAMPLES_OF_EACH_OPERATION

Prints one line of figures; the exit code is 1 when a call met a fault of the server, or when too few of
them came past the signature.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[2] / "docs/openapi.json"
SEED = "20261127"
BEFORE_THE_BODY = ("signature_invalid", "signature_missing", "signature_stale", "key_unknown", "key_revoked")


def main():
    testbed, examples = sys.argv[1:]
    bed = subprocess.Popen([testbed], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        told = json.loads(bed.stdout.readline())
        generated = run(told, examples)
        return judge(Path(told["folder"]) / "pos-server.log", generated)
    finally:
        # It ends with its standard input, and takes server and institutions with it.
        bed.stdin.close()
        bed.wait()


def run(told, examples):
    key = told["shop"]["module_key"]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"),
        "POS_AUTHORITY": told["server"]["authority"],
        "POS_KEY_ID": key["key_id"],
        "POS_SEED": key["seed"],
        "POS_PUBLIC": key["public"],
    }
    program = Path(sys.executable).parent / "schemathesis"
    words = ["run", DOCUMENT, "--url", told["server"]["url"], "--checks", "not_a_server_error"]
    words += ["--max-examples", examples, "--seed", SEED, "--suppress-health-check", "all", "--no-color"]
    # It leaves a folder of notes where it runs.
    folder, output = told["folder"], subprocess.PIPE
    ran = subprocess.run([program, *words], env=environment, cwd=folder, stdout=output, text=True)
    found = re.search(r"(\d+) generated", ran.stdout)
    if ran.returncode or not found:
        print(ran.stdout)
        sys.exit("schemathesis found something, or did not run")
    return int(found[1])


def judge(log, generated):
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    panics = sum("a task panicked" in line["message"] for line in lines)
    faults = sum(line.get("status") == 500 for line in lines)
    codes = Counter(line["code"] for line in lines if "code" in line)
    stopped = sum(codes[code] for code in BEFORE_THE_BODY)
    print(f"hostile: schemathesis={generated} panics={panics} status_500={faults} seed={SEED}")
    print(f"hostile: not past the signature: {stopped}; the rest by code: {dict(codes.most_common(8))}")
    is_good = not panics and not faults and stopped < generated / 5
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
