//! The host's event loop turns everything, and a callback may call any verb.

use crate::error::Error;

#[expect(clippy::unnecessary_wraps, reason = "where verbs block, a callback may not call one")]
pub(crate) const fn refuse_nested() -> Result<(), Error> {
    Ok(())
}
