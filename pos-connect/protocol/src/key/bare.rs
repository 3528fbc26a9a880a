//! Keys where somebody else signs and verifies: a browser, by WebCrypto.

use super::has_small_order;

/// The octets of a point. Whoever verifies by them finds out whether they are one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Point([u8; 32]);

impl Point {
    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The octets, if they are no point of small order.
pub(super) fn point(octets: &[u8; 32]) -> Option<Point> {
    (!has_small_order(octets)).then_some(Point(*octets))
}
