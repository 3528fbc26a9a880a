"""A pool of workers that was loaded before it forked, for the benchmark of bindings (tests/bench,
`language/pool.rs`)."""

import json
import os
import sys

import pos_connect as pos

WORKERS = 4

start = json.loads(sys.stdin.readline())
config = pos.Config(
    server_url=start["server_url"], authority=start["authority"], ca_pem=start["ca_pem"]
)
orders = [pos.Order(**order) for order in start["orders"]]
line = pos.BlockingConnection(config, pos.Store.in_folder(start["folder"]))
line.methods()


def held():
    with open("/proc/self/status") as status:
        kib = int(next(row for row in status if row.startswith("VmRSS:")).split()[1])
    files, threads = (len(os.listdir(f"/proc/self/{what}")) for what in ("fd", "task"))
    return {"kib": kib, "files": files, "threads": threads}


def work(mine):
    early = None
    for n, order in enumerate(mine, 1):
        paid = line.pay(order)
        if paid.state != pos.OperationState.DONE:
            raise RuntimeError(f"a payment that is {paid.state}")
        if n == len(mine) // 10:
            early = held()
    return {"paid": len(mine), "early": early, "late": held()}


pipes = []
for worker in range(WORKERS):
    told, tells = os.pipe()
    if os.fork() == 0:
        ended = 1
        try:
            os.write(tells, json.dumps(work(orders[worker::WORKERS])).encode())
            ended = 0
        finally:
            os._exit(ended)
    os.close(tells)
    pipes.append(told)
workers = [json.loads(os.read(told, 4096)) for told in pipes]
for _ in pipes:
    _, status = os.wait()
    if status != 0:
        sys.exit(f"a worker ended by {status}")
print(json.dumps(workers), flush=True)
