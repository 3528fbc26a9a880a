<?php

declare(strict_types=1);

namespace PosConnect\Native;

/**
 * The library cannot be used as it is installed, or broke a promise of its own. Before a verb was called
 * nothing was moved; one that comes out of a payment verb says nothing of the payment: ask by its key, as
 * after an unknown outcome.
 */
class BridgeError extends \RuntimeException
{
}
