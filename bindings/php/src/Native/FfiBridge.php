<?php

declare(strict_types=1);

namespace PosConnect\Native;

use FFI;
use FFI\CData;
use FFI\CType;

/**
 * Over PHP's own FFI.
 *
 * @internal
 */
final class FfiBridge implements Bridge
{
    /** The largest number of words that arguments may take. */
    private const WORDS = 64;

    /** Signals, by their numbers on Linux. */
    private const QUIT = 3;
    private const KILL = 9;

    private const TYPES = <<<'C'
        typedef struct { uint64_t capacity; uint64_t length; void *data; } Octets;
        typedef struct { int8_t code; Octets error; } Status;
        typedef union { uint64_t word; void *pointer; int8_t small; } Cell;
        typedef struct { Cell code; Octets error; } Outcome0;
        typedef struct { uint64_t answer; Cell code; Octets error; } Outcome1;
        typedef struct { Octets answer; Cell code; Octets error; } Outcome3;

        C;

    private readonly FFI $ffi;
    private readonly CType $cells;

    /** @var array<int, CType> */
    private readonly array $outcomes;

    private readonly CType $octets;
    private readonly CData $status;

    /** @var array<class-string, CData> the tables that the library points at */
    private array $tables = [];

    /** @var array<int, object> what the library may call, by handle */
    private array $hosts = [];
    private int $last = -1;

    /** How many calls are under way, each in a callback of the one before. */
    private int $calls = 0;

    /** @throws FFI\Exception */
    public function __construct(string $library)
    {
        $this->ffi = FFI::cdef(self::declarations(), $library);
        $this->cells = $this->ffi->type('Cell[' . self::WORDS . ']');
        $this->outcomes = [
            self::NOTHING => $this->ffi->type('Outcome0'),
            self::WORD => $this->ffi->type('Outcome1'),
            self::OCTETS => $this->ffi->type('Outcome3'),
        ];
        $this->octets = $this->ffi->type('Octets');
        $this->status = $this->ffi->new('Status');
    }

    public function call(
        string $symbol,
        int $size,
        #[\SensitiveParameter] array $arguments,
        int &$status,
    ): int|string|null {
        $cells = $this->ffi->new($this->cells);
        $at = 0;
        foreach ($arguments as $one) {
            if (\is_int($one)) {
                $cells[$at++]->word = $one;
                continue;
            }
            $octets = $this->given($one);
            $cells[$at++]->word = $octets->capacity;
            $cells[$at++]->word = $octets->length;
            $cells[$at++]->pointer = $octets->data;
        }
        $outcome = $this->ffi->new($this->outcomes[$size]);
        $this->calls++;
        $this->ffi->{$symbol}($cells, FFI::addr($outcome));
        $this->calls--;
        $status = $outcome->code->small;
        if ($status !== 0) {
            return $this->taken($outcome->error);
        }

        return match ($size) {
            self::NOTHING => null,
            self::WORD => $outcome->answer,
            default => $this->taken($outcome->answer),
        };
    }

    public function lend(string $symbol, int $handle): int
    {
        return $this->ffi->{$symbol}($handle, FFI::addr($this->status));
    }

    public function free(string $symbol, int $handle): void
    {
        $this->calls++;
        $this->ffi->{$symbol}($handle, FFI::addr($this->status));
        $this->calls--;
    }

    public function number(string $symbol, int $bits): int
    {
        return $this->ffi->{$symbol}();
    }

    public function host(string $interface, object $host): int
    {
        if (PHP_ZTS) {
            // A fatal error in it ends the process (`end`), and here that is every thread's.
            throw new NotSupported(
                "A server of threads cannot lend out a program's own $interface. Keep keys in a folder "
                . '(`Store::inFolder`), or use a PHP without threads.',
            );
        }
        $this->tables[$interface] ??= $this->table($interface);

        return $this->keep($host);
    }

    public function isLeft(): bool
    {
        return $this->calls > 0;
    }

