<?php

declare(strict_types=1);

namespace PosConnect\Native;

/**
 * Objects of the program that the library calls.
 *
 * @internal
 */
final class Hosts
{
    /** @param class-string $interface */
    public static function lend(string $interface, object $host): int
    {
        return Library::bridge()->host($interface, $host);
    }
}
