<?php

declare(strict_types=1);

namespace PosConnect\Native;

/**
 * An object of the library. It is freed with the last object of PHP that holds it.
 *
 * @internal
 */
final class Handle
{
    /** @param class-string $class */
    public function __construct(private readonly int $raw, private readonly string $class)
    {
    }

    public function __destruct()
    {
        Library::bridge()->free(Contract::OBJECTS[$this->class][1], $this->raw);
    }

    /** A handle that a call may keep. */
    public function lend(Bridge $bridge): int
    {
        return $bridge->lend(Contract::OBJECTS[$this->class][0], $this->raw);
    }

    public function __serialize(): array
    {
        throw new \LogicException("A {$this->class} belongs to its process and cannot be stored.");
    }

    public function __unserialize(array $data): void
    {
        throw new \LogicException('What stands for an object of the library cannot be read back.');
    }

    private function __clone()
    {
    }
}
