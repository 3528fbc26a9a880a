<?php

// What a call costs over the bridge that this PHP has, in one line: the first use of the library, calls
// that do nothing but cross, and calls that carry an argument there and an error back.

declare(strict_types=1);

use PosConnect\Config;
use PosConnect\Connection;
use PosConnect\Error;
use PosConnect\Native\Library;
use PosConnect\Store;

require getenv('POS_AUTOLOAD');

$began = hrtime(true);
Library::bridge();
$first = (hrtime(true) - $began) / 1e6;

$line = new Connection(new Config(serverUrl: 'http://127.0.0.1:1'), Store::inMemory());
$line->close();
/** Calls in a second: the best of several rounds, because others use the machine too. */
$rate = function (Closure $call): int {
    $best = 0;
    for ($round = 0; $round < 5; $round++) {
        $began = hrtime(true);
        for ($n = 0; $n < 5_000; $n++) {
            $call();
        }
        $best = max($best, (int) (5_000 / ((hrtime(true) - $began) / 1e9)));
    }

    return $best;
};
$trivial = $rate(fn () => $line->close());
$errors = $rate(function () use ($line): void {
    try {
        $line->payment('none');
    } catch (Error) {
    }
});
printf("php %s: first use %.1f ms, %d trivial calls/s, %d errors/s\n", getenv('POS_BRIDGE'), $first, $trivial, $errors);
