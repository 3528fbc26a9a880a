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
            . ' contract_id, envelope, idempotency_key, claimed_at INTEGER)');
    }

    /**
     * The payment itself. The key is stored with the order, so that whatever happens in between, the
     * same order is never paid twice.
     *
     * @return array{string, string} the state of the order, and a sentence for the shopper
     */
    private function pay(object $order): array
    {
        try {
            return $this->outcome($this->line->pay(
                new Order(
                    contractId: $order->contract_id,
                    orderId: $order->id,
                    amount: $order->amount,
                    currency: 'JPY',
                    envelope: $order->envelope,
                ),
                $order->idempotency_key,
            ));
        } catch (Error\AskForStatus) {
            return ['asking', 'We are asking the bank what became of your payment.'];
        } catch (Error $error) {
            $this->log($order->id, $error);

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
        $key = $id . '-' . bin2hex(random_bytes(4));
        // Written down before the call: after a crash the same key asks what became of it. Only where the order is new,
        // so that of two clicks one pays; and a second click brings the same envelope again, which is good for one payment.
        $claimed = $this->run(
            "UPDATE orders SET state = 'asking', contract_id = ?, envelope = ?, idempotency_key = ?, claimed_at = ?"
            . " WHERE id = ? AND state = 'new' AND envelope IS NOT ?",
            $contractId, $envelope, $key, time(), $id, $envelope,
        );
        if ($claimed->rowCount() === 1) {
            $this->settle($key, $this->pay($this->find($id)));
        }
    }

    /** Finds out what became of a payment that was open. A shopper may look as often as they like. */
    public function ask(object $order): object
    {
        $key = $order->idempotency_key;
        try {
            $this->settle($key, $this->outcome($this->line->resume($key)));
        } catch (Error\AskForStatus) {
        } catch (Error $error) {
            $this->log($order->id, $error);
            // Only two errors are the end of the payment: the proof that it was not made, and the server's refusal of
            // it, which has a request id. Others are about this question.
            if ($error->errorCode === 'not_made' || $error->requestId !== null) {
                $this->settle($key, self::NOT_MADE);
            } elseif ($error->errorCode === 'not_in_journal' && $this->claimAgain($key)) {
                $this->settle($key, $this->pay($order));
            }
        }

        return $this->find($order->id);
    }

    /** The same for every payment that is open, whether or not its shopper comes back. */
    public function settleOpen(): void
    {
        foreach ($this->run("SELECT * FROM orders WHERE state = 'asking'")->fetchAll(PDO::FETCH_OBJ) as $order) {
            $this->ask($order);
        }
    }

    /**
     * Whether a payment that never began is the caller's to make: the shop was killed when it had written the payment
     * down and not yet sent it. Not while whoever wrote it may be at it: no call takes a minute.
     */
    private function claimAgain(string $key): bool
    {
        return $this->run(
            "UPDATE orders SET claimed_at = ? WHERE idempotency_key = ? AND state = 'asking' AND claimed_at < ?",
            time(), $key, time() - 60,
        )->rowCount() === 1;
    }

    /**
     * Writes down what became of the payment under this key, unless that is known already.
     *
     * @param array{string, string} $outcome
     */
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
