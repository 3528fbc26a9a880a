"""The shop that the benchmark of bindings drives (tests/bench, `language/shop.rs`)."""

import json
import sys
import time

import pos_connect as pos

start = json.loads(sys.stdin.readline())
config = pos.Config(
    server_url=start["server_url"], authority=start["authority"], ca_pem=start["ca_pem"]
)
orders = iter(start["orders"])
with pos.BlockingConnection(config, pos.Store.in_folder(start["folder"])) as line:
    for asked in sys.stdin:
        what, count = asked.split()
        took = []
        if what == "pay":
            for _ in range(int(count)):
                order = next(orders)
                began = time.perf_counter_ns()
                paid = line.pay(pos.Order(**order))
                took.append(time.perf_counter_ns() - began)
                if paid.state != pos.OperationState.DONE:
                    sys.exit(f"a payment that is {paid.state}")
        else:
            began = time.perf_counter_ns()
            for _ in range(int(count)):
                line.key_id()
            took.append(time.perf_counter_ns() - began)
        print(json.dumps(took), flush=True)
