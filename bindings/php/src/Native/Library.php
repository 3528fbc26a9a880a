<?php

declare(strict_types=1);

namespace PosConnect\Native;

/**
 * The library, over the bridge that this PHP has: the extension where it is loaded, else PHP's FFI.
 *
 * @internal
 */
final class Library
{
    private static ?Bridge $bridge = null;

    /**
     * Calls a function with words, octets and handles.
     *
     * @param list<int|string|Handle> $arguments
     * @param (\Closure(Reader): \Throwable)|null $error reads the error that the function can give
     */
    public static function call(
        string $symbol,
        int $size,
        #[\SensitiveParameter] array $arguments,
        ?\Closure $error = null,
    ): int|string|null {
        $bridge = self::bridge();
        foreach ($arguments as $at => $one) {
            if ($one instanceof Handle) {
                $arguments[$at] = $one->lend($bridge);
            }
        }
        $status = 0;
        $answer = $bridge->call($symbol, $size, $arguments, $status);
        if ($status === 0) {
            return $answer;
        }
        if ($status === 1 && $error !== null) {
            throw Reader::whole((string) $answer, $error);
        }
        throw new BridgeError("The library failed in $symbol: $answer");
    }

    public static function bridge(): Bridge
    {
        return self::$bridge ??= self::checked(self::open());
    }

    /** Where the package keeps the library of this kind of machine. */
    public static function path(): string
    {
        $machine = strtolower(PHP_OS_FAMILY) . '-' . php_uname('m');

        return \dirname(__DIR__, 2) . "/lib/$machine/libpos_connect_native.so";
    }

    private static function open(): Bridge
    {
        if (\extension_loaded('pos_connect_bridge')) {
            return new ExtensionBridge();
        }
        if (!is_file(self::path())) {
            throw new BridgeError('This package holds no library for this machine: ' . self::path());
        }
        if (!\extension_loaded('FFI')) {
            throw new BridgeError('PHP has no way to the library. ' . self::remedy());
        }
        try {
            return new FfiBridge(self::path());
        } catch (\FFI\Exception $cause) {
            if (str_contains($cause->getMessage(), 'Failed resolving')) {
                throw self::stranger('lacks what the classes call (' . $cause->getMessage() . ')');
            }
            $why = 'PHP does not open the library over FFI (' . $cause->getMessage() . '). ';
            throw new BridgeError($why . self::remedy(), 0, $cause);
        }
    }

    private static function remedy(): string
    {
        $package = \dirname(__DIR__, 2);

        return "Build the extension pos_connect_bridge (`phpize && ./configure && make` in its folder) and set\n"
            . '    pos_connect_bridge.library = ' . self::path() . "\n"
            . 'in php.ini; or let FFI be used: in php.ini either'
            . "\n    opcache.preload = $package/preload.php\n"
            . "with ffi.enable = preload, or ffi.enable = true, which opens FFI to every script.";
    }

    /** Refuses a library that the classes were not made from. */
    private static function checked(Bridge $bridge): Bridge
    {
        $version = $bridge->number(Contract::VERSION_OF, 32);
        if ($version !== Contract::VERSION) {
            throw self::stranger('passes values in form ' . $version . ', not ' . Contract::VERSION);
        }
        $release = $bridge->number(Contract::RELEASE_OF, 32);
        if ($release !== Contract::RELEASE) {
            throw self::stranger('is of release ' . $release . ', not ' . Contract::RELEASE);
        }
        foreach (Contract::CHECKSUMS as $symbol => $sum) {
            if ($bridge->number($symbol, 16) !== $sum) {
                throw self::stranger("differs in $symbol");
            }
        }

        return $bridge;
    }

    private static function stranger(string $how): BridgeError
    {
        return new BridgeError(
            "The library is of another version than this package: it $how. "
            . 'Install both from one release, and restart php-fpm.',
        );
    }
}
