<?php

declare(strict_types=1);

namespace PosConnect\Native;

/**
 * Refuses wrong values where they are given, in PHP's own words: a wrong type by a TypeError, a wrong
 * value of the right type by a ValueError. No value is named in them, because it may be a secret.
 *
 * @internal
 */
final class Check
{
    public static function text(string $method, string $name, #[\SensitiveParameter] mixed $value): void
    {
        self::type($method, $name, $value, 'string');
        if (preg_match('//u', $value) !== 1) {
            throw new \ValueError(self::told($method, $name, 'must be UTF-8'));
        }
    }

    public static function number(
        string $method,
        string $name,
        #[\SensitiveParameter] mixed $value,
        int $least,
        int $most,
    ): void {
        self::type($method, $name, $value, 'int');
        if ($value < $least || $value > $most) {
            throw new \ValueError(self::told($method, $name, "must be between $least and $most"));
        }
    }

    public static function type(
        string $method,
        string $name,
        #[\SensitiveParameter] mixed $value,
        string $type,
    ): void {
        $given = get_debug_type($value);
        if ($given !== $type && !$value instanceof $type) {
            $rule = "must be of type $type, $given given";
            throw new \TypeError(self::told($method, $name, $rule));
        }
    }

    /**
     * @param array<mixed> $values
     * @param \Closure(string, string, mixed): void $each
     */
    public static function list(
        string $method,
        string $name,
        #[\SensitiveParameter] mixed $values,
        \Closure $each,
    ): void {
        self::type($method, $name, $values, 'array');
        if (!array_is_list($values)) {
            throw new \TypeError(self::told($method, $name, 'must be a list, without keys'));
        }
        foreach ($values as $at => $value) {
            $each($method, "{$name}[$at]", $value);
        }
    }

    /**
     * @param array<mixed> $values
     * @param \Closure(string, string, mixed): void $each
     */
    public static function map(
        string $method,
        string $name,
        #[\SensitiveParameter] mixed $values,
        \Closure $each,
    ): void {
        self::type($method, $name, $values, 'array');
        foreach ($values as $key => $value) {
            self::text($method, "a key of $name", (string) $key);
            $each($method, "{$name}[$key]", $value);
        }
    }

    private static function told(string $method, string $name, string $rule): string
    {
        return "$method(): Argument \$$name $rule";
    }
}
