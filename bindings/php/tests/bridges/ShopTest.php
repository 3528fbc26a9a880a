<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;
use PosConnect\Connection;
use PosConnect\Error;
use PosConnect\HistoryQuery;
use PosConnect\KeyStatus;
use PosConnect\Native\ExtensionBridge;
use PosConnect\Native\FfiBridge;
use PosConnect\Native\Library;
use PosConnect\OperationKind;
use PosConnect\OperationState;
use PosConnect\PaymentState;
use PosConnect\Retry;
use PosConnect\Store;

require_once __DIR__ . '/../Bed.php';

/** A shop in PHP against a real server, over the bridge that this PHP has. */
final class ShopTest extends TestCase
{
    private static function bed(): Bed
    {
        return Bed::shared();
    }

    public function testTheBridgeIsTheOneThatWasAskedFor(): void
    {
        $wanted = ['extension' => ExtensionBridge::class, 'ffi' => FfiBridge::class];
        self::assertInstanceOf($wanted[getenv('POS_BRIDGE')], Library::bridge());
    }

    public function testFromRegistrationToAClosedConnection(): void
    {
        $unused = self::bed()->unregistered();
        $folder = self::bed()->folder();
        $line = new Connection(self::bed()->config(), Store::inFolder($folder));
        $registration = $line->register($unused['user_id'], Bed::PASSWORD, $unused['code']);
        self::assertCount(10, $registration->recoveryCodes);
        $dumped = print_r($registration, true) . json_encode($registration);
        self::assertStringContainsString($registration->shopId, $dumped);
        foreach ([$registration->panicCode, ...$registration->recoveryCodes] as $secret) {
            self::assertStringNotContainsString($secret, $dumped);
        }
        self::assertStringContainsString($registration->shopId, file_get_contents("$folder/keys.json"));
        $line->close();
        $error = self::caught(Error\FixTheRequest::class, fn () => $line->methods());
        self::assertSame('closed', $error->errorCode);
    }

    public function testAPaymentItsRepetitionAndARefund(): void
    {
        $line = self::bed()->line();
        $order = self::bed()->order('approve', 'php-1', 1200);
        $key = 'php-key-' . bin2hex(random_bytes(8));
        $paid = $line->pay($order, $key);
        self::assertSame(OperationState::Done, $paid->state);
        self::assertSame([1200, $key], [$paid->amount, $paid->idempotencyKey]);
        self::assertEquals($paid, $line->pay($order, idempotencyKey: $key));
        $refunded = $line->refund($paid->paymentId, 200, 'JPY');
        self::assertSame(OperationKind::Refund, $refunded->operation);
        $payment = $line->payment($paid->paymentId);
        self::assertSame(PaymentState::PartlyRefunded, $payment->state);
        self::assertSame([1200, 200], [$payment->captured, $payment->refunded]);
        self::assertSame(['sale', 'refund'], array_map(fn ($one) => $one->operation->value, $payment->operations));
        $found = $line->operation($key);
        self::assertInstanceOf(KeyStatus\Found::class, $found);
        self::assertSame($paid->operationId, $found->operation->operationId);
        self::assertInstanceOf(KeyStatus\Nothing::class, $line->operation('php-key-never-used-1'));
        $page = $line->history(new HistoryQuery(limit: 1));
        self::assertSame([$payment->paymentId], array_map(fn ($one) => $one->paymentId, $page->payments));
    }

    public function testADeclineIsNoError(): void
    {
        $declined = self::bed()->line()->pay(self::bed()->order('expired_card', 'php-2', 500));
        self::assertSame(OperationState::Declined, $declined->state);
        self::assertSame('expired_card', $declined->decline->reason);
        self::assertSame('カードの有効期限が切れています。', $declined->decline->textJa);
    }

