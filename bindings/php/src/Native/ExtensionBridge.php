<?php

declare(strict_types=1);

namespace PosConnect\Native;

/**
 * Over the extension `pos_connect_bridge`, which knows nothing of the surface.
 *
 * @internal
 */
final class ExtensionBridge implements Bridge
{
    public function __construct()
    {
        $library = (string) \ini_get('pos_connect_bridge.library');
        if ($library === '') {
            throw new BridgeError(
                "The extension does not know the library. Set in php.ini (and restart php-fpm)\n"
                . '    pos_connect_bridge.library = ' . Library::path(),
            );
        }
    }

    public function call(
        string $symbol,
        int $size,
        #[\SensitiveParameter] array $arguments,
        int &$status,
    ): int|string|null {
        return pos_connect_bridge_call($symbol, $size, $arguments, $status);
    }

    public function lend(string $symbol, int $handle): int
    {
        return pos_connect_bridge_lend($symbol, $handle);
    }

    public function free(string $symbol, int $handle): void
    {
        pos_connect_bridge_free($symbol, $handle);
    }

    public function number(string $symbol, int $bits): int
    {
        try {
            return pos_connect_bridge_number($symbol, $bits);
        } catch (\RuntimeException $cause) {
            $isStranger = str_contains($cause->getMessage(), ' has no ');
            $why = $isStranger ? '; it is of another version than this package. Restart php-fpm after an update.' : '';
            throw new BridgeError($cause->getMessage() . $why, 0, $cause);
        }
    }

    public function host(string $interface, object $host): int
    {
        throw new NotSupported(
            "The extension cannot call a program's own $interface. Keep keys in a folder "
            . '(`Store::inFolder`), or use FFI in place of the extension.',
        );
    }

    public function isLeft(): bool
    {
        // Nothing of PHP's runs inside a call.
        return false;
    }

    public function end(): void
    {
    }
}
