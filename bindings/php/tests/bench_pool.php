<?php

// php-fpm's workers behind nginx, for the benchmark of bindings (tests/bench, `language/pool.rs`): each
// order is a request, and each request a payment.

declare(strict_types=1);

require getenv('POS_AUTOLOAD');
require __DIR__ . '/once/WebServer.php';

$start = json_decode(fgets(STDIN), true, flags: JSON_THROW_ON_ERROR);
$folder = $start['folder'] . '/web';
mkdir($folder);
$settings = getenv('POS_BRIDGE') === 'ffi' ? WebServer::byPreloading() : WebServer::byExtension();
$server = new WebServer($folder, $settings, life: 0);
$config = [
    'serverUrl' => $start['server_url'],
    'authority' => $start['authority'],
    'caPem' => $start['ca_pem'],
];
$request = fn (array $order) => [
    'config' => $config,
    'folder' => $start['folder'],
    'order' => [
        'contractId' => $order['contract_id'],
        'orderId' => $order['order_id'],
        'amount' => $order['amount'],
        'currency' => $order['currency'],
        'envelope' => $order['envelope'],
    ],
    'key' => 'pool-' . $order['order_id'],
];
$workers = [];
foreach (array_chunk($start['orders'], 250) as $orders) {
    foreach ($server->post(array_map($request, $orders), WebServer::WORKERS) as $answer) {
        if (($answer['state'] ?? null) !== 'done') {
            exit('a payment that is not done: ' . json_encode($answer));
        }
        $worker = &$workers[$answer['process']];
        $worker ??= ['paid' => 0, 'early' => null, 'late' => null];
        $worker['paid']++;
        $worker['late'] = $answer['held'];
        if ($worker['paid'] * WebServer::WORKERS * 10 >= count($start['orders'])) {
            $worker['early'] ??= $answer['held'];
        }
    }
}
if (str_contains($server->stop(), 'exited')) {
    exit('a worker ended');
}
echo json_encode(array_values($workers)), "\n";
