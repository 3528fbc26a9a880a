<?php

// Opens the shop on a test bed: a server, three institutions, and this shop registered with them.

declare(strict_types=1);

$port = (int) ($argv[1] ?? 5000);
$program = getenv('POS_TESTBED') ?: null;
// The bed ends when its standard input closes, so with this program, however that ends.
$bed = proc_open(
    $program === null ? ['cargo', 'xtask', 'testbed'] : [$program],
    [['pipe', 'r'], ['pipe', 'w'], STDERR],
    $pipes,
    __DIR__,
) ?: exit("the test bed did not start\n");
$told = json_decode(fgets($pipes[1]) ?: '', true, flags: JSON_THROW_ON_ERROR);
$unused = $told['unregistered'][0];
$card = $told['instruments']['approve']['instrument'];

$folder = sys_get_temp_dir() . '/shop-' . bin2hex(random_bytes(4));
mkdir($folder, 0700);
// Ctrl-C ends the shop; this program then tidies up.
pcntl_signal(SIGINT, fn () => null, false);
$settings = [
    'SHOP_FOLDER' => $folder,
    'SHOP_PASSWORD' => 'a password of my own choice',
    'POS_SERVER_URL' => $told['server']['tls_url'],
    'POS_AUTHORITY' => $told['server']['authority'],
    'POS_CA_PEM' => $told['server']['ca_pem'],
    // So that a shopper may look while another pays.
    'PHP_CLI_SERVER_WORKERS' => '4',
] + getenv();
$php = fn (string ...$words): int => proc_close(proc_open([PHP_BINARY, ...$words], [], $made, __DIR__, $settings));
if ($php('register.php', $unused['user_id'], $unused['code']) === 0) {
    printf(
        "\nA card that is approved: %s, %02d/%02d, security code %s\n\n",
        $card['number'],
        $card['expiry_month'],
        $card['expiry_year'] % 100,
        $card['security_code'],
    );
    // As php-cli has it by itself; php-fpm takes the extension instead.
    $php('-d', 'ffi.enable=true', '-S', "127.0.0.1:$port", 'public/index.php');
}
fclose($pipes[0]);
proc_close($bed);

$files = new RecursiveDirectoryIterator($folder, FilesystemIterator::SKIP_DOTS);
foreach (new RecursiveIteratorIterator($files, RecursiveIteratorIterator::CHILD_FIRST) as $file) {
    $file->isDir() ? rmdir($file->getPathname()) : unlink($file->getPathname());
}
rmdir($folder);
