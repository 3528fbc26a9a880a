//! The signature base (RFC 9421 section 2.5): what is really signed.

/// Writes a signature base line by line into one buffer.
pub(super) struct Base {
    text: String,
}

impl Base {
    /// An empty base with room for `capacity` octets.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { text: String::with_capacity(capacity) }
    }

    /// Adds the line of one component. `identifier` is the component's name in quotes with its
    /// parameters, as it stands in the covered list; `value` must not contain a line end.
    pub(super) fn line(&mut self, identifier: &str, value: &[&str]) {
        self.text.push_str(identifier);
        self.text.push_str(": ");
        for piece in value {
            self.text.push_str(piece);
        }
        self.text.push('\n');
    }

    /// Adds the last line, whose value `write` appends, and gives the whole base with the offset at
    /// which that value begins.
    pub(super) fn finish(mut self, write: impl FnOnce(&mut String)) -> (String, usize) {
        self.text.push_str("\"@signature-params\": ");
        let start = self.text.len();
        write(&mut self.text);
        (self.text, start)
    }
}

/// Appends a decimal number.
pub(super) fn push_number(text: &mut String, number: u64) {
    use std::fmt::Write as _;
    write!(text, "{number}").expect("a String takes every write");
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::key::{Signature, SigningKey};
    use crate::sign::received::byte_sequence;
    use crate::text::fixed_from_base64url;

    /// Appendix B of RFC 9421: our writer makes its bases, our key its Ed25519 signatures.
    #[test]
    fn the_bases_of_rfc_9421() {
        let vectors = include_str!("../../../../tests/vectors/rfc9421.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let seed = fixed_from_base64url(&text(&vectors["key"]["d"])).unwrap();
        let key = SigningKey::from_seed(&seed);
        assert_eq!(key.public(), text(&vectors["key"]["x"]).parse().unwrap());
        assert_eq!(key.public().id().to_string(), text(&vectors["key"]["thumbprint"]));

        let mut signed = 0;
        for vector in vectors["bases"].as_array().unwrap() {
            let (mut base, mut covered) = (Base::with_capacity(0), Vec::new());
            for line in vector["lines"].as_array().unwrap() {
                base.line(&text(&line["identifier"]), &[&text(&line["value"])]);
                covered.push(text(&line["identifier"]));
            }
            let params = format!("({}){}", covered.join(" "), text(&vector["params"]));
            let (base, start) = base.finish(|text| text.push_str(&params));
            assert_eq!(base, text(&vector["base"]), "{}", vector["section"]);
            assert_eq!(base[start..], params);
            if vector["key"] == "test-key-ed25519" {
                let (_, field) = vector["signature"].as_str().unwrap().split_once('=').unwrap();
                let signature = Signature::from_octets(byte_sequence(field.as_bytes()).unwrap());
                assert_eq!(key.sign(base.as_bytes()), signature, "{}", vector["section"]);
                assert_eq!(key.public().verify(base.as_bytes(), &signature), Ok(()));
                signed += 1;
            }
        }
        assert_eq!(signed, 2, "B.2.6 and B.4 are signed with Ed25519");
    }
}
