"""The types as a shop's own checkers see them, and as the package really is."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

TYPES = pathlib.Path(__file__).parent / "types"
PACKAGE = pathlib.Path(os.environ["PYTHONPATH"]) / "pos_connect"
STUB = str(PACKAGE / "__init__.pyi")
PAGES = [TYPES.parents[1] / "README.md", TYPES.parents[3] / "README.md"]
# What a shop has around the examples of the pages.
AROUND = """
import pos_connect as pos

contract_id = order_id = envelope_from_the_page = idempotency_key = str()
def ship(order_id: str) -> None: ...
def tell(advice: pos.ShopperAdvice) -> None: ...
def offer_to_pay_again(order_id: str) -> None: ...
def look_again_later(idempotency_key: str) -> None: ...

"""


def run(*words):
    settings = os.environ | {"MYPYPATH": str(PACKAGE.parent)}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=TYPES, env=settings, capture_output=True, text=True
    )


def mypy(*files):
    """The lines with errors, by file."""
    done = run(
        "mypy", "--config-file", "mypy.ini", "--no-error-summary", "--output", "json",
        "--cache-dir", os.devnull, *files,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return done, {(one["file"], one["line"]) for one in found if one["severity"] == "error"}


def pyright(*files):
    done = run("pyright", "--outputjson", "--project", "pyrightconfig.json", *files)
    found = json.loads(done.stdout)["generalDiagnostics"]
    lines = {
        (pathlib.Path(one["file"]).name, one["range"]["start"]["line"] + 1)
        for one in found
        if one["severity"] == "error"
    }
    return done, lines


class Types(unittest.TestCase):
    def test_what_is_right_is_accepted(self):
        for checker in [mypy, pyright]:
            done, lines = checker("accepted.py", STUB)
            self.assertEqual((done.returncode, lines), (0, set()), done.stdout + done.stderr)

    def test_what_the_pages_show_is_accepted(self):
        for page in PAGES:
            shown = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.M | re.S)
            self.assertTrue(shown, page)
            with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
                file.write(AROUND + "\n".join(shown))
                file.flush()
                for checker in [mypy, pyright]:
                    done, lines = checker(file.name)
                    self.assertEqual((done.returncode, lines), (0, set()), done.stdout)

    def test_each_mistake_is_refused(self):
        text = (TYPES / "refused.py").read_text().splitlines()
        marked = {
            ("refused.py", number)
            for number, line in enumerate(text, 1)
            if line.endswith("# refused")
        }
        self.assertGreater(len(marked), 25)
        for checker in [mypy, pyright]:
            done, lines = checker("refused.py")
            self.assertEqual(lines, marked, done.stdout + done.stderr)

    def test_they_tell_what_is_there(self):
        """mypy's own comparison of types with the module that they describe."""
        done = run(
            "mypy.stubtest", "pos_connect", "--mypy-config-file", "mypy.ini",
            "--allowlist", "stubtest-allowed.txt",
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
