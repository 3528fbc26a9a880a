<?php

// The shop that the benchmark of bindings drives (tests/bench, `language/shop.rs`).

declare(strict_types=1);

use PosConnect\Config;
use PosConnect\Connection;
use PosConnect\OperationState;
use PosConnect\Order;
use PosConnect\Store;

require getenv('POS_AUTOLOAD');

$start = json_decode(fgets(STDIN), true, flags: JSON_THROW_ON_ERROR);
$config = new Config(
    serverUrl: $start['server_url'],
    authority: $start['authority'],
    caPem: $start['ca_pem'],
);
$orders = $start['orders'];
$line = new Connection($config, Store::inFolder($start['folder']));
while (($asked = fgets(STDIN)) !== false) {
    [$what, $count] = explode(' ', trim($asked));
    $took = [];
    if ($what === 'pay') {
        for ($n = 0; $n < (int) $count; $n++) {
            $order = array_shift($orders);
            $began = hrtime(true);
            $paid = $line->pay(new Order(
                contractId: $order['contract_id'],
                orderId: $order['order_id'],
                amount: $order['amount'],
                currency: $order['currency'],
                envelope: $order['envelope'],
            ));
            $took[] = hrtime(true) - $began;
            if ($paid->state !== OperationState::Done) {
                exit('a payment that is ' . $paid->state->value);
            }
        }
    } else {
        $began = hrtime(true);
        for ($n = 0; $n < (int) $count; $n++) {
            $line->keyId();
        }
        $took[] = hrtime(true) - $began;
    }
    echo json_encode($took), "\n";
}
