<?php

// The runner for PHP (tests/scenarios/README.md): requests in, answers out, one line each, over the
// bridge that this PHP has. POS_AUTOLOAD names the autoloader of a project that has the package.

declare(strict_types=1);

use PosConnect\Error;
use PosConnect\KeyStorage;
use PosConnect\KeyStorageError;
use PosConnect\Native\NotSupported;

require getenv('POS_AUTOLOAD');

final class Vault implements KeyStorage
{
    public function __construct(private ?string $text, private readonly ?Throwable $error = null)
    {
    }

    public function load(): ?string
    {
        return $this->error === null ? $this->text : throw $this->error;
    }

    public function replace(?string $old, string $new): bool
    {
        $isIt = $this->load() === $old;
        $this->text = $isIt ? $new : $this->text;

        return $isIt;
    }
}

final class Runner
{
    /** @var array<string, mixed> */
    private array $kept = [];

    /** @return array<string, mixed> */
    public function answer(stdClass $request): array
    {
        if (isset($request->drop)) {
            unset($this->kept[$request->drop]);

            return ['value' => null];
        }
        try {
            $value = $this->find($request)(...$this->named($request->arguments));
        } catch (Error $error) {
            return ['error' => ['kind' => self::snake(self::variant($error::class)), ...self::errorFields($error)]];
        } catch (NotSupported $told) {
            return ['not_here' => $told->getMessage()];
        } catch (TypeError | ValueError $refused) {
            return ['refused' => $refused::class];
        }
        if (isset($request->keep)) {
            $this->kept[$request->keep] = $value;

            return ['kept' => $request->keep];
        }

        return ['value' => $this->told($value)];
    }

    private function find(stdClass $request): callable
    {
        if (isset($request->on)) {
            return [$this->kept[$request->on], self::camel($request->call)];
        }
        $parts = explode('.', $request->call);
        $name = "PosConnect\\$parts[0]";
        if (isset($parts[1])) {
            return [$name, self::camel($parts[1])];
        }

        return class_exists($name) ? fn (mixed ...$arguments) => new $name(...$arguments) : 'PosConnect\\' . self::camel($parts[0]);
    }

    /** @return array<string, mixed> */
    private function named(stdClass $values): array
    {
        $named = [];
        foreach (get_object_vars($values) as $name => $value) {
            $named[self::camel($name)] = $this->given($value);
        }

        return $named;
    }

    private function given(mixed $value): mixed
    {
        if (is_array($value)) {
            return array_map($this->given(...), $value);
        }
        if (!$value instanceof stdClass) {
            return $value;
        }

        return match (true) {
            isset($value->record) => new ('PosConnect\\' . $value->record)(...$this->named($value->fields)),
            isset($value->enum) => ('PosConnect\\' . $value->enum)::from($value->value),
            isset($value->variant) => $this->givenVariant($value),
            isset($value->kept) => $this->kept[$value->kept],
            isset($value->octets) => base64_decode($value->octets, true),
            isset($value->odd) => self::odd($value->odd),
            isset($value->storage) => self::storage($value->storage, $value->text),
            default => array_map($this->given(...), get_object_vars($value)),
        };
    }

    private function givenVariant(stdClass $value): object
    {
        [$of, $name] = explode('.', $value->variant);

        return new ("PosConnect\\$of\\" . ucfirst(self::camel($name)))(...$this->named($value->fields));
    }

    private static function odd(string $odd): mixed
    {
        return match ($odd) {
            'nan' => NAN,
            'minus_one' => -1,
            'two_to_63' => 9223372036854775808,
            'lone_surrogate' => "\xED\xA0\x80",
            'megabyte' => str_repeat('x', 1 << 20),
            'bytes' => "\xFF\xFE",
            'object' => new stdClass(),
        };
    }

    private static function storage(string $kind, ?string $text): KeyStorage
    {
        return match ($kind) {
            'memory' => new Vault($text),
            'raises' => new Vault(null, new KeyStorageError\Failed($text)),
            'throws' => new Vault(null, new OutOfBoundsException($text)),
        };
    }

    private function told(mixed $value): mixed
    {
        if (is_array($value)) {
            return array_map($this->told(...), $value);
        }
        if (!is_object($value)) {
            return $value;
        }
        if ($value instanceof BackedEnum) {
            return $value->value;
        }
        $fields = [];
        foreach (get_object_vars($value) as $name => $one) {
            $fields[self::snake($name)] = $this->told($one);
        }
        $parts = explode('\\', $value::class);

        return isset($parts[2])
            ? ['variant' => "$parts[1]." . self::snake($parts[2]), 'fields' => (object) $fields]
            : (object) $fields;
    }

    /** @return array<string, mixed> */
    private static function errorFields(Error $error): array
    {
        $fields = [];
        foreach ((new ReflectionClass(Error::class))->getProperties(ReflectionProperty::IS_READONLY) as $property) {
            $value = $property->getValue($error);
            // `code` has another name in PHP, whose exceptions have one of their own.
            $name = preg_replace('/^error_/', '', self::snake($property->name));
            $fields[$name] = $value instanceof BackedEnum ? $value->value : $value;
        }

        return $fields;
    }

    private static function variant(string $class): string
    {
        return substr(strrchr($class, '\\'), 1);
    }

    private static function camel(string $name): string
    {
        return lcfirst(strtr(ucwords($name, '_'), ['_' => '']));
    }

    private static function snake(string $name): string
    {
        return strtolower(preg_replace('/(?<=[a-z0-9])(?=[A-Z])/', '_', $name));
    }
}

$runner = new Runner();
while (($line = fgets(STDIN)) !== false) {
    $answer = $runner->answer(json_decode($line, flags: JSON_THROW_ON_ERROR));
    echo json_encode($answer, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE), "\n";
}
