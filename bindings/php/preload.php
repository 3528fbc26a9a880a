<?php

// For `opcache.preload`, so that php-fpm may use FFI without opening it to every script.

declare(strict_types=1);

$source = new RecursiveIteratorIterator(new RecursiveDirectoryIterator(__DIR__ . '/src', FilesystemIterator::SKIP_DOTS));
foreach ($source as $file) {
    opcache_compile_file($file->getPathname());
}
