<?php

// A script that forks with a connection in use, and whose child only ends, as every script does.

declare(strict_types=1);

use PosConnect\Config;
use PosConnect\Connection;
use PosConnect\Store;

require getenv('POS_AUTOLOAD');

['config' => $config, 'folder' => $folder] = json_decode($argv[1], true, flags: JSON_THROW_ON_ERROR);
$line = new Connection(new Config(...$config), Store::inFolder($folder));
$line->methods();
$child = pcntl_fork();
// Ended hard when it hangs.
pcntl_alarm(60);
if ($child === 0) {
    exit(0);
}
pcntl_waitpid($child, $status);
echo json_encode([
    'exited' => pcntl_wifexited($status) ? pcntl_wexitstatus($status) : null,
    'signalled' => pcntl_wifsignaled($status) ? pcntl_wtermsig($status) : null,
    'contracts' => count($line->methods()->contracts),
]);
