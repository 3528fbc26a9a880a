<?php

// Registers this shop's software with the code that the operator gave: `php register.php USER_ID CODE`.

declare(strict_types=1);

require __DIR__ . '/shop.php';

[, $userId, $code] = $argv + [1 => '', 2 => ''];
$password = getenv('SHOP_PASSWORD') ?: exit("SHOP_PASSWORD is not set\n");
$registration = (new Shop())->line->register($userId, $password, $code);
echo "registered as $registration->shopId. Write these down, they are shown once:\n";
foreach ($registration->recoveryCodes as $recoveryCode) {
    echo "  $recoveryCode\n";
}
echo "and to stop all payments: $registration->panicCode\n";
