<?php

declare(strict_types=1);

use PHPStan\PhpDocParser\Ast\PhpDoc\PhpDocNode;
use PHPStan\PhpDocParser\Ast\Type\ArrayTypeNode;
use PHPStan\PhpDocParser\Ast\Type\GenericTypeNode;
use PHPStan\PhpDocParser\Ast\Type\IdentifierTypeNode;
use PHPStan\PhpDocParser\Ast\Type\TypeNode;
use PHPStan\PhpDocParser\Ast\Type\UnionTypeNode;
use PHPStan\PhpDocParser\Lexer\Lexer;
use PHPStan\PhpDocParser\Parser\ConstExprParser;
use PHPStan\PhpDocParser\Parser\PhpDocParser;
use PHPStan\PhpDocParser\Parser\TokenIterator;
use PHPStan\PhpDocParser\Parser\TypeParser;
use PHPUnit\Framework\TestCase;
use PosConnect\Native\Library;

require_once 'PHPStan/PhpDocParser/autoload.php';

/** Every comment of the package is read by a stranger's parser, and says what PHP itself declares. */
final class DocTypesTest extends TestCase
{
    public function testEveryDocumentedTypeIsTheDeclaredOne(): void
    {
        $source = dirname(Library::path(), 3) . '/src';
        $seen = ['types' => 0, 'refined' => 0, 'broken' => 0];
        $files = new RecursiveIteratorIterator(new RecursiveDirectoryIterator($source, FilesystemIterator::SKIP_DOTS));
        foreach ($files as $file) {
            $below = substr($file->getPathname(), strlen($source) + 1, -4);
            // What is internal has comments for people who work on it.
            if (str_starts_with($below, 'Native/') || $below === 'functions') {
                continue;
            }
            $class = new ReflectionClass('PosConnect\\' . strtr($below, '/', '\\'));
            foreach ($class->getProperties() as $property) {
                if ($property->class === $class->name && !str_contains((string) $property->getDocComment(), '@internal')) {
                    $this->property($class, $property, $seen);
                }
            }
            foreach ($class->getMethods() as $method) {
                if ($method->class === $class->name && $method->isUserDefined() && !$method->isConstructor()) {
                    $this->routine($class, $method, $seen);
                }
            }
            if ($class->getConstructor()?->class === $class->name && $class->getConstructor()->isPublic()) {
                $this->constructor($class, $class->getConstructor(), $seen);
            }
            self::assertNotFalse($class->getDocComment(), $class->name);
        }
        foreach (get_defined_functions()['user'] as $function) {
            if (str_starts_with($function, 'posconnect\\')) {
                $this->routine(null, new ReflectionFunction($function), $seen);
            }
        }
        self::assertGreaterThan(200, $seen['types']);
        self::assertGreaterThan(30, $seen['refined']);
        self::assertGreaterThan(10, $seen['broken']);
    }

    private function property(ReflectionClass $class, ReflectionProperty $property, array &$seen): void
    {
        $where = "$class->name::\$$property->name";
        if ($class->isEnum()) {
            return;
        }
        $tags = self::parsed($property->getDocComment(), $where)->getVarTagValues();
        self::assertCount(1, $tags, $where);
        self::assertAgree($tags[0]->type, $property->getType(), $class, $where, $seen);
    }

    private function constructor(ReflectionClass $class, ReflectionMethod $method, array &$seen): void
    {
        foreach ($method->getParameters() as $parameter) {
            if (!$parameter->isPromoted() && $parameter->name !== 'previous') {
                $this->routine($class, $method, $seen);

                return;
            }
        }
    }

