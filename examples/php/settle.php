<?php

// Finds out what became of every payment that is open, whether or not its shopper comes back. To be run every minute.

declare(strict_types=1);

require __DIR__ . '/shop.php';

(new Shop())->settleOpen();
