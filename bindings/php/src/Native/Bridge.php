<?php

declare(strict_types=1);

namespace PosConnect\Native;

/**
 * A way to the functions of the library, all of which have one uniform form.
 *
 * @internal
 */
interface Bridge
{
    /** The sizes of an answer. */
    public const NOTHING = 0;
    public const WORD = 1;
    public const OCTETS = 3;

    /**
     * Calls a function.
     *
     * @param list<int|string> $arguments words, and octets of which the library gets a copy
     * @param int $status 0 when it did what was asked; 1 for an error that the function can give, whose
     *     octets are the answer; anything else for one that it cannot, whose text is the answer
     */
    public function call(
        string $symbol,
        int $size,
        #[\SensitiveParameter] array $arguments,
        int &$status,
    ): int|string|null;

    /** A handle of the same object that a call may keep. */
    public function lend(string $symbol, int $handle): int;

    /** Gives a handle back. */
    public function free(string $symbol, int $handle): void;

    /** What a function without arguments answers, of 16 or 32 bits. */
    public function number(string $symbol, int $bits): int;

    /**
     * A handle by which the library calls an object of this program.
     *
     * @param class-string $interface
     * @throws NotSupported
     */
    public function host(string $interface, object $host): int;

    /**
     * Whether a call never came back: at a fatal error in an object that the library has called, PHP jumps
     * out over all that is in between.
     */
    public function isLeft(): bool;

    /** Ends a process in which that is so: what the call holds, nothing gives back. */
    public function end(): void;
}
