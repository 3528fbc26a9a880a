//! The whole, end to end: the real server and institutions as processes, shops by the real module or by
//! bare calls. One program, because each costs half a minute of compiling and linking.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as expected")]
#![expect(clippy::arithmetic_side_effects, reason = "a sum that overflows ends a test too")]

use pos_tests::BedOptions;
use pos_tests::shared::Shared;

mod access;
mod audit;
mod backup;
mod bad_input;
mod bodies;
mod canaries;
mod crashes;
mod disk;
mod faults;
mod forgery;
mod hostile;
mod matrix;
mod moving;
mod notices;
mod races;
mod reconcile;
mod restart;
mod routing;
mod several;
mod shop_killed;
mod signatures;
mod undo;
mod verbs;

/// The bed of all tests that leave the server, the institutions and other tests' shops as they are. A
/// module that switches faults on, switches something off or ends a process has one of its own.
static BED: Shared = Shared::new(BedOptions::default);
