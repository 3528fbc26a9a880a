"""The packages `openapi-spec-validator` and `jsonschema` as judges of docs/openapi.json.

The document must be an OpenAPI 3.1 document by the official schema, and its schemas must take every
request and answer of tests/vectors/wire.json, and refuse most of the bad requests: all that a schema
can say is wrong with them.

Prints `N passed, N failed`; the exit code is 1 when anything failed.
"""

import json
import sys
from pathlib import Path

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

ROOT = Path(__file__).resolve().parents[2]

# What no schema can say: that octets are no point of the curve, and what a number looks like.
BEYOND_A_SCHEMA = {
    "amount: a whole number written as a fraction",
    "amount: an exponent",
    "an amount with decimals for the yen",
    "a member twice",
    "key: its octets are no point of full order",
}


def main():
    document = json.loads((ROOT / "docs/openapi.json").read_text())
    vectors = json.loads((ROOT / "tests/vectors/wire.json").read_text())
    passed, failures = 0, []
    found = [str(error.message) for error in OpenAPIV31SpecValidator(document).iter_errors()]
    failures += [f"not OpenAPI 3.1: {error}" for error in found]

    def takes(kind, body):
        schema = {"$ref": f"#/components/schemas/{kind}", "components": document["components"]}
        return Draft202012Validator(schema).is_valid(body)

    cases = [(case, json.loads(case["body"]), True) for case in vectors["requests"]]
    cases += [(case, case["body"], True) for case in vectors["answers"]]
    for case in vectors["refused"]:
        if "body" in case and case["code"] == "invalid_field" and case["name"] not in BEYOND_A_SCHEMA:
            cases.append((case, json.loads(case["body"]), False))
    for case, body, is_good in cases:
        if takes(case["type"], body) == is_good:
            passed += 1
        else:
            failures.append(f"{case['type']}: {case['name']}: not {'taken' if is_good else 'refused'}")
    for failure in failures:
        print("FAILED", failure)
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
