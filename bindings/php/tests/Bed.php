<?php

declare(strict_types=1);

use PosConnect\Config;
use PosConnect\Connection;
use PosConnect\Instrument\Card;
use PosConnect\Order;
use PosConnect\SealBinding;
use PosConnect\SealedOperation;
use PosConnect\Store;

use function PosConnect\seal;

/** The test bed as a process of its own: a server, three institutions, a shop. */
final class Bed
{
    public const PASSWORD = 'a password of my own choice';

    private static ?self $shared = null;

    /** @var array<string, mixed> what it told in its one line */
    public readonly array $told;

    /** @var resource */
    private $process;

    /** @var array<int, resource> */
    private array $pipes = [];

    private readonly int $owner;
    private int $folders = 0;
    private int $registered = 0;

    /** The one of this run. */
    public static function shared(): self
    {
        return self::$shared ??= new self();
    }

    private function __construct()
    {
        $program = getenv('POS_TESTBED') ?: throw new LogicException('POS_TESTBED names no program');
        $pipes = [['pipe', 'r'], ['pipe', 'w'], ['file', '/dev/null', 'w']];
        $this->process = proc_open([$program], $pipes, $this->pipes);
        $this->told = json_decode(fgets($this->pipes[1]), true, flags: JSON_THROW_ON_ERROR);
        $this->owner = getmypid();
        // It ends when its standard input does.
        register_shutdown_function(function (): void {
            if (getmypid() === $this->owner) {
                fclose($this->pipes[0]);
                proc_close($this->process);
            }
        });
    }

    public function config(mixed ...$more): Config
    {
        ['tls_url' => $url, 'authority' => $authority, 'ca_pem' => $ca] = $this->told['server'];

        return new Config(...['serverUrl' => $url, 'authority' => $authority, 'caPem' => $ca, ...$more]);
    }

    /** What a key storage holds after the bed's shop was registered. */
    public function moduleKeys(): string
    {
        ['shop' => $shop, 'server' => $server] = $this->told;
        $jwk = '{"crv":"Ed25519","kty":"OKP","x":"' . $server['answer_key'] . '"}';
        $thumbprint = substr(hash('sha256', $jwk, true), 0, 16);
        $pin = rtrim(strtr(base64_encode($thumbprint), '+/', '-_'), '=');
        $seed = $shop['module_key']['seed'];

        return json_encode(['module_key' => $seed, 'shop_id' => $shop['id'], 'pin' => $pin]);
    }

    /**
     * A shop that was admitted and has not registered.
     *
     * @return array{user_id: string, code: string}
     */
    public function unregistered(): array
    {
        return $this->told['unregistered'][$this->registered++];
    }

    /** A fresh folder below the bed's own, which goes with it. */
    public function folder(): string
    {
        $folder = $this->told['folder'] . '/php-' . getmypid() . '-' . ++$this->folders;
        mkdir($folder, 0700);

        return $folder;
    }

    /** A folder in which the shop's keys are. */
    public function keysFolder(): string
    {
        $folder = $this->folder();
        file_put_contents("$folder/keys.json", $this->moduleKeys());
        chmod("$folder/keys.json", 0600);

        return $folder;
    }

    public function line(): Connection
    {
        return new Connection($this->config(), Store::inFolder($this->keysFolder()));
    }

    /** Sealed as in a shopper's page, by what the bed tells of the institution. */
    public function order(string $name, string $orderId, int $amount): Order
    {
        $one = $this->told['instruments'][$name];
        $places = array_column($this->told['institutions'], null, 'id');
        $place = $places[$one['institution']];
        $card = $one['instrument'];
        $envelope = seal(
            new Card(
                number: $card['number'],
                expiryYear: $card['expiry_year'],
                expiryMonth: $card['expiry_month'],
                securityCode: $card['security_code'],
                holder: null,
            ),
            new SealBinding(
                institution: $place['id'],
                contractNumber: $one['contract_number'],
                operation: SealedOperation::Sale,
                orderId: $orderId,
                amount: $amount,
                currency: 'JPY',
            ),
            json_encode($place['seal_keys'], JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES),
            $place['seal_root'],
        );

        return new Order(
            contractId: $one['contract_id'],
            orderId: $orderId,
            amount: $amount,
            currency: 'JPY',
            envelope: $envelope,
        );
    }
}
