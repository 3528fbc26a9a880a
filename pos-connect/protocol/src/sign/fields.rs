//! Octets to sign that are no HTTP message: length-prefixed fields.

/// The fields one after another, each preceded by its length as four octets, most significant
/// first. The first field of every message is its purpose and version, so that a signature made for
/// one purpose fits no other; the lengths keep two neighbours from being split elsewhere.
///
/// # Panics
/// When a field is longer than 4 GiB, which none of the protocol's can be.
pub fn length_prefixed(fields: &[&[u8]]) -> Vec<u8> {
    let mut octets =
        Vec::with_capacity(fields.iter().map(|field| field.len().saturating_add(4)).sum());
    for field in fields {
        let length = u32::try_from(field.len()).expect("a field is shorter than 4 GiB");
        octets.extend_from_slice(&length.to_be_bytes());
        octets.extend_from_slice(field);
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_cannot_trade_octets() {
        assert_eq!(length_prefixed(&[b"ab", b"", b"c"]), b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c");
        assert_ne!(length_prefixed(&[b"ab", b"c"]), length_prefixed(&[b"a", b"bc"]));
    }
}