    private function routine(?ReflectionClass $class, ReflectionFunctionAbstract $routine, array &$seen): void
    {
        $where = ($class?->name ?? '') . "::$routine->name";
        if ($class?->isEnum() || str_starts_with($routine->name, '__') && !$routine instanceof ReflectionMethod) {
            return;
        }
        $parsed = self::parsed($routine->getDocComment(), $where);
        $tags = [];
        foreach ($parsed->getParamTagValues() as $tag) {
            $tags[$tag->parameterName] = $tag->type;
        }
        $names = array_map(fn ($one) => "\$$one->name", $routine->getParameters());
        self::assertSame($names, array_keys($tags), $where);
        foreach ($routine->getParameters() as $parameter) {
            $at = "$where(\$$parameter->name)";
            self::assertAgree($tags["\$$parameter->name"], $parameter->getType(), $class, $at, $seen);
        }
        if ($routine instanceof ReflectionMethod && $routine->isConstructor()) {
            return;
        }
        self::assertCount(1, $parsed->getReturnTagValues(), $where);
        self::assertStringNotContainsString('float', (string) $routine->getReturnType(), $where);
        self::assertAgree($parsed->getReturnTagValues()[0]->type, $routine->getReturnType(), $class, $where, $seen);
        foreach ($parsed->getThrowsTagValues() as $tag) {
            self::assertTrue(is_subclass_of(self::named((string) $tag->type, $class), Throwable::class), $where);
        }
    }

    private static function parsed(string|false $comment, string $where): PhpDocNode
    {
        self::assertNotFalse($comment, "$where has no comment");
        $constants = new ConstExprParser();
        $parser = new PhpDocParser(new TypeParser($constants), $constants);
        $node = $parser->parse(new TokenIterator((new Lexer())->tokenize($comment)));
        foreach ($node->getTags() as $tag) {
            self::assertStringNotContainsString('InvalidTagValueNode', $tag->value::class, "$where: $tag");
            self::assertContains($tag->name, ['@var', '@param', '@return', '@throws', '@internal'], $where);
        }

        return $node;
    }

    private static function assertAgree(TypeNode $told, ?ReflectionType $declared, ?ReflectionClass $class, string $where, array &$seen): void
    {
        self::assertNotNull($declared, "$where declares no type");
        $erased = self::erased($told, $class);
        sort($erased);
        $names = [...explode('|', ltrim((string) $declared, '?')), ...str_starts_with((string) $declared, '?') ? ['null'] : []];
        if (in_array('float', $names, true)) {
            // Let through to be refused, because PHP would cut it; no comment promises it.
            self::assertContains('int', $names, $where);
            $names = array_diff($names, ['float']);
            $seen['broken']++;
        }
        sort($names);
        self::assertSame($names, $erased, "$where: `$told` and `$declared`");
        $seen['types']++;
        $seen['refined'] += str_contains((string) $told, '<') ? 1 : 0;
        if (in_array('array', $names, true)) {
            self::assertMatchesRegularExpression('/list<|array<string, /', (string) $told, $where);
        }
    }

    /**
     * The types of PHP's own that a documented one comes to.
     *
     * @return list<string>
     */
    private static function erased(TypeNode $told, ?ReflectionClass $class): array
    {
        return match (true) {
            $told instanceof UnionTypeNode => array_merge(...array_map(fn ($one) => self::erased($one, $class), $told->types)),
            $told instanceof ArrayTypeNode => ['array'],
            $told instanceof GenericTypeNode => [self::generic($told, $class)],
            $told instanceof IdentifierTypeNode => [self::named($told->name, $class)],
            default => self::fail("no rule for `$told`"),
        };
    }

    private static function generic(GenericTypeNode $told, ?ReflectionClass $class): string
    {
        $name = $told->type->name;
        if ($name === 'int') {
            return 'int';
        }
        self::assertContains($name, ['list', 'array']);
        foreach ($told->genericTypes as $one) {
            self::erased($one, $class);
        }

        return 'array';
    }

    private static function named(string $name, ?ReflectionClass $class): string
    {
        if (in_array($name, ['int', 'bool', 'string', 'null', 'void', 'self', 'mixed', 'array'], true)) {
            return $name;
        }
        $full = $name[0] === '\\' ? substr($name, 1) : ($class?->getNamespaceName() ?? 'PosConnect') . "\\$name";
        self::assertTrue(class_exists($full) || interface_exists($full), "`$name` is no class");

        return $full;
    }
}