    public function testAnErrorSaysAllThatTheServerSaid(): void
    {
        $line = self::bed()->line();
        $line->pay(self::bed()->order('approve', 'php-3', 100));
        $again = fn () => $line->pay(self::bed()->order('approve', 'php-3', 100));
        $error = self::caught(Error\FixTheRequest::class, $again);
        self::assertSame(['order_taken', 'order_id'], [$error->errorCode, $error->field]);
        self::assertSame($error->textEn, $error->getMessage());
        self::assertStringStartsWith('req_', $error->requestId);
        self::assertGreaterThanOrEqual(16, strlen($error->idempotencyKey));
    }

    public function testAServerThatIsNotThere(): void
    {
        $config = self::bed()->config(serverUrl: 'http://127.0.0.1:1', connectTimeoutS: 1, totalTimeoutS: 6);
        $line = new Connection($config, Store::inFolder(self::bed()->keysFolder()));
        $error = self::caught(Error\Wait::class, fn () => $line->methods());
        self::assertSame('server_unreachable', $error->errorCode);
        self::assertSame(Retry::SameKey, $error->retry);
    }

    public function testForkedChildrenPayOnTheConnectionOfTheirParent(): void
    {
        $line = self::bed()->line();
        self::assertCount(4, $line->methods()->contracts);
        $orders = array_map(fn ($n) => self::bed()->order('approve', "php-fork-$n", 100), range(0, 8));
        $children = [];
        foreach (range(0, 3) as $n) {
            $child = pcntl_fork();
            if ($child === 0) {
                // Ended hard when it hangs, so that the run can end.
                pcntl_alarm(60);
                $states = array_map(
                    fn ($order) => $line->pay($order)->state,
                    array_slice($orders, 2 * $n, 2),
                );
                // Neither the tests' own ends nor the parent's objects are this process's business.
                posix_kill(getmypid(), $states === array_fill(0, 2, OperationState::Done) ? SIGUSR1 : SIGKILL);
            }
            $children[] = $child;
        }
        self::assertSame(OperationState::Done, $line->pay($orders[8])->state);
        foreach ($children as $child) {
            pcntl_waitpid($child, $status);
            self::assertTrue(pcntl_wifsignaled($status));
            self::assertSame(SIGUSR1, pcntl_wtermsig($status));
        }
    }

    public function testAForkedChildEndsAsAnyOther(): void
    {
        // In a script of its own: a child of this one would end PHPUnit, too.
        $given = json_encode([
            'config' => array_filter(get_object_vars(self::bed()->config())),
            'folder' => self::bed()->keysFolder(),
        ], JSON_THROW_ON_ERROR);
        $extension = ['-d', 'extension=' . getenv('POS_EXTENSION'), '-d', 'pos_connect_bridge.library=' . Library::path()];
        $flags = getenv('POS_BRIDGE') === 'extension' ? $extension : [];
        $script = proc_open([PHP_BINARY, ...$flags, __DIR__ . '/fork.php', $given], [1 => ['pipe', 'w']], $pipes);
        $told = stream_get_contents($pipes[1]);
        self::assertSame(0, proc_close($script), $told);
        self::assertSame('{"exited":0,"signalled":null,"contracts":4}', $told);
    }

    public function testManyConnectionsLeaveNothingBehind(): void
    {
        $folder = self::bed()->keysFolder();
        $round = function () use ($folder): void {
            for ($n = 0; $n < 200; $n++) {
                $line = new Connection(self::bed()->config(), Store::inFolder($folder));
                self::caught(Error\FixTheRequest::class, fn () => $line->payment('none'));
            }
        };
        $round();
        [$php, $all] = [memory_get_usage(), self::resident()];
        for ($n = 0; $n < 10; $n++) {
            $round();
        }
        self::assertLessThan(64 * 1024, memory_get_usage() - $php);
        self::assertLessThan(8 * 1024 * 1024, self::resident() - $all);
    }

    private static function resident(): int
    {
        return 4096 * (int) explode(' ', file_get_contents('/proc/self/statm'))[1];
    }

    /**
     * @template T of Throwable
     * @param class-string<T> $class
     * @return T
     */
    private static function caught(string $class, Closure $call): Throwable
    {
        try {
            $call();
        } catch (Throwable $error) {
            self::assertSame($class, $error::class, $error->getMessage());

            return $error;
        }
        self::fail("no $class");
    }
}
