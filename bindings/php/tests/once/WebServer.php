<?php

declare(strict_types=1);

/** Debian's php-fpm with its own php.ini behind nginx, on loopback, with files of this test alone. */
final class WebServer
{
    public const WORKERS = 3;

    private readonly string $folder;
    private readonly string $address;

    /** @var list<resource> */
    private array $processes = [];

    /** @var resource what php-fpm logs */
    private $log;

    private string $logged = '';

    /**
     * @param list<string> $settings lines of a file in php-fpm's conf.d
     * @param int $life after how many requests a worker ends; 0: never
     */
    public function __construct(string $folder, array $settings, private readonly int $life = 60)
    {
        $this->folder = $folder;
        $this->startFpm($settings);
        $this->startNginx();
    }

    /** @return list<string> settings by which pages call the library over the extension */
    public static function byExtension(): array
    {
        return [
            'extension = ' . getenv('POS_EXTENSION'),
            'pos_connect_bridge.library = ' . PosConnect\Native\Library::path(),
        ];
    }

    /** @return list<string> settings by which the library is opened, over FFI, before workers are forked */
    public static function byPreloading(): array
    {
        $package = dirname(PosConnect\Native\Library::path(), 3);
        $user = posix_getpwuid(posix_geteuid())['name'];

        return ["opcache.preload = $package/preload.php", "opcache.preload_user = $user"];
    }

    /** Ends both and gives what php-fpm logged. */
    public function stop(): string
    {
        if ($this->processes === []) {
            return $this->logged;
        }
        foreach (array_reverse($this->processes) as $process) {
            proc_terminate($process);
        }
        // It ends with the last of them.
        $this->logged .= stream_get_contents($this->log);
        array_map(proc_close(...), $this->processes);
        $this->processes = [];

        return $this->logged;
    }

    /**
     * Sends each body in a request of its own, so many at a time, and gives the answers.
     *
     * @param list<array<string, mixed>> $bodies
     * @return list<array<string, mixed>>
     */
    public function post(array $bodies, int $atOnce = 1): array
    {
        $answers = [];
        foreach (array_chunk($bodies, $atOnce) as $some) {
            $open = [];
            foreach ($some as $body) {
                $stream = stream_socket_client("tcp://$this->address", timeout: 60);
                $json = json_encode($body, JSON_THROW_ON_ERROR);
                fwrite($stream, "POST / HTTP/1.0\r\nHost: shop.example\r\nContent-Length: " . strlen($json) . "\r\n\r\n$json");
                $open[] = $stream;
            }
            foreach ($open as $stream) {
                stream_set_timeout($stream, 60);
                [$head, $body] = explode("\r\n\r\n", stream_get_contents($stream), 2) + ['', ''];
                $status = (int) (explode(' ', $head)[1] ?? 0);
                $answers[] = ['status' => $status] + (json_decode(explode("\n", $body)[0], true) ?? ['body' => $body]);
            }
        }

        return $answers;
    }

    /** @param list<string> $settings */
    private function startFpm(array $settings): void
    {
        $isRoot = posix_geteuid() === 0;
        $user = $isRoot ? "user = root\ngroup = root" : '';
        $workers = self::WORKERS;
        $autoload = getenv('POS_AUTOLOAD');
        file_put_contents("$this->folder/fpm.conf", <<<INI
            [global]
            daemonize = no
            error_log = /proc/self/fd/2
            pid = $this->folder/fpm.pid
            [www]
            $user
            listen = $this->folder/fpm.sock
            pm = static
            pm.max_children = $workers
            pm.max_requests = $this->life
            env[POS_AUTOLOAD] = $autoload
            INI);
        mkdir("$this->folder/conf.d");
        file_put_contents("$this->folder/conf.d/shop.ini", implode("\n", $settings) . "\n");
        // Its own php.ini and conf.d as Debian installs them, and one file of the shop's.
        $scanned = ['PHP_INI_SCAN_DIR' => "/etc/php/8.2/fpm/conf.d:$this->folder/conf.d"];
        $command = ['php-fpm8.2', '--nodaemonize', '--fpm-config', "$this->folder/fpm.conf"];
        $pipes = [['file', '/dev/null', 'r'], ['file', '/dev/null', 'w'], ['pipe', 'w']];
        $this->processes[] = proc_open([...$command, ...$isRoot ? ['-R'] : []], $pipes, $made, null, $scanned + getenv());
        $this->log = $made[2];
        while (!str_contains($this->logged, 'ready to handle connections')) {
            $line = fgets($this->log);
            if ($line === false) {
                throw new RuntimeException("php-fpm did not start: $this->logged");
            }
            $this->logged .= $line;
        }
    }

    private function startNginx(): void
    {
        // It inherits the socket, so that the port is its own from the beginning.
        $socket = stream_socket_server('tcp://127.0.0.1:0');
        $this->address = stream_socket_get_name($socket, false);
        $page = dirname(__DIR__) . '/web/index.php';
        $user = posix_geteuid() === 0 ? 'user root;' : '';
        file_put_contents("$this->folder/nginx.conf", <<<CONF
            $user
            daemon off;
            pid $this->folder/nginx.pid;
            error_log $this->folder/nginx.log;
            worker_processes 1;
            events {}
            http {
                access_log off;
                client_body_temp_path $this->folder/body;
                proxy_temp_path $this->folder/proxy;
                fastcgi_temp_path $this->folder/fastcgi;
                uwsgi_temp_path $this->folder/uwsgi;
                scgi_temp_path $this->folder/scgi;
                server {
                    listen $this->address;
                    location / {
                        include /etc/nginx/fastcgi_params;
                        fastcgi_param SCRIPT_FILENAME $page;
                        fastcgi_pass unix:$this->folder/fpm.sock;
                        fastcgi_read_timeout 60s;
                    }
                }
            }
            CONF);
        $command = ['nginx', '-p', $this->folder, '-c', "$this->folder/nginx.conf"];
        $null = ['file', '/dev/null', 'w'];
        $pipes = [['file', '/dev/null', 'r'], $null, $null, $socket];
        $this->processes[] = proc_open($command, $pipes, $made, null, ['NGINX' => '3;'] + getenv());
        fclose($socket);
    }
}
