<?php

declare(strict_types=1);

use PosConnect\KeyStorage;

/** A key storage that never comes back. */
final class FatalVault implements KeyStorage
{
    public function __construct(private readonly string $how)
    {
    }

    public function load(): ?string
    {
        if ($this->how === 'memory') {
            str_repeat('x', PHP_INT_MAX >> 8);
        }
        if ($this->how === 'exit') {
            exit;
        }
        set_time_limit(1);
        while (true) {
        }
    }

    public function replace(?string $old, #[SensitiveParameter] string $new): bool
    {
        return false;
    }
}