    public function end(): void
    {
        // A worker of php-fpm takes no other page then, and says nothing of it; php-cli ends anyway.
        match (PHP_SAPI) {
            'cli' => null,
            'fpm-fcgi' => $this->ffi->kill(getmypid(), self::QUIT),
            default => $this->ffi->kill(getmypid(), self::KILL),
        };
    }

    private static function declarations(): string
    {
        $free = Contract::FREE;
        $lines = self::TYPES
            . "int kill(int, int);\n"
            . 'uint32_t ' . Contract::VERSION_OF . "(void);\n"
            . 'uint32_t ' . Contract::RELEASE_OF . "(void);\n"
            . 'Octets ' . Contract::ALLOCATE . "(uint64_t, Status *);\n"
            . "void $free(Octets, Status *);\n";
        foreach (Contract::CALLS as $symbol) {
            $lines .= "void $symbol(Cell *, void *);\n";
        }
        foreach (Contract::OBJECTS as [$lend, $free]) {
            $lines .= "uint64_t $lend(uint64_t, Status *);\nvoid $free(uint64_t, Status *);\n";
        }
        foreach (Contract::CHECKSUMS as $symbol => $_) {
            $lines .= "uint16_t $symbol(void);\n";
        }
        foreach (HostCalls::TABLES as ['c' => $table]) {
            $lines .= $table;
        }

        return $lines;
    }

    /** Octets that belong to the library. */
    private function given(#[\SensitiveParameter] string $octets): CData
    {
        $length = \strlen($octets);
        $given = $this->ffi->{Contract::ALLOCATE}($length, FFI::addr($this->status));
        if ($given->capacity < $length) {
            throw new BridgeError("The library has no room for $length octets.");
        }
        if ($length > 0) {
            FFI::memcpy($given->data, $octets, $length);
        }
        $given->length = $length;

        return $given;
    }

    /** Octets that the library gave away. */
    private function taken(CData $octets): string
    {
        $length = $octets->length;
        $taken = $length === 0 ? '' : FFI::string($octets->data, $length);
        $this->ffi->{Contract::FREE}($octets, FFI::addr($this->status));

        return $taken;
    }

    /** The functions by which the library calls objects of this interface, from now on. */
    private function table(string $interface): CData
    {
        ['init' => $init, 'type' => $type] = HostCalls::TABLES[$interface];
        $table = $this->ffi->new($type);
        $table->uniffi_free = function (int $handle): void {
            unset($this->hosts[$handle]);
        };
        $table->uniffi_clone = fn (int $handle): int => $this->keep($this->hosts[$handle]);
        $functions = HostCalls::all()[$interface];
        foreach ($functions as $name => $function) {
            if (\array_key_exists($name . '_error', $functions)) {
                $table->{$name} = $this->callback($function, $functions[$name . '_error']);
            }
        }
        $this->ffi->{$init}(FFI::addr($table));

        return $table;
    }

    private function callback(\Closure $function, \Closure $error): \Closure
    {
        return function (int $handle, mixed ...$rest) use ($function, $error): void {
            $status = array_pop($rest);
            $answer = array_pop($rest);
            try {
                $arguments = [];
                foreach ($rest as $one) {
                    $arguments[] = \is_int($one) ? $one : $this->taken($one);
                }
                $given = $function($this->hosts[$handle], $arguments);
                if ($given !== null) {
                    $answer[0] = \is_int($given) ? $given : $this->given($given);
                }
            } catch (\Throwable $thrown) {
                // Nothing may be thrown through the library.
                $this->tell($status[0], $thrown, $error);
            }
        };
    }

    private function tell(CData $status, \Throwable $thrown, \Closure $error): void
    {
        try {
            $octets = $error($thrown);
        } catch (\Throwable) {
            $octets = null;
        }
        if ($octets === null) {
            $text = $thrown::class . ': ' . $thrown->getMessage();
            $octets = preg_match('//u', $text) === 1 ? $text : $thrown::class;
            $status->code = 2;
        } else {
            $status->code = 1;
        }
        $status->error = $this->given($octets);
    }

    private function keep(object $host): int
    {
        // The library tells its own handles from a host's by their lowest bit.
        $this->last += 2;
        $this->hosts[$this->last] = $host;

        return $this->last;
    }
}
