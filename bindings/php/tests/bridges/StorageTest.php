<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;
use PosConnect\Connection;
use PosConnect\Error;
use PosConnect\KeyStorage;
use PosConnect\KeyStorageError;
use PosConnect\Native\NotSupported;
use PosConnect\OperationState;
use PosConnect\Store;

require_once __DIR__ . '/../Bed.php';

/** A shop's own key storage: over FFI it is called, over the extension it is refused by name. */
final class StorageTest extends TestCase
{
    /** @param (Closure(): ?string)|null $load */
    private static function vault(?string $text, ?Closure $load = null): KeyStorage
    {
        return new class ($text, $load) implements KeyStorage {
            /** @var list<array<string, mixed>> who called `replace`, and with what */
            public array $trace = [];

            public function __construct(public ?string $text, private readonly ?Closure $load)
            {
            }

            public function load(): ?string
            {
                return $this->load === null ? $this->text : ($this->load)();
            }

            public function replace(#[SensitiveParameter] ?string $old, #[SensitiveParameter] string $new): bool
            {
                $this->trace = (new Exception())->getTrace();
                $isIt = $this->text === $old;
                $this->text = $isIt ? $new : $this->text;

                return $isIt;
            }
        };
    }

    private static function line(KeyStorage $vault): Connection
    {
        return new Connection(Bed::shared()->config(), Store::ofHost($vault, Bed::shared()->folder()));
    }

    private static function needsFfi(): void
    {
        if (getenv('POS_BRIDGE') !== 'ffi') {
            self::markTestSkipped('The extension calls no objects of PHP.');
        }
    }

    public function testTheExtensionRefusesItByName(): void
    {
        if (getenv('POS_BRIDGE') !== 'extension') {
            self::markTestSkipped('FFI calls it.');
        }
        $this->expectException(NotSupported::class);
        $this->expectExceptionMessage('Store::inFolder');
        self::line(self::vault(null));
    }

    public function testAServerOfThreadsRefusesItByName(): void
    {
        self::needsFfi();
        $script = proc_open([PHP_BINARY, __DIR__ . '/threads.php'], [1 => ['pipe', 'w']], $pipes);
        $told = stream_get_contents($pipes[1]);
        self::assertSame(0, proc_close($script), $told);
        self::assertStringStartsWith('A server of threads cannot lend', $told);
        self::assertStringContainsString('Store::inFolder', $told);
    }

    public function testItIsReadAndWritten(): void
    {
        self::needsFfi();
        $unused = Bed::shared()->unregistered();
        $vault = self::vault(null);
        $registration = self::line($vault)->register($unused['user_id'], Bed::PASSWORD, $unused['code']);
        self::assertStringContainsString($registration->shopId, $vault->text);
        $line = self::line(self::vault(Bed::shared()->moduleKeys()));
        $paid = $line->pay(Bed::shared()->order('approve', 'php-vault', 100));
        self::assertSame(OperationState::Done, $paid->state);
    }

    public function testNoTraceShowsWhatIsKept(): void
    {
        self::needsFfi();
        $unused = Bed::shared()->unregistered();
        $vault = self::vault(null);
        self::line($vault)->register($unused['user_id'], Bed::PASSWORD, $unused['code']);
        $key = json_decode($vault->text, true)['module_key'];
        $calls = array_filter($vault->trace, fn ($call) => str_starts_with($call['class'] ?? '', 'PosConnect\\'));
        self::assertGreaterThan(4, count($calls));
        foreach ($calls as $call) {
            array_walk_recursive($call['args'], function ($argument) use ($key, $call): void {
                self::assertStringNotContainsString($key, is_string($argument) ? $argument : '', $call['function']);
            });
        }
    }

    public function testOneThatThrowsIsTold(): void
    {
        self::needsFfi();
        $line = null;
        $ways = [
            'the vault is sealed' => fn () => throw new KeyStorageError\Failed('the vault is sealed'),
            'LogicException' => fn () => throw new LogicException('gone'),
            'RuntimeException' => fn () => throw new RuntimeException("\xFF"),
            'TypeError' => fn () => 5,
            'ValueError' => fn () => "\xFF",
            'FixTheRequest' => function () use (&$line) {
                return $line->methods();
            },
        ];
        foreach ($ways as $reason => $load) {
            $line = self::line(self::vault(null, $load));
            try {
                $line->methods();
                self::fail("$reason was not told");
            } catch (Error\GiveUp $error) {
                self::assertSame('key_store', $error->errorCode);
                self::assertStringContainsString($reason, $error->cause);
                // It may quote what was to be kept.
                self::assertStringNotContainsString('gone', $error->cause);
            }
        }
    }

    public function testItGoesWithTheLastThatHoldsIt(): void
    {
        self::needsFfi();
        $vault = self::vault(null);
        $held = WeakReference::create($vault);
        $line = self::line($vault);
        unset($vault);
        self::assertNotNull($held->get());
        unset($line);
        self::assertNull($held->get());
    }
}
