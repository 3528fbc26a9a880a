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
    /**
     * All that are alive, for the end of a page that dies.
     *
     * @var \WeakMap<self, true>|null
     */
    private static ?\WeakMap $alive = null;

    /** @param class-string $class */
    public function __construct(private ?int $raw, private readonly string $class)
    {
        if (self::$alive === null) {
            self::$alive = new \WeakMap();
            register_shutdown_function(self::atTheEnd(...), true);
        }
        self::$alive[$this] = true;
    }

    public function __destruct()
    {
        if ($this->raw !== null) {
            $raw = $this->raw;
            $this->raw = null;
            Library::bridge()->free(Contract::OBJECTS[$this->class][1], $raw);
        }
    }

    /** A handle that a call may keep. */
    public function lend(Bridge $bridge): int
    {
        if ($this->raw === null) {
            throw new BridgeError("This {$this->class} ended with the page that died.");
        }

        return $bridge->lend(Contract::OBJECTS[$this->class][0], $this->raw);
    }

    /** PHP calls no destructors after a fatal error, and a process of php-fpm lives on. */
    private static function atTheEnd(bool $isFirst): void
    {
        if ($isFirst) {
            // Behind what the program itself does at its end, which may still pay.
            register_shutdown_function(self::atTheEnd(...), false);

            return;
        }
        if (Library::bridge()->isLeft()) {
            Library::bridge()->end();

            return;
        }
        $fatal = E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR;
        if (((error_get_last()['type'] ?? 0) & $fatal) !== 0) {
            foreach (self::$alive as $handle => $_) {
                $handle->__destruct();
            }
        }
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
