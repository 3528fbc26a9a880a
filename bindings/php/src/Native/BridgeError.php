<?php

declare(strict_types=1);

namespace PosConnect\Native;

/**
 * The library cannot be used as it is installed, or broke a promise of its own. Never an outcome of a
 * verb: those are errors of the package itself.
 */
class BridgeError extends \RuntimeException
{
}
