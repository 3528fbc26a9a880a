"""What the package promises by its names: none is missing, none prints a secret, all travel."""

import ast
import inspect
import pathlib
import pickle
import unittest

import pos_connect as pos
from pos_connect._native import pos_connect as native

PACKAGE = pathlib.Path(pos.__file__).parent
STUB = ast.parse((PACKAGE / "__init__.pyi").read_text())
SECRET = "4000-0000-secret"


def is_ours(name):
    """UniFFI makes a protocol of each object and a class for a storage that Rust would bring."""
    return not name.endswith(("Protocol", "Impl"))


class Surface(unittest.TestCase):
    def test_the_names_are_the_generated_ones(self):
        self.assertEqual(sorted(filter(is_ours, native.__all__)), sorted(pos.__all__))
        defined = {
            node.name
            for node in STUB.body
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_")
        }
        self.assertEqual(defined, set(pos.__all__))
        public = {name for name in vars(pos) if not name.startswith("_")}
        self.assertEqual(public, set(pos.__all__))

    def test_everything_is_documented_and_at_home(self):
        for name in pos.__all__:
            thing = getattr(pos, name)
            self.assertEqual(thing.__module__, "pos_connect", name)
            self.assertTrue(inspect.getdoc(thing), name)

    def test_documentation_names_what_is_there(self):
        for text in [(PACKAGE / "__init__.pyi").read_text(), inspect.getsource(native)]:
            for of, name in [("Retry", "SAME_KEY"), ("OperationState", "NOT_SENT")]:
                self.assertIn(f"`{name}`", text)
                self.assertTrue(hasattr(getattr(pos, of), name))
            for name in ["SameKey", "NewQuote", "Pending", "Declined", "NotSent"]:
                self.assertNotIn(f"`{name}`", text)

    def test_both_connections_have_the_same_verbs(self):
        def verbs(of):
            named = inspect.getmembers(of, inspect.isfunction)
            return {
                name: list(inspect.signature(verb).parameters)
                for name, verb in named
                if not name.startswith("_")
            }

        self.assertEqual(verbs(pos.Connection), verbs(pos.BlockingConnection))
        self.assertIn("pay", verbs(pos.Connection))

    def test_python_that_is_promised_can_read_every_file(self):
        files = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")]
        self.assertGreater(len(files), 3)
        for file in files:
            ast.parse(file.read_text(), str(file), feature_version=(3, 9))


class Printing(unittest.TestCase):
    def secrets(self):
        return [
            pos.Config(server_url="https://pos.example", proxy=f"http://u:{SECRET}@proxy"),
            pos.Registration(
                shop_id="shop_1",
                key_id="key_1",
                pos_ids=["pos_1"],
                recovery_codes=[SECRET],
                panic_code=SECRET,
            ),
            pos.Instrument.CARD(
                number=SECRET,
                expiry_year=2031,
                expiry_month=12,
                security_code=SECRET,
                holder=SECRET,
            ),
            pos.Instrument.ACCOUNT(
                bank=SECRET,
                branch=SECRET,
                kind=pos.AccountKind.ORDINARY,
                number=SECRET,
                holder_kana=SECRET,
                secret=SECRET,
            ),
            pos.Instrument.PREPAID(number=SECRET, pin=SECRET),
        ]

    def test_a_secret_is_never_printed(self):
        for one in self.secrets():
            for text in [str(one), repr(one), f"{one}", f"{[one]}"]:
                self.assertNotIn(SECRET, text)
                self.assertIn("***", text)
        self.assertNotIn("2031", str(self.secrets()[2]))

    def test_what_is_no_secret_is_printed(self):
        self.assertEqual(
            repr(self.secrets()[1]),
            "Registration(shop_id='shop_1', key_id='key_1', pos_ids=['pos_1'],"
            " recovery_codes=***, panic_code=***)",
        )
        self.assertIn("proxy=None", str(pos.Config(server_url="https://pos.example")))
        status = pos.KeyStatus.NOTHING(server_time_ms=7)
        self.assertEqual(str(status), "KeyStatus.NOTHING(server_time_ms=7)")

    def test_an_error_prints_its_sentence(self):
        with self.assertRaises(pos.Error.FixTheRequest) as caught:
            pos.Store.in_folder("")
        error = caught.exception
        self.assertEqual(str(error), "folder: must name a folder")
        self.assertTrue(repr(error).startswith("Error.FixTheRequest(code='invalid_field', text="))
        self.assertEqual(str(pos.KeyStorageError.Failed("it is locked")), "it is locked")


class Travelling(unittest.TestCase):
    """By `pickle`, as between the processes of a pool."""

    def test_an_error_arrives_with_its_fields(self):
        with self.assertRaises(pos.Error) as caught:
            pos.Store.in_folder("")
        error = caught.exception
        arrived = pickle.loads(pickle.dumps(error))
        self.assertIs(type(arrived), pos.Error.FixTheRequest)
        self.assertEqual(vars(arrived), vars(error))
        self.assertEqual(arrived.field, "folder")

    def test_records_and_words_arrive(self):
        for one in [
            pos.HistoryQuery(limit=3),
            pos.Instrument.PREPAID(number="1", pin=None),
            pos.KeyStatus.NOTHING(server_time_ms=7),
            pos.OperationState.DONE,
        ]:
            self.assertEqual(pickle.loads(pickle.dumps(one)), one)


class Storage(unittest.TestCase):
    def test_one_that_lacks_a_method_cannot_be_made(self):
        class Half(pos.KeyStorage):
            def load(self):
                return None

        for kind in [pos.KeyStorage, Half]:
            with self.assertRaises(TypeError):
                kind()


if __name__ == "__main__":
    unittest.main()
