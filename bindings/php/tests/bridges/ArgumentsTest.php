<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;
use PosConnect\Config;
use PosConnect\Connection;
use PosConnect\Error;
use PosConnect\Instrument;
use PosConnect\Native\BridgeError;
use PosConnect\Order;
use PosConnect\SealBinding;
use PosConnect\SealedOperation;
use PosConnect\Store;

use function PosConnect\seal;
use function PosConnect\verify;

require_once __DIR__ . '/../Bed.php';

/** What is given wrongly is refused as PHP itself does it, or as the module does; nothing else happens. */
final class ArgumentsTest extends TestCase
{
    private const ORDER = [
        'contractId' => 'con_01m8dggbr8rd0p7gfrza48tcna',
        'orderId' => 'order-1',
        'amount' => 100,
        'currency' => 'JPY',
        'envelope' => '{}',
    ];

    /** @return iterable<string, array{class-string, array<string, mixed>, string}> */
    public static function orders(): iterable
    {
        $big = (float) 2 ** 63;
        yield 'a text for a number' => [TypeError::class, ['amount' => '100'], '$amount'];
        yield 'null for a number' => [TypeError::class, ['amount' => null], '$amount'];
        yield 'no number' => [TypeError::class, ['amount' => NAN], '$amount'];
        yield 'a broken number' => [TypeError::class, ['amount' => 1.5], '$amount'];
        yield 'two to the 63' => [TypeError::class, ['amount' => $big], '$amount'];
        yield 'a number for a text' => [TypeError::class, ['currency' => 392], '$currency'];
        yield 'null for a text' => [TypeError::class, ['envelope' => null], '$envelope'];
        yield 'a list for a text' => [TypeError::class, ['orderId' => ['x']], '$orderId'];
        yield 'an object for a text' => [TypeError::class, ['orderId' => new stdClass()], '$orderId'];
        yield 'a word for a flag' => [TypeError::class, ['allowPartial' => 'yes'], '$allowPartial'];
        yield 'below nothing' => [ValueError::class, ['amount' => -1], '$amount'];
        yield 'half a surrogate' => [ValueError::class, ['orderId' => "\xED\xA0\x80"], '$orderId'];
        yield 'octets that are no text' => [ValueError::class, ['currency' => "\xFF\xFE"], '$currency'];
        yield 'a field that is none' => [\Error::class, ['price' => 1], 'Unknown named parameter $price'];
    }

    public function testAnAmountIsNeverCutToAWholeOne(): void
    {
        // 12.3 times 100 is 1229.9999999999998 to PHP.
        foreach (require __DIR__ . '/loose.php' as $what => $given) {
            foreach ([12.5, 12.3 * 100, 1200.0, '12.5', '1e3'] as $amount) {
                try {
                    $given($amount, Bed::shared()->line());
                    self::fail("$what: $amount was taken");
                } catch (TypeError $refused) {
                    self::assertStringContainsString('$amount must be of type int, float given', $refused->getMessage());
                }
            }
        }
    }

    /** @dataProvider orders */
    public function testAnOrder(string $class, array $change, string $told): void
    {
        try {
            new Order(...[...self::ORDER, ...$change]);
            self::fail("no $class");
        } catch (Throwable $refused) {
            self::assertSame($class, $refused::class, $refused->getMessage());
            self::assertStringContainsString($told, $refused->getMessage());
        }
    }

    public function testAFieldThatIsMissing(): void
    {
        $this->expectException(ArgumentCountError::class);
        new Order(...array_diff_key(self::ORDER, ['envelope' => true]));
    }

    public function testWhatOnlyTheModuleKnows(): void
    {
        $line = Bed::shared()->line();
        $order = get_object_vars(Bed::shared()->order('approve', 'php-arguments', 100));
        $changes = [
            [['amount' => PHP_INT_MAX], 'amount'],
            [['amount' => 0], 'amount'],
            [['orderId' => ''], 'order_id'],
            [['orderId' => str_repeat('x', 1 << 20)], 'order_id'],
            [['currency' => 'YEN'], 'currency'],
            [['envelope' => str_repeat('{', 1 << 20)], 'envelope'],
        ];
        foreach ($changes as [$change, $field]) {
            try {
                $line->pay(new Order(...[...$order, ...$change]));
                self::fail("$field was not refused");
            } catch (Error\FixTheRequest $error) {
                self::assertSame($field, $error->field);
            }
        }
    }

    public function testArgumentsOfVerbs(): void
    {
        $line = Bed::shared()->line();
        self::refused(TypeError::class, fn () => $line->pay(null));
        self::refused(TypeError::class, fn () => $line->pay(new stdClass()));
        self::refused(ArgumentCountError::class, fn () => $line->pay());
        self::refused(TypeError::class, fn () => $line->capture('pay_x', '5', 'JPY'));
        self::refused(ValueError::class, fn () => $line->capture('pay_x', -5, 'JPY'));
        self::refused(ValueError::class, fn () => $line->payment("\xC0\x80"));
        self::refused(ValueError::class, fn () => $line->resume("\xED\xBF\xBF"));
        self::refused(Error\FixTheRequest::class, fn () => $line->payment(str_repeat('y', 1 << 20)));
        self::refused(Error\FixTheRequest::class, fn () => $line->payment("pay\0x"));
    }

