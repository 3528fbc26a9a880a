<?php

// A script on a PHP that says of itself that it has threads: a name is looked up in its namespace first.

declare(strict_types=1);

use PosConnect\KeyStorage;
use PosConnect\Native\NotSupported;
use PosConnect\Store;

define('PosConnect\Native\PHP_ZTS', 1);

require getenv('POS_AUTOLOAD');

$vault = new class () implements KeyStorage {
    public function load(): ?string
    {
        return null;
    }

    public function replace(#[SensitiveParameter] ?string $old, #[SensitiveParameter] string $new): bool
    {
        return false;
    }
};
try {
    Store::ofHost($vault, '/nowhere');
} catch (NotSupported $told) {
    echo $told->getMessage();
}
