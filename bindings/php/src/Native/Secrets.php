<?php

declare(strict_types=1);

namespace PosConnect\Native;

/**
 * Keeps secrets out of dumps, logs and sessions.
 *
 * @internal
 */
final class Secrets
{
    /**
     * @param array<string, mixed> $fields
     * @param list<string> $secrets
     * @return array<string, mixed>
     */
    public static function masked(#[\SensitiveParameter] array $fields, array $secrets): array
    {
        foreach ($secrets as $name) {
            if ($fields[$name] !== null) {
                $fields[$name] = '(secret)';
            }
        }

        return $fields;
    }

    /**
     * The fields, if none of them is a secret.
     *
     * @param array<string, mixed> $fields
     * @param list<string> $secrets
     * @return array<string, mixed>
     */
    public static function none(
        string $class,
        #[\SensitiveParameter] array $fields,
        array $secrets,
    ): array {
        foreach ($secrets as $name) {
            if ($fields[$name] !== null) {
                throw new \LogicException("$class::\$$name is a secret, and is not serialised.");
            }
        }

        return $fields;
    }
}
