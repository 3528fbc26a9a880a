<?php

// What a shop's own page does: one request, one payment.

declare(strict_types=1);

use PosConnect\Connection;
use PosConnect\Config;
use PosConnect\Error;
use PosConnect\Native\Library;
use PosConnect\Order;
use PosConnect\Store;

require $_SERVER['POS_AUTOLOAD'];

header('content-type: application/json');
$told = ['process' => getmypid(), 'open' => count(scandir('/proc/self/fd'))];
try {
    $told['bridge'] = Library::bridge()::class;
    $asked = json_decode(file_get_contents('php://input'), true, flags: JSON_THROW_ON_ERROR);
    if (isset($asked['vault'])) {
        require __DIR__ . '/FatalVault.php';
        $store = Store::ofHost(new FatalVault($asked['vault']), $asked['folder']);
    } else {
        $store = Store::inFolder($asked['folder']);
    }
    $line = new Connection(new Config(...$asked['config']), $store);
    $operation = $line->pay(new Order(...$asked['order']), $asked['key']);
    $told += ['state' => $operation->state->value, 'operation' => $operation->operationId];
} catch (Error $error) {
    $told += ['error' => $error->errorCode];
} catch (Throwable $error) {
    $told += ['refused' => $error::class . ': ' . $error->getMessage()];
}
// What this worker holds in memory, for those who look whether it grows.
preg_match('/^VmRSS:\s+(\d+)/m', file_get_contents('/proc/self/status'), $resident);
$told['held'] = [
    'kib' => (int) $resident[1],
    'files' => count(scandir('/proc/self/fd')) - 2,
    'threads' => count(scandir('/proc/self/task')) - 2,
];
echo json_encode($told);
if (isset($asked['dies'])) {
    // Ends as a shop's faulty page does, while its objects are alive.
    trigger_error('a fault', E_USER_ERROR);
}
