<?php

// The shop: its orders, and the payment of one.

declare(strict_types=1);

use PosConnect\{Config, Connection, Error, Operation, OperationState, Order, ShopperAdvice, Store};

require __DIR__ . '/vendor/autoload.php';

final class Shop
{
    public const SHELF = ['tea' => ['Green tea, 100 g', 1200], 'cup' => ['A cup for it', 3400]];

    private const NOT_MADE = ['new', 'The payment was not made. Nothing was charged.'];

    public readonly Connection $line;

    private readonly PDO $orders;

    /** By the environment, because every installation differs in it. */
    public function __construct()
    {
        $setting = fn (string $name): ?string => getenv($name) === false ? null : getenv($name);
        $folder = $setting('SHOP_FOLDER') ?? throw new RuntimeException('SHOP_FOLDER is not set');
        $this->line = new Connection(
            new Config(
                serverUrl: $setting('POS_SERVER_URL') ?? throw new RuntimeException('POS_SERVER_URL is not set'),
                // These two are for a server that has no public name.
                authority: $setting('POS_AUTHORITY'),
                caPem: $setting('POS_CA_PEM'),
            ),
            Store::inFolder("$folder/pos"),
        );
        $this->orders = new PDO("sqlite:$folder/orders.db");
        $this->orders->exec('CREATE TABLE IF NOT EXISTS orders (id PRIMARY KEY, article, amount INTEGER, state, text,'
            . ' contract_id, envelope, idempotency_key)');
    }

    /**
     * The payment itself. The key is stored with the order, so that whatever happens in between, the
     * same order is never paid twice.
     *
     * @return array{string, string} the state of the order, and a sentence for the shopper
     */
    private function pay(Order $order, string $key): array
    {
        try {
            return $this->outcome($this->line->pay($order, $key));
        } catch (Error\AskForStatus) {
            return ['asking', 'We are asking the bank what became of your payment.'];
        } catch (Error $error) {
            $this->log($order->orderId, $error);

            return ['new', 'The payment could not be made. Nothing was charged.'];
        }
    }

    /** @return array{string, string} */
    private function outcome(Operation $operation): array
    {
        return match ($operation->state) {
            OperationState::Done => ['paid', 'Paid. Thank you!'],
            OperationState::Declined => ['new', match ($operation->decline->shopperAdvice) {
                ShopperAdvice::CheckDetails => 'Your bank refused. Please check the number and try again.',
                ShopperAdvice::TryLater => 'Your bank refused. Please try again later.',
                ShopperAdvice::TryAnother, ShopperAdvice::Other => 'Your bank refused. Please take another card.',
            }],
            OperationState::NotSent, OperationState::Reversed => self::NOT_MADE,
            default => ['asking', 'Your bank is still working on the payment.'],
        };
    }

    /** The number of a new order. */
    public function begin(string $article): string
    {
        [$name, $amount] = self::SHELF[$article];
        $id = sprintf('web-%d-%s', time(), bin2hex(random_bytes(4)));
        $this->run("INSERT INTO orders (id, article, amount, state) VALUES (?, ?, ?, 'new')", $id, $name, $amount);

        return $id;
    }

    public function find(string $id): ?object
    {
        return $this->run('SELECT * FROM orders WHERE id = ?', $id)->fetchObject() ?: null;
    }

    /** The shopper has clicked: pays, unless this order is being paid or the click is a second one. */
    public function paid(string $id, string $contractId, string $envelope): void
    {
        $amount = $this->find($id)->amount;
        $order = new Order(contractId: $contractId, orderId: $id, amount: $amount, currency: 'JPY', envelope: $envelope);
        $key = $id . '-' . bin2hex(random_bytes(4));
        // Written down before the call: after a crash the same key asks what became of it. Only where the order is new,
        // so that of two clicks one pays; and a second click brings the same envelope again, which is good for one payment.
        $claimed = $this->run(
            "UPDATE orders SET state = 'asking', contract_id = ?, envelope = ?, idempotency_key = ?"
            . " WHERE id = ? AND state = 'new' AND envelope IS NOT ?",
            $contractId, $envelope, $key, $id, $envelope,
        );
        if ($claimed->rowCount() === 1) {
            $this->settle($key, $this->pay($order, $key));
        }
    }

    /** Finds out what became of a payment that was open. It never pays: a shopper may look as often as they like. */
    public function ask(object $order): object
    {
        try {
            $this->settle($order->idempotency_key, $this->outcome($this->line->resume($order->idempotency_key)));
        } catch (Error $error) {
            if ($error->errorCode === 'not_made') {
                $this->settle($order->idempotency_key, self::NOT_MADE);
            } elseif (!$error instanceof Error\AskForStatus) {
                $this->log($order->id, $error);
            }
        }

        return $this->find($order->id);
    }

    /** @param array{string, string} $outcome */
    private function settle(string $key, array $outcome): void
    {
        $this->run("UPDATE orders SET state = ?, text = ? WHERE idempotency_key = ? AND state = 'asking'", ...[...$outcome, $key]);
    }

    private function run(string $statement, string|int ...$values): PDOStatement
    {
        $prepared = $this->orders->prepare($statement);
        $prepared->execute($values);

        return $prepared;
    }

    private function log(string $orderId, Error $error): void
    {
        error_log("$orderId: {$error->getMessage()} ($error->errorCode, $error->requestId)");
    }
}
