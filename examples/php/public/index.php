<?php

// What the shop answers. Every request comes here: from `php -S`, or from php-fpm.

declare(strict_types=1);

use PosConnect\QuoteRequest;

require __DIR__ . '/../shop.php';

function redirect(string $orderId): never
{
    header("Location: /orders/$orderId", response_code: 303);
    exit;
}

function refuse(int $status): never
{
    http_response_code($status);
    exit;
}

/** @param array<string, mixed> $values */
function page(string $template, array $values = []): never
{
    extract($values);
    $yen = fn (int $amount): string => '¥' . number_format($amount);
    header('Content-Type: text/html; charset=utf-8');
    require __DIR__ . "/../pages/$template.php";
    exit;
}

/** A file for a browser: the page's script, or one of the npm package `pos-connect`. */
function send(string $folder, string $file): never
{
    $path = realpath("$folder/$file");
    $kind = ['js' => 'text/javascript', 'wasm' => 'application/wasm'][pathinfo($file, PATHINFO_EXTENSION)] ?? null;
    if ($path === false || $kind === null || !str_starts_with($path, realpath($folder) . '/')) {
        refuse(404);
    }
    header("Content-Type: $kind");
    readfile($path);
    exit;
}

[$method, $path] = [$_SERVER['REQUEST_METHOD'], rawurldecode(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) ?: '/')];
if ($path === '/pay.js') {
    send(__DIR__ . '/../../page', 'pay.js');
}
if (str_starts_with($path, '/pos-connect/')) {
    send(getenv('SEAL_FOLDER') ?: __DIR__ . '/../../node_modules/pos-connect', substr($path, strlen('/pos-connect/')));
}
if ($path === '/') {
    page('shelf', ['shelf' => Shop::SHELF]);
}

$shop = new Shop();
if ("$method $path" === 'POST /orders') {
    $article = (string) filter_input(INPUT_POST, 'article');
    isset(Shop::SHELF[$article]) ? redirect($shop->begin($article)) : refuse(404);
}
$order = preg_match('#^/orders/([\w-]+)$#', $path, $found) === 1 ? $shop->find($found[1]) : null;
if ($order === null) {
    refuse(404);
}
if ($method === 'POST') {
    $shop->paid($order->id, (string) filter_input(INPUT_POST, 'contract_id'), (string) filter_input(INPUT_POST, 'envelope'));
    redirect($order->id);
}

// The page that the shopper pays on, or that says how it went.
if ($order->state === 'asking') {
    $order = $shop->ask($order);
}
if ($order->state !== 'new') {
    page('order', ['order' => $order]);
}
$quote = $shop->line->quote(
    new QuoteRequest(orderId: $order->id, method: 'card:visa', amount: $order->amount, currency: 'JPY'),
);
$contract = $quote->contract ?? refuse(503);
page('pay', [
    'order' => $order,
    'contractId' => $contract->contractId,
    // All that `seal` takes but the card.
    'toSeal' => [
        'binding' => [
            'institution' => $contract->institution,
            'contract_number' => $contract->contractNumber,
            'operation' => 'sale',
            'order_id' => $order->id,
            'amount' => $order->amount,
            'currency' => 'JPY',
        ],
        'seal_keys' => $quote->sealKeys,
        'seal_root' => $contract->sealRoot,
    ],
]);
