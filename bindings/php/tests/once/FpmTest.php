<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;
use PosConnect\Native\ExtensionBridge;
use PosConnect\Native\FfiBridge;

require_once __DIR__ . '/../Bed.php';
require_once __DIR__ . '/WebServer.php';

/** A shop's page under php-fpm and nginx as Debian installs them. */
final class FpmTest extends TestCase
{
    private ?WebServer $server = null;

    protected function tearDown(): void
    {
        $this->server?->stop();
    }

    /** @param list<string> $settings */
    private function start(array $settings): WebServer
    {
        return $this->server = new WebServer(Bed::shared()->folder(), $settings);
    }

    private static function request(string $folder, string $orderId, int $amount = 100): array
    {
        return [
            'config' => array_filter(get_object_vars(Bed::shared()->config())),
            'folder' => $folder,
            'order' => get_object_vars(Bed::shared()->order('approve', $orderId, $amount)),
            'key' => "key-of-$orderId-" . bin2hex(random_bytes(8)),
        ];
    }

    private static function assertEndedWell(string $log): void
    {
        preg_match_all('/exited (.*?) after/', $log, $ends);
        self::assertSame([], array_diff($ends[1], ['with code 0']), $log);
    }

    public function testTheExtensionPaysOnADefaultInstallation(): void
    {
        $server = $this->start(WebServer::byExtension());
        $folder = Bed::shared()->keysFolder();
        $request = self::request($folder, 'php-fpm-1');
        [$paid, $again] = $server->post([$request, $request]);
        self::assertSame([200, 'done'], [$paid['status'], $paid['state'] ?? json_encode($paid)]);
        self::assertSame(ExtensionBridge::class, $paid['bridge']);
        self::assertSame($paid['operation'], $again['operation']);

        $requests = array_map(fn ($n) => self::request($folder, "php-fpm-many-$n"), range(1, 300));
        $answers = $server->post($requests, 6);
        self::assertSame(['done' => 300], array_count_values(array_column($answers, 'state')));
        // Each worker ends after its sixty requests and another begins; none by a signal.
        self::assertGreaterThan(WebServer::WORKERS, count(array_unique(array_column($answers, 'process'))));
        self::assertEndedWell($server->stop());
    }

    public function testAPageThatDiesTakesNothingWithIt(): void
    {
        $server = $this->start(WebServer::byExtension());
        $folder = Bed::shared()->keysFolder();
        $dying = ['dies' => true];
        $requests = array_map(fn ($n) => self::request($folder, "php-fpm-dies-$n") + $dying, range(1, 90));
        $answers = $server->post($requests, 3);
        self::assertSame(['done' => 90], array_count_values(array_column($answers, 'state')));
        // Nor does it leave its sockets open: a worker had thirty such pages.
        $open = array_column($answers, 'open');
        self::assertLessThan(min($open) + 15, max($open));
        self::assertEndedWell($server->stop());
    }

    public function testWithoutTheExtensionItIsToldWhatToDo(): void
    {
        [$answer] = $this->start([])->post([['config' => []]]);
        self::assertStringContainsString('FFI API is restricted', $answer['refused']);
        self::assertStringContainsString('phpize && ./configure && make', $answer['refused']);
        self::assertStringContainsString('opcache.preload = ', $answer['refused']);
    }

    public function testAPreloadedPackagePaysOverFfi(): void
    {
        $server = $this->start(WebServer::byPreloading());
        $folder = Bed::shared()->keysFolder();
        $requests = array_map(fn ($n) => self::request($folder, "php-fpm-ffi-$n"), range(1, 60));
        $answers = $server->post($requests, 6);
        self::assertSame(['done' => 60], array_count_values(array_column($answers, 'state')), json_encode($answers[0]));
        self::assertSame([FfiBridge::class => 60], array_count_values(array_column($answers, 'bridge')));
        self::assertEndedWell($server->stop());
    }

    public function testAFatalErrorInAKeyStorageEndsItsWorkerAlone(): void
    {
        // The workers that a shop has live for ever.
        $server = $this->server = new WebServer(Bed::shared()->folder(), WebServer::byPreloading(), 0);
        $folder = Bed::shared()->keysFolder();
        foreach (['memory', 'time', 'exit'] as $how) {
            $dying = array_map(fn ($n) => self::request($folder, "php-fpm-$how-$n") + ['vault' => $how], range(1, 3));
            // The page itself dies as any other; it is answered by php-fpm and not cut off.
            self::assertSame([500 => 3], array_count_values(array_column($server->post($dying, 3), 'status')));
        }
        $requests = array_map(fn ($n) => self::request($folder, "php-fpm-after-$n"), range(1, 12));
        $answers = $server->post($requests, 3);
        self::assertSame(['done' => 12], array_count_values(array_column($answers, 'state')), json_encode($answers));
        self::assertEndedWell($server->stop());
    }
}
