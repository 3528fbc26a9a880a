<?php

declare(strict_types=1);

namespace PosConnect\Native;

/** What was asked for cannot be done over the bridge in use; the message says what to do instead. */
final class NotSupported extends BridgeError
{
}
