//! Comments, names and values as PHP writes them.

use anyhow::bail;
use uniffi_bindgen::interface::{DefaultValue, Literal, Type};

use super::surface::Surface;

/// Words that no class can be called by; matched without regard to case.
const RESERVED: &[&str] = &[
    "abstract",
    "and",
    "array",
    "as",
    "bool",
    "break",
    "callable",
    "case",
    "catch",
    "class",
    "clone",
    "const",
    "continue",
    "declare",
    "default",
    "die",
    "do",
    "echo",
    "else",
    "elseif",
    "empty",
    "enddeclare",
    "endfor",
    "endforeach",
    "endif",
    "endswitch",
    "endwhile",
    "eval",
    "exit",
    "extends",
    "false",
    "final",
    "finally",
    "float",
    "fn",
    "for",
    "foreach",
    "function",
    "global",
    "goto",
    "if",
    "implements",
    "include",
    "include_once",
    "instanceof",
    "insteadof",
    "int",
    "interface",
    "isset",
    "iterable",
    "list",
    "match",
    "mixed",
    "namespace",
    "never",
    "new",
    "null",
    "object",
    "or",
    "parent",
    "print",
    "private",
    "protected",
    "public",
    "readonly",
    "require",
    "require_once",
    "return",
    "self",
    "static",
    "string",
    "switch",
    "throw",
    "trait",
    "true",
    "try",
    "unset",
    "use",
    "var",
    "void",
    "while",
    "xor",
    "yield",
];

/// What a class can be called.
pub(super) fn class_name(name: &str) -> String {
    if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        format!("{name}_")
    } else {
        name.to_owned()
    }
}

impl Surface {
    /// A comment of these words and these tags; nothing where there is neither.
    pub(super) fn comment(&self, words: Option<&str>, tags: &[String]) -> String {
        let words = words.map(|words| self.in_php(words)).unwrap_or_default();
        let mut lines: Vec<&str> = words.lines().collect();
        if !lines.is_empty() && !tags.is_empty() {
            lines.push("");
        }
        lines.extend(tags.iter().map(String::as_str));
        if lines.is_empty() {
            return String::new();
        }
        let mut comment = String::from("/**\n");
        for line in lines {
            comment.push_str(format!(" * {line}").trim_end());
            comment.push('\n');
        }
        comment + " */\n"
    }

    /// What the surface says, with the names that PHP gives to what it speaks of.
    fn in_php(&self, words: &str) -> String {
        // A line that begins with it would be read as a tag, and `*/` would end the comment.
        let words = words.trim().replace("*/", "*\u{200b}/").replace("\n@", "\n\\@");
        let words = words.replace("# Errors\n", "Errors:\n\n").replace("\n\n\n", "\n\n");
        let parts = words.split('`').enumerate().map(|(at, part)| match self.spoken(part) {
            Some(name) if !at.is_multiple_of(2) => name,
            _ => part,
        });
        parts.collect::<Vec<_>>().join("`")
    }
}

/// A value that an argument has where none is given.
pub(super) fn default(value: &DefaultValue, of: &Type) -> anyhow::Result<String> {
    Ok(match value {
        DefaultValue::Default => match of {
            Type::Optional { .. } => "null".into(),
            Type::Sequence { .. } | Type::Map { .. } => "[]".into(),
            Type::Boolean => "false".into(),
            Type::String => "''".into(),
            other => bail!("PHP has no default for {other:?}"),
        },
        DefaultValue::Literal(literal) => match literal {
            Literal::Boolean(yes) => yes.to_string(),
            Literal::String(text) => quoted(text),
            Literal::UInt(number, ..) => number.to_string(),
            Literal::Int(number, ..) => number.to_string(),
            Literal::EmptySequence | Literal::EmptyMap => "[]".into(),
            Literal::None => "null".into(),
            Literal::Some { inner } => default(inner, of)?,
            other => bail!("PHP has no form for the default {other:?}"),
        },
    })
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Every line that holds something, further in by so many steps.
pub(super) fn indented(text: &str, steps: usize) -> String {
    let lines = text.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("{}{line}\n", "    ".repeat(steps)),
    });
    lines.collect()
}
