<?php

declare(strict_types=1);

namespace PosConnect\Native;

/**
 * Writes what is given to the library. The library trusts a text to be UTF-8 and cuts a number that is
 * too large, so that what nobody has checked before is refused here.
 *
 * @internal
 */
final class Wire
{
    /** A text that is an argument of its own. */
    public static function bare(#[\SensitiveParameter] string $text): string
    {
        if (preg_match('//u', $text) !== 1) {
            throw new \ValueError('A text must be UTF-8.');
        }

        return $text;
    }

    public static function text(#[\SensitiveParameter] string $text): string
    {
        return self::octets(self::bare($text));
    }

    public static function octets(#[\SensitiveParameter] string $octets): string
    {
        return self::length(\strlen($octets)) . $octets;
    }

    public static function flag(bool $flag): string
    {
        return $flag ? "\1" : "\0";
    }

    public static function u8(int $number): string
    {
        return \chr(self::within($number, 0, 0xFF));
    }

    public static function u16(int $number): string
    {
        return pack('n', self::within($number, 0, 0xFFFF));
    }

    public static function u32(int $number): string
    {
        return pack('N', self::within($number, 0, 0xFFFF_FFFF));
    }

    public static function u64(int $number): string
    {
        return pack('J', self::within($number, 0, PHP_INT_MAX));
    }

    public static function i8(int $number): string
    {
        return pack('c', self::within($number, -0x80, 0x7F));
    }

    public static function i16(int $number): string
    {
        return pack('n', self::within($number, -0x8000, 0x7FFF) & 0xFFFF);
    }

    public static function i32(int $number): string
    {
        return pack('N', self::within($number, -0x8000_0000, 0x7FFF_FFFF) & 0xFFFF_FFFF);
    }

    public static function i64(int $number): string
    {
        return pack('J', $number);
    }

    /**
     * @param array<mixed> $values
     * @param \Closure(mixed): string $each
     */
    public static function list(#[\SensitiveParameter] array $values, \Closure $each): string
    {
        return self::length(\count($values)) . implode('', array_map($each, $values));
    }

    /**
     * @param array<mixed> $values
     * @param \Closure(mixed): string $each
     */
    public static function map(#[\SensitiveParameter] array $values, \Closure $each): string
    {
        $octets = self::length(\count($values));
        foreach ($values as $key => $value) {
            // PHP makes numbers of keys that look like some.
            $octets .= self::text((string) $key) . $each($value);
        }

        return $octets;
    }

    /** What is thrown for a class that is no variant. */
    public static function stranger(#[\SensitiveParameter] object $value, string $class): \TypeError
    {
        return new \TypeError(get_debug_type($value) . " is no variant of $class.");
    }

    private static function length(int $length): string
    {
        return pack('N', self::within($length, 0, 0x7FFF_FFFF));
    }

    private static function within(int $number, int $least, int $most): int
    {
        if ($number < $least || $number > $most) {
            throw new \ValueError("A number must be between $least and $most.");
        }

        return $number;
    }
}
