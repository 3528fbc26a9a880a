<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;
use PosConnect\Native\Contract;
use PosConnect\Native\Library;

require_once __DIR__ . '/../Bed.php';

/** What a wrong installation is told, over each bridge: never a call into a library that is another. */
final class InstallTest extends TestCase
{
    private string $package;

    protected function setUp(): void
    {
        // A copy, in which things are put wrong.
        $this->package = Bed::shared()->folder() . '/package';
        $from = dirname(Library::path(), 3);
        self::run_(['cp', '-r', $from, $this->package]);
    }

    /** @return iterable<string, array{bool}> */
    public static function bridges(): iterable
    {
        yield 'over FFI' => [false];
        yield 'over the extension' => [true];
    }

    /** @dataProvider bridges */
    public function testAsItIsInstalledItWorks(bool $isExtension): void
    {
        self::assertSame('PosConnect\Store', $this->told($isExtension));
    }

    /** @dataProvider bridges */
    public function testAnAlteredChecksumIsRefused(bool $isExtension): void
    {
        $contract = "{$this->package}/src/Native/Contract.php";
        $text = file_get_contents($contract);
        foreach (Contract::CHECKSUMS as $symbol => $sum) {
            $altered = str_replace("'$symbol' => $sum,", "'$symbol' => " . ($sum ^ 1) . ',', $text, $count);
            self::assertSame(1, $count);
            file_put_contents($contract, $altered);
            self::assertStringContainsString("differs in $symbol", $this->told($isExtension));
        }
        file_put_contents($contract, preg_replace('/VERSION = \d+/', 'VERSION = 1', $text));
        self::assertStringContainsString('passes values in form', $this->told($isExtension));
        file_put_contents($contract, preg_replace('/RELEASE = \d+/', 'RELEASE = 1', $text));
        self::assertStringContainsString('is of release', $this->told($isExtension));
    }

    /** @dataProvider bridges */
    public function testALibraryThatLacksAFunctionIsRefused(bool $isExtension): void
    {
        $contract = "{$this->package}/src/Native/Contract.php";
        $text = file_get_contents($contract);
        $symbol = array_key_first(Contract::CHECKSUMS);
        file_put_contents($contract, str_replace("'$symbol'", "'{$symbol}_of_a_later_one'", $text));
        $told = $this->told($isExtension);
        self::assertStringContainsString("{$symbol}_of_a_later_one", $told);
        self::assertStringContainsString('of another version', $told);
    }

    public function testAMissingLibraryIsNamed(): void
    {
        unlink($this->library());
        self::assertStringContainsString($this->library(), $this->told(false));
        self::assertStringContainsString($this->library(), $this->told(true));
    }

    public function testAnExtensionWithoutItsSettingIsTold(): void
    {
        $told = $this->told(true, setting: '');
        self::assertStringContainsString('pos_connect_bridge.library = ' . $this->library(), $told);
        self::assertStringContainsString('the whole path', $this->told(true, setting: 'library.so'));
    }

    /** A script cannot choose what is loaded into the process, nor call what is no function of UniFFI. */
    public function testAScriptCannotLoadALibraryOfItsOwn(): void
    {
        self::assertSame('false', $this->told(true, "var_export(ini_set('pos_connect_bridge.library', '/lib/x.so'));"));
        $call = 'pos_connect_bridge_call("system", 0, [], $status);';
        self::assertStringContainsString('has no system', $this->told(true, $call));
        $calls = [
            'pos_connect_bridge_call("uniffi_ffibuffer_pos_connect_api_x", 2, [], $status);' => 'must be 0, 1 or 3',
            'pos_connect_bridge_call(PosConnect\Native\Contract::CALLS[0], 0, array_fill(0, 99, 1), $status);' => '64 words',
            'pos_connect_bridge_call(PosConnect\Native\Contract::CALLS[0], 0, [null], $status);' => 'integers and strings',
            'pos_connect_bridge_number("x", 64);' => 'must be 16 or 32',
            'pos_connect_bridge_free("system", 1);' => 'has no system',
            'pos_connect_bridge_lend("system", 1);' => 'has no system',
        ];
        foreach ($calls as $call => $told) {
            self::assertStringContainsString($told, $this->told(true, $call));
        }
    }

    private function library(): string
    {
        return str_replace(dirname(Library::path(), 3), $this->package, Library::path());
    }

    /** What a program prints that makes a store, or does something else, with the altered package. */
    private function told(bool $isExtension, ?string $does = null, ?string $setting = null): string
    {
        $does ??= 'echo PosConnect\Store::inMemory()::class;';
        $program = 'spl_autoload_register(fn ($class) => require ' . var_export("{$this->package}/src/", true)
            . " . strtr(substr(\$class, 11), '\\\\', '/') . '.php');"
            . "try { $does } catch (Throwable \$error) { echo \$error->getMessage(); }";
        $setting ??= $this->library();
        $extension = ['-d', 'extension=' . getenv('POS_EXTENSION'), '-d', "pos_connect_bridge.library=$setting"];

        return self::run_([PHP_BINARY, ...$isExtension ? $extension : [], '-r', $program]);
    }

    /** @param list<string> $command */
    private static function run_(array $command): string
    {
        $process = proc_open($command, [1 => ['pipe', 'w']], $pipes);
        $printed = stream_get_contents($pipes[1]);
        self::assertSame(0, proc_close($process), $printed);

        return $printed;
    }
}
