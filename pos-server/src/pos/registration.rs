//! Initial registration (Fig. 3, paragraphs 55 to 58): the password is set and the first module key
//! registered, and the enrolment code is spent, in one transaction.

use pos_protocol::ErrorCode;
use pos_protocol::enrolment::registration_proof;
use pos_protocol::key::PublicKey;
use pos_protocol::secret::SecretText;
use pos_protocol::text::base64url;
use pos_protocol::wire::{KeyRole, RegisterRequest, RegistrationAnswer};
use sha2::{Digest as _, Sha256};

use super::password::check_strength;
use crate::app::App;
use crate::http::v1::error::ApiError;
use crate::store::rows::KeyRow;
use crate::store::verbs::{Admitted, Register};

/// How many one-time recovery codes a shop gets.
const RECOVERY_CODES: usize = 10;

/// Registers `caller`, the key that signed the call, as the shop's first module key.
///
/// # Errors
/// `credential_refused` for a wrong user id or code, whichever; `invalid_field` for a weak
/// password, which spends nothing.
pub async fn register(
    app: &App,
    caller: PublicKey,
    request: RegisterRequest,
) -> Result<RegistrationAnswer, ApiError> {
    let refused = || ApiError::new(ErrorCode::CredentialRefused);
    if request.key != caller {
        return Err(refused());
    }
    check_strength(&request.password).map_err(|weak| {
        let message = format!("The password {weak}.");
        ApiError::with_message(ErrorCode::InvalidField, message).field("password")
    })?;
    let now = app.clock.now();
    let login = app.store.read(move |reader| reader.login(request.user_id)).await?;
    let login = login.ok_or_else(refused)?;
    let enrolment = login.enrolment.ok_or_else(refused)?;
    let proof = registration_proof(&request.user_id, &request.key);
    let enrolment_key = enrolment.enrolment_key;
    enrolment_key.verify(&proof, &request.code_proof).map_err(|_| refused())?;
    let password_hash = app.passwords.hash(request.password, app.entropy.as_ref()).await?;

    let recovery: Vec<_> = (0..RECOVERY_CODES).map(|_| secret_code(app)).collect();
    let panic = secret_code(app);
    let verb = Register {
        shop: login.shop,
        enrolment_key,
        key: module_key(login.shop, request.key, now),
        password_hash,
        recovery_codes: recovery.iter().map(digest).collect(),
        panic_code: digest(&panic),
        now,
    };
    match app.store.register(verb).await? {
        Admitted::Yes => {}
        Admitted::No => return Err(refused()),
    }
    let poses = app.store.read(move |reader| reader.poses(login.shop)).await?;
    Ok(RegistrationAnswer {
        shop_id: login.shop,
        key_id: request.key.id(),
        pos_ids: poses.into_iter().map(|pos| pos.id).collect(),
        recovery_codes: recovery,
        panic_code: panic,
    })
}

/// A module key as it is first kept: for the whole shop, without a planned end.
pub(super) fn module_key(
    shop: pos_protocol::id::ShopId,
    public: PublicKey,
    now: pos_protocol::Timestamp,
) -> KeyRow {
    KeyRow {
        shop,
        public,
        role: KeyRole::Module,
        pos: None,
        created_at: now,
        ends_at: None,
        idle_at: None,
        first_used_at: None,
        ended_at: None,
    }
}

/// 128 random bits as text.
fn secret_code(app: &App) -> SecretText {
    SecretText::new(base64url(&app.entropy.array::<16>()))
}

/// Codes are random and long, so a plain digest keeps them as well as a slow one.
fn digest(code: &SecretText) -> [u8; 32] {
    Sha256::digest(code.expose()).into()
}
