"""Opens the shop on a test bed: a server, three institutions, and this shop registered with them."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent


def main():
    # The bed ends when its standard input closes, so with this program, however that ends.
    bed = subprocess.Popen(
        [os.environ["POS_TESTBED"]] if "POS_TESTBED" in os.environ else ["cargo", "xtask", "testbed"],
        cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    told = json.loads(bed.stdout.readline())
    unused, card = told["unregistered"][0], told["instruments"]["approve"]["instrument"]
    with tempfile.TemporaryDirectory() as folder:
        settings = os.environ | {
            "SHOP_FOLDER": folder,
            "SHOP_PASSWORD": "a password of my own choice",
            "POS_SERVER_URL": told["server"]["tls_url"],
            "POS_AUTHORITY": told["server"]["authority"],
            "POS_CA_PEM": told["server"]["ca_pem"],
        }
        flask = [sys.executable, "-m", "flask", "--app", "shop"]
        register = [*flask, "register", unused["user_id"], unused["code"]]
        subprocess.run(register, cwd=HERE, env=settings, check=True)
        print(
            f"\nA card that is approved: {card['number']},"
            f" {card['expiry_month']:02}/{card['expiry_year'] % 100},"
            f" security code {card['security_code']}\n",
            flush=True,
        )
        # Ctrl-C ends the shop; this program then tidies up.
        with contextlib.suppress(KeyboardInterrupt):
            subprocess.run([*flask, "run", *sys.argv[1:]], cwd=HERE, env=settings, check=False)
    bed.stdin.close()
    bed.wait()


if __name__ == "__main__":
    main()
