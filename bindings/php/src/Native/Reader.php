<?php

declare(strict_types=1);

namespace PosConnect\Native;

/**
 * Reads what the library answers.
 *
 * @internal
 */
final class Reader
{
    private int $at = 0;

    public function __construct(#[\SensitiveParameter] private readonly string $octets)
    {
    }

    /**
     * The one value that these octets are.
     *
     * @template T
     * @param \Closure(Reader): T $read
     * @return T
     */
    public static function whole(#[\SensitiveParameter] string $octets, \Closure $read): mixed
    {
        $in = new self($octets);
        $value = $read($in);
        if ($in->at !== \strlen($octets)) {
            throw new BridgeError('The library answered more than was asked.');
        }

        return $value;
    }

    /** A word without sign. */
    public static function unsigned(int $word): int
    {
        if ($word < 0) {
            throw new BridgeError('The library answered a number that PHP cannot hold.');
        }

        return $word;
    }

    public function flag(): bool
    {
        return $this->u8() !== 0;
    }

    public function u8(): int
    {
        return \ord($this->take(1));
    }

    public function u16(): int
    {
        return unpack('n', $this->take(2))[1];
    }

    public function u32(): int
    {
        return unpack('N', $this->take(4))[1];
    }

    public function u64(): int
    {
        return self::unsigned($this->i64());
    }

    public function i8(): int
    {
        return self::signed($this->u8(), 8);
    }

    public function i16(): int
    {
        return self::signed($this->u16(), 16);
    }

    public function i32(): int
    {
        return self::signed($this->u32(), 32);
    }

    public function i64(): int
    {
        return unpack('J', $this->take(8))[1];
    }

    public function text(): string
    {
        return $this->take($this->i32());
    }

    public function octets(): string
    {
        return $this->take($this->i32());
    }

    /**
     * @template T
     * @param \Closure(Reader): T $each
     * @return list<T>
     */
    public function list(\Closure $each): array
    {
        $list = [];
        for ($left = $this->i32(); $left > 0; $left--) {
            $list[] = $each($this);
        }

        return $list;
    }

    /**
     * @template T
     * @param \Closure(Reader): T $each
     * @return array<string, T>
     */
    public function map(\Closure $each): array
    {
        $map = [];
        for ($left = $this->i32(); $left > 0; $left--) {
            $key = $this->text();
            $map[$key] = $each($this);
        }

        return $map;
    }

    /** What is thrown for a variant that the classes do not know. */
    public function unknown(int $place): BridgeError
    {
        return new BridgeError("The library answered a variant that is none: $place.");
    }

    private function take(int $length): string
    {
        if ($length < 0 || $length > \strlen($this->octets) - $this->at) {
            throw new BridgeError('The library answered less than was asked.');
        }
        $taken = substr($this->octets, $this->at, $length);
        $this->at += $length;

        return $taken;
    }

    private static function signed(int $word, int $bits): int
    {
        return $word >= 1 << ($bits - 1) ? $word - (1 << $bits) : $word;
    }
}
