//! The signature base (RFC 9421 section 2.5): what is really signed.

/// Writes a signature base line by line into one buffer.
pub(super) struct Base {
    text: String,
}

impl Base {
    /// An empty base with room for `capacity` octets.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            text: String::with_capacity(capacity),
        }
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
