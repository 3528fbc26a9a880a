"""One payment from where the package is installed: the first thing that a shop tries."""

import tempfile

import pos_connect as pos
from bed import PASSWORD, Bed

bed = Bed()
unused = bed.told["unregistered"][0]
with tempfile.TemporaryDirectory() as folder:
    with pos.BlockingConnection(bed.config(), pos.Store.in_folder(folder)) as line:
        line.register(unused["user_id"], PASSWORD, unused["code"])
        order = bed.order("approve", "once-1", 1200, line=line)
        operation = line.pay(order)
        assert operation.state == pos.OperationState.DONE, operation
        print(f"paid {operation.done_amount} {operation.currency} from {pos.__file__}")
bed.close()