    public function testListsAndMaps(): void
    {
        $config = fn (array $roots) => new Config(serverUrl: 'https://pos.example', sealRoots: $roots);
        self::refused(TypeError::class, fn () => $config(['a' => 1]));
        self::refused(TypeError::class, fn () => $config(['a' => null]));
        self::refused(ValueError::class, fn () => $config(['a' => "\xFF"]));
        self::refused(ValueError::class, fn () => $config(["\xFF" => 'a']));
        $key = Bed::shared()->told['server']['answer_key'];
        $verified = fn (array $headers) => verify($key, str_repeat("\0", 64), 200, $headers, '');
        self::refused(TypeError::class, fn () => $verified(['date' => 'today']));
        self::refused(TypeError::class, fn () => $verified(['date' => ['a' => 'today']]));
        self::refused(TypeError::class, fn () => $verified(['date' => [1]]));
        self::refused(Error\AskForStatus::class, fn () => $verified(['date' => ['today'], '7' => ['seven']]));
        self::refused(ValueError::class, fn () => verify('', '', 65536, [], ''));
        self::refused(Error\FixTheRequest::class, fn () => verify($key, "\xFF", 200, [], "\xFF"));
    }

    public function testAnInstrumentOfNoKind(): void
    {
        $binding = new SealBinding('bank', '1', SealedOperation::Sale, 'order', 100, 'JPY');
        self::refused(TypeError::class, fn () => seal(new Stranger(), $binding, '{}', ''));
        self::refused(TypeError::class, fn () => seal($binding, $binding, '{}', ''));
        self::refused(Error\FixTheRequest::class, fn () => seal(new Instrument\Prepaid('', null), $binding, '{}', ''));
        self::refused(ValueError::class, fn () => new Instrument\Card('4', 2030, 256, null, null));
        self::refused(ValueError::class, fn () => new Instrument\Card('4', -1, 1, null, null));
    }

    /** What was put together past the constructor is refused all the same: the library trusts a text. */
    public function testARecordThatNobodyChecked(): void
    {
        $made = unserialize('O:16:"PosConnect\Order":6:{s:10:"contractId";s:1:"c";s:7:"orderId";s:1:"' . "\xFF"
            . '";s:6:"amount";i:-1;s:8:"currency";s:3:"JPY";s:8:"envelope";s:2:"{}";s:12:"allowPartial";b:0;}');
        self::assertInstanceOf(Order::class, $made);
        self::refused(ValueError::class, fn () => Bed::shared()->line()->pay($made));
        $empty = (new ReflectionClass(Connection::class))->newInstanceWithoutConstructor();
        self::refused(\Error::class, fn () => $empty->methods());
    }

    public function testSecretsAreInNoDump(): void
    {
        $card = new Instrument\Card('4111111111111111', 2030, 1, '737', 'A HOLDER');
        ob_start();
        var_dump($card);
        print_r($card);
        echo json_encode($card);
        $shown = ob_get_clean();
        self::assertStringContainsString('(secret)', $shown);
        self::assertStringNotContainsString('4111', $shown);
        self::assertStringNotContainsString('737', $shown);
        self::assertStringNotContainsString('HOLDER', $shown);
        self::refused(LogicException::class, fn () => serialize($card));
        $plain = new Config(serverUrl: 'https://pos.example');
        self::assertEquals($plain, unserialize(serialize($plain)));
        $proxied = new Config(serverUrl: 'https://pos.example', proxy: 'http://me:word@proxy:1');
        self::assertStringNotContainsString('word', print_r($proxied, true));
        self::refused(LogicException::class, fn () => serialize($proxied));
    }

    public function testSecretsAreInNoTrace(): void
    {
        self::assertSame('0', ini_get('zend.exception_ignore_args'), 'the traces of this run hold no arguments');
        $line = Bed::shared()->line();
        $calls = [
            fn () => $line->login('nobody', 'my-pass-word'),
            fn () => $line->login('nobody', "my-pass-word\xFF"),
            fn () => $line->register('nobody', 'my-pass-word', 'my-pass-word'),
            fn () => new Instrument\Card('my-pass-word', 2030, 999, 'my-pass-word', null),
            fn () => new Instrument\Card("my-pass-word\xFF", 2030, 9, 'my-pass-word', null),
        ];
        foreach ($calls as $call) {
            try {
                $call();
                self::fail('nothing was refused');
            } catch (Error | ValueError $refused) {
                $frames = array_filter($refused->getTrace(), fn ($one) => ($one['class'] ?? '') !== self::class);
                foreach (array_slice($frames, 0, 6) as $frame) {
                    foreach ($frame['args'] ?? [] as $argument) {
                        self::assertStringNotContainsString('my-pass-word', print_r($argument, true));
                    }
                }
                self::assertStringNotContainsString('my-pass-word', (string) $refused);
            }
        }
    }

    public function testWhatStandsForAnObjectCannotBeStored(): void
    {
        $store = Store::inMemory();
        self::refused(LogicException::class, fn () => serialize($store));
        self::refused(LogicException::class, fn () => unserialize('O:24:"PosConnect\Native\Handle":0:{}'));
        self::refused(\Error::class, fn () => clone $store->handle);
        self::assertInstanceOf(RuntimeException::class, new BridgeError());
    }

    private static function refused(string $class, Closure $call): void
    {
        try {
            $call();
        } catch (Throwable $refused) {
            self::assertSame($class, $refused::class, $refused->getMessage());

            return;
        }
        self::fail("no $class");
    }
}

/** A variant that the library does not know. */
final readonly class Stranger extends Instrument
{
}
