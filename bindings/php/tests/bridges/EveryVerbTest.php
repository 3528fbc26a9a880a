<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;
use PosConnect\Connection;
use PosConnect\Error;
use PosConnect\Native\Library;
use PosConnect\Native\NotSupported;
use PosConnect\Store;

require_once __DIR__ . '/../Bed.php';

/** Every verb, function and record that there is, also those of a later surface, with odd values. */
final class EveryVerbTest extends TestCase
{
    /** What may come of an odd value: PHP's own refusals, the module's, the bridge's about a host. */
    private const REFUSALS = [TypeError::class, ValueError::class, Error::class, NotSupported::class];

    public function testOddValuesAreRefusedOrTaken(): void
    {
        $line = new Connection(Bed::shared()->config(), Store::inMemory());
        $line->close();
        $calls = 0;
        foreach ($this->routines($line) as $where => [$call, $parameters]) {
            $usual = array_map($this->usual(...), $parameters);
            foreach ($parameters as $at => $parameter) {
                foreach (self::odd() as $odd => $value) {
                    $arguments = $usual;
                    $arguments[$at] = $value;
                    $this->attempt("$where(\$$parameter->name: $odd)", $call, $arguments);
                    $calls++;
                }
            }
        }
        self::assertGreaterThan(1000, $calls);
        // And the library is whole.
        self::assertSame('closed', $this->attempt('methods', $line->methods(...), [])?->errorCode);
    }

    /** @return array<string, mixed> */
    private static function odd(): array
    {
        return [
            'null' => null,
            'true' => true,
            'minus one' => -1,
            'the largest' => PHP_INT_MAX,
            'the least' => PHP_INT_MIN,
            'no number' => NAN,
            'two to the 63' => 2.0 ** 63,
            'nothing' => '',
            'a zero' => "a\0b",
            'a surrogate' => "\xED\xA0\x80",
            'octets' => "\xFF\xFE",
            'a megabyte' => str_repeat('x', 1 << 20),
            'a list' => ['x', 1, null],
            'a deep list' => [[["\xFF"]]],
            'a map' => ["\xFF" => 'x', 7 => []],
            'an object' => new stdClass(),
            'a closure' => fn () => throw new LogicException('never called'),
            'a file' => STDIN,
        ];
    }

    /** @return iterable<string, array{Closure, list<ReflectionParameter>}> */
    private function routines(Connection $line): iterable
    {
        $source = dirname(Library::path(), 3) . '/src';
        $files = new RecursiveIteratorIterator(new RecursiveDirectoryIterator($source, FilesystemIterator::SKIP_DOTS));
        foreach ($files as $file) {
            $below = substr($file->getPathname(), strlen($source) + 1, -4);
            if (str_starts_with($below, 'Native/') || $below === 'functions') {
                continue;
            }
            $class = new ReflectionClass('PosConnect\\' . strtr($below, '/', '\\'));
            if ($class->isInstantiable() && $class->getConstructor() !== null) {
                yield $class->name => [$class->newInstance(...), $class->getConstructor()->getParameters()];
            }
            foreach ($class->isEnum() ? [] : $class->getMethods(ReflectionMethod::IS_PUBLIC) as $method) {
                $isInternal = str_contains((string) $method->getDocComment(), '@internal');
                if ($method->class !== $class->name || $isInternal || str_starts_with($method->name, '__')) {
                    continue;
                }
                if ($method->isStatic() || $class->name === Connection::class) {
                    $of = $method->isStatic() ? null : $line;
                    yield "$class->name::$method->name" => [$method->getClosure($of), $method->getParameters()];
                }
            }
        }
        foreach (get_defined_functions()['user'] as $name) {
            if (str_starts_with($name, 'posconnect\\')) {
                $function = new ReflectionFunction($name);
                yield $name => [$function->getClosure(), $function->getParameters()];
            }
        }
    }

    /** A value of the declared type. */
    private function usual(ReflectionParameter $parameter): mixed
    {
        $type = $parameter->getType();
        if ($type->allowsNull()) {
            return null;
        }
        if ($type instanceof ReflectionUnionType) {
            self::assertSame('int|float', (string) $type);

            return 1;
        }

        return match ($type->getName()) {
            'int' => 1,
            'string' => 'x',
            'bool' => false,
            'array' => [],
            default => $this->usualObject(new ReflectionClass($type->getName())),
        };
    }

    private function usualObject(ReflectionClass $class): object
    {
        if ($class->isEnum()) {
            return ($class->name)::cases()[0];
        }
        if ($class->name === Store::class) {
            return Store::inMemory();
        }
        if ($class->isInterface()) {
            return $this->createStub($class->name);
        }
        if ($class->isAbstract()) {
            // The first variant; its file lies in a folder of the class's name.
            $variants = glob(substr($class->getFileName(), 0, -4) . '/*.php');
            $class = new ReflectionClass($class->name . '\\' . basename($variants[0], '.php'));
        }
        $parameters = $class->getConstructor()?->getParameters() ?? [];

        return $class->newInstanceArgs(array_map($this->usual(...), $parameters));
    }

    private function attempt(string $where, Closure $call, array $arguments): ?Throwable
    {
        try {
            $call(...$arguments);

            return null;
        } catch (Throwable $thrown) {
            foreach (self::REFUSALS as $class) {
                if ($thrown instanceof $class) {
                    $this->addToAssertionCount(1);

                    return $thrown;
                }
            }
            self::fail("$where: " . $thrown::class . ": {$thrown->getMessage()}");
        }
    }
}
