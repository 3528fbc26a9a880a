//! How a shop is admitted: its row, its user id and the one-time code that it registers with.
//!
//! In this release the operator admits shops; the confirmation by each institution (Fig. 2) comes
//! with the shop's own application.

use std::time::Duration;

use pos_protocol::enrolment::EnrolmentCode;
use pos_protocol::id::{ShopId, UserId};
use pos_protocol::secret::SecretText;

use crate::app::App;
use crate::store::StoreError;
use crate::store::rows::ShopRow;
use crate::store::verbs::SetEnrolment;

/// How long a code counts that is shown on a screen (NIST SP 800-63B-4: 10 minutes).
pub const ON_SCREEN: Duration = Duration::from_secs(600);

/// What a newly admitted shop is given. The code is shown once and kept nowhere.
#[derive(Debug)]
pub struct Admission {
    /// The shop.
    pub shop: ShopRow,
    /// Its code.
    pub code: SecretText,
}

/// Admits a shop and makes its first enrolment code.
///
/// # Errors
/// [`StoreError`].
pub async fn admit(
    app: &App,
    name: &str,
    email: Option<&str>,
    valid_for: Duration,
) -> Result<Admission, StoreError> {
    let now = app.clock.now();
    let shop = ShopRow {
        id: ShopId::fresh(now, app.entropy.array()),
        name: name.into(),
        email: email.map(Into::into),
        user_id: UserId::fresh(now, app.entropy.array()),
        created_at: now,
    };
    app.store.add_shop(shop.clone()).await?;
    let code = new_code(app, shop.id, valid_for).await?;
    // The shop was added a moment ago, and nothing removes one.
    let code = code.ok_or(StoreError::Corrupt { what: "shop" })?;
    Ok(Admission { shop, code })
}

/// Makes a new enrolment code for a shop, for a lost key or a lapsed code; the one before ends.
/// `None` when there is no such shop.
///
/// # Errors
/// [`StoreError`].
pub async fn new_code(
    app: &App,
    shop: ShopId,
    valid_for: Duration,
) -> Result<Option<SecretText>, StoreError> {
    let code = EnrolmentCode::new(app.entropy.array(), &app.keys.answer.public());
    let enrolment_key = code.enrolment_key().public();
    let now = app.clock.now();
    let set = SetEnrolment { shop, enrolment_key, expires_at: now.plus(valid_for), now };
    Ok(app.store.set_enrolment(set).await?.then(|| code.printed()))
}
