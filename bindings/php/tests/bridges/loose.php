<?php

// A shop's file that does not say `strict_types`: PHP itself turns what it can into what is declared.

use PosConnect\Connection;
use PosConnect\Order;

return [
    'an order' => fn (mixed $amount) => new Order('con_01m8dggbr8rd0p7gfrza48tcna', 'order-1', $amount, 'JPY', '{}'),
    'a refund' => fn (mixed $amount, Connection $line) => $line->refund('pay_01m8dggbr8rd0p7gfrza48tcna', $amount, 'JPY'),
];
