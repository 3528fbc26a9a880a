<?php

// A shop that registers, seals and pays. It reads the test bed's one line from standard input.

declare(strict_types=1);

use PosConnect\Config;
use PosConnect\Connection;
use PosConnect\Instrument\Card;
use PosConnect\OperationState;
use PosConnect\Order;
use PosConnect\QuoteRequest;
use PosConnect\SealBinding;
use PosConnect\SealedOperation;
use PosConnect\Store;

use function PosConnect\seal;

// In the folder of the project that has the package installed.
require __DIR__ . '/vendor/autoload.php';

$bed = json_decode(fgets(STDIN) ?: '', true, flags: JSON_THROW_ON_ERROR);
['tls_url' => $url, 'authority' => $authority, 'ca_pem' => $ca] = $bed['server'];
$line = new Connection(new Config(serverUrl: $url, authority: $authority, caPem: $ca), Store::inMemory());
['user_id' => $userId, 'code' => $code] = $bed['unregistered'][0];
$line->register($userId, 'a password of my own choice', $code);

$quote = $line->quote(new QuoteRequest(orderId: 'order-1', amount: 1200, currency: 'JPY', method: 'card:visa'));

// What the shopper's page does: it seals the card to the institution of the quote.
$card = $bed['instruments']['approve']['instrument'];
$envelope = seal(
    new Card(
        number: $card['number'],
        expiryYear: $card['expiry_year'],
        expiryMonth: $card['expiry_month'],
        securityCode: $card['security_code'],
        holder: null,
    ),
    new SealBinding(
        institution: $quote->contract->institution,
        contractNumber: $quote->contract->contractNumber,
        operation: SealedOperation::Sale,
        orderId: 'order-1',
        amount: 1200,
        currency: 'JPY',
    ),
    $quote->sealKeys,
    $quote->contract->sealRoot,
);

$order = new Order(
    contractId: $quote->contract->contractId,
    orderId: 'order-1',
    amount: 1200,
    currency: 'JPY',
    envelope: $envelope,
);
$operation = $line->pay($order, 'order-1-sale-0001');
echo "order-1: {$operation->state->value}, $operation->doneAmount JPY\n";
exit($operation->state === OperationState::Done ? 0 : 1);
