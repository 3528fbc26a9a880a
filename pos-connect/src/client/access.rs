//! Registration, sign-in and keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use pos_protocol::ErrorCode;
use pos_protocol::enrolment::{EnrolmentCode, key_roll_proof, registration_proof};
use pos_protocol::id::{IdempotencyKey, UserId};
use pos_protocol::key::KeyId;
use pos_protocol::secret::SecretText;
use pos_protocol::wire::{
    KeyAnswer, KeyList, LoginRequest, RegisterRequest, RegistrationAnswer, RevokeKeyRequest,
    RollKeyRequest, SessionAnswer, SignOutRequest, route,
};

use super::drive::json;
use super::{Connection, Role, Setup};
use crate::config::ConfigError;
use crate::error::{Error, ModuleCode};
use crate::exchange::{Call, Effect, Trust};
use crate::keys::{Change, StoredKeys};

impl Connection {
    /// Registers the shop's software with the code that the operator gave: makes a module key,
    /// stores it, then sends it with the password that `user_id` signs in by from now on (15 to 128
    /// characters). The code pins the server's answer key, so that nobody in between can stand in
    /// for the server.
    ///
    /// The answer holds the recovery codes and the panic code: show them once to the person in
    /// charge. After a crash, an error of kind `Wait`, or one of the key store (`key_store`: the
    /// server may have the key, and it could not be noted), register again with the same code: the
    /// stored key is used again, and the answer repeated with fresh recovery codes.
    ///
    /// # Errors
    /// `SignInAgain` (`credential_refused`) for a code or user id that is not right or has ended;
    /// `FixTheRequest` for a password that is too simple, or a key store that holds a registered
    /// key; `GiveUp` when the server cannot prove that it is the one that the code was made for.
    pub async fn register(
        setup: Setup,
        user_id: UserId,
        password: SecretText,
        code: &EnrolmentCode,
    ) -> Result<(Self, RegistrationAnswer), Error> {
        let language = setup.config.language;
        let keys = keys_to_register(&setup, code).await;
        let keys = keys.map_err(|error| error.in_language(language))?;
        let key = keys.module_key.public();
        let proof = setup.sign_by_code(code, &registration_proof(&user_id, &key)).await;
        let body = RegisterRequest {
            code_proof: proof.map_err(|error| error.in_language(language))?,
            user_id,
            password,
            key,
        };
        let trust = Trust { pin: keys.pin, answer_key: keys.answer_key, offset_ms: 0 };
        let signer = setup.signer(&keys.module_key);
        let connection = setup.connect(Role::Module, signer, trust, keys.seals)?;
        let call = Call::post(route::REGISTRATIONS, json(&body), Effect::Repeatable(None));
        let answer: RegistrationAnswer = connection.ask(call).await?;
        connection.state().shop_id = Some(answer.shop_id);
        connection.store(Change::Registered(answer.shop_id)).await?;
        Ok((connection, answer))
    }

    /// Opens the line with the key of the store. Nothing is sent yet.
    ///
    /// # Errors
    /// `SignInAgain` (`not_registered`) when the store holds no registered key; `FixTheRequest`
    /// (`configuration`) for settings that cannot be used.
    pub async fn open(setup: Setup) -> Result<Self, Error> {
        let language = setup.config.language;
        let stored = setup.stores.keys.load().await;
        let stored = stored.map_err(|cause| Error::from(cause).in_language(language))?;
        let registered = stored.and_then(|keys| keys.shop_id.map(|shop_id| (keys, shop_id)));
        let Some((keys, shop_id)) = registered else {
            return Err(Error::module(ModuleCode::NotRegistered, None).in_language(language));
        };
        let trust = Trust { pin: keys.pin, answer_key: keys.answer_key, offset_ms: 0 };
        let signer = setup.signer(&keys.module_key);
        let connection = setup.connect(Role::Module, signer, trust, keys.seals)?;
        connection.state().shop_id = Some(shop_id);
        Ok(connection)
    }

    /// Signs a person in: a fresh key, held in memory only, acts for the shop until
    /// [`sign_out`](Self::sign_out), 15 minutes of silence, or 12 hours.
    ///
    /// The server's answer key is the one that the key store has pinned, or else the one of
    /// [`Config::with_answer_key`](crate::Config::with_answer_key).
    ///
    /// # Errors
    /// `SignInAgain` (`credential_refused`) for a wrong user id or password; `Wait`
    /// (`login_locked`) after too many wrong ones.
    pub async fn login(
        setup: Setup,
        user_id: UserId,
        password: SecretText,
    ) -> Result<(Self, SessionAnswer), Error> {
        let language = setup.config.language;
        let told = |error: Error| error.in_language(language);
        let stored = setup.stores.keys.load().await.map_err(|cause| told(cause.into()))?;
        let (pin, answer_key, seals) = match (stored, setup.config.answer_key) {
            (Some(keys), _) => (keys.pin, keys.answer_key, keys.seals),
            (None, Some(pin)) => (pin, None, BTreeMap::new()),
            (None, None) => return Err(told(ConfigError::NoAnswerKey.into())),
        };
        let session_key = setup.seed().await.map_err(told)?;
        let session_key = setup.signer(&session_key);
        let body = LoginRequest { user_id, password, key: session_key.public() };
        let trust = Trust { pin, answer_key, offset_ms: 0 };
        let connection = setup.connect(Role::Session, session_key, trust, seals)?;
        let call = Call::post(route::SESSIONS, json(&body), Effect::Repeatable(None));
        let answer: SessionAnswer = connection.ask(call).await?;
        connection.state().shop_id = Some(answer.shop_id);
        Ok((connection, answer))
    }

    /// Ends the session that this connection acts with: closes it here, whatever comes of the call,
    /// and then ends it at the server. One that had ended before is signed out all the same, and so
    /// is one that is signed out again.
    ///
    /// # Errors
    /// As for every call: the server may not have heard. Sign out again, or let the session run out.
    /// `GiveUp` (`not_permitted`) for a module key's connection, which stays open.
    pub async fn sign_out(&self) -> Result<(), Error> {
        let key = self.key_named("out", &self.key_id())?;
        let effect = Effect::Repeatable(Some(key));
        let call = Call::post(route::SIGN_OUT, json(&SignOutRequest {}), effect);
        if self.0.role == Role::Session {
            self.close();
        }
        match self.ask_anyway(call).await {
            Err(error) if !error.says(ErrorCode::SessionEnded) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Closes this connection and its clones: verbs begun from now on are refused, those under way
    /// go on. Neither key nor session ends by it.
    pub fn close(&self) {
        self.state().is_closed = true;
    }

    /// The shop's keys that have not ended, newest first.
    ///
    /// # Errors
    /// As for every call.
    pub async fn list_keys(&self) -> Result<Vec<KeyAnswer>, Error> {
        let list: KeyList = self.ask(Call::get(route::KEYS)).await?;
        Ok(list.keys)
    }

    /// Replaces the module key by a fresh one, which is stored before it is sent and used once the
    /// server has it. The old one stays good for 24 hours, for other processes that still hold it;
    /// they find the new one in the store.
    ///
    /// # Errors
    /// `FixTheRequest` (`not_a_module_key`) on a session's connection. After any error the old key is still used, and
    /// rolling again goes on with the same new key.
    pub async fn roll_key(&self) -> Result<KeyAnswer, Error> {
        if self.0.role == Role::Session {
            return Err(self.told(Error::module(ModuleCode::NotAModuleKey, None)));
        }
        let setup = &self.0.setup;
        let fresh = setup.seed().await.map_err(|error| self.told(error))?;
        let stored = self.store(Change::NextKey(fresh)).await?;
        let next = stored.next_key.map(|key| setup.signer(&key));
        let next = next.expect("a successor was stored just now");
        // Another process may have rolled the key that this one still holds.
        let present = Arc::new(setup.signer(&stored.module_key));
        let old = present.public();
        self.state().signer = present;
        let proof = next.sign(&key_roll_proof(&old, &next.public())).await;
        let proof = proof.map_err(|cause| self.told(cause.into()))?;
        let body = RollKeyRequest { key: next.public(), proof };
        let key = self.key_named("roll", &next.public().id())?;
        let call = Call::post(route::KEY_ROLL, json(&body), Effect::Repeatable(Some(key)));
        let answer = self.ask(call).await?;
        self.store(Change::Promote(next.public())).await?;
        self.state().signer = next.into();
        Ok(answer)
    }

    /// Ends a key of the shop at once, for good. The one that signs this call may end itself;
    /// another one takes a person's session.
    ///
    /// # Errors
    /// `FixTheRequest` (`not_found`) for a key that is none of the shop's; `GiveUp`
    /// (`not_permitted`) when this key may not.
    pub async fn revoke_key(&self, key_id: &KeyId) -> Result<KeyAnswer, Error> {
        let path = route::KEY_REVOKE.replace("{key_id}", &key_id.to_string());
        let effect = Effect::Repeatable(Some(self.fresh_key()?));
        self.ask(Call::post(path, json(&RevokeKeyRequest {}), effect)).await
    }

    async fn store(&self, change: Change) -> Result<StoredKeys, Error> {
        self.keys().change(change).await.map_err(|cause| self.told(cause.into()))
    }

    /// The same idempotency key for every try of something that can happen once to a key.
    fn key_named(&self, verb: &str, key_id: &KeyId) -> Result<IdempotencyKey, Error> {
        Ok(format!("{verb}-{key_id}").parse().expect("a verb and 43 characters of base64url fit"))
    }
}

/// The key to register with: one that an earlier try has stored, or a fresh one, stored now.
async fn keys_to_register(setup: &Setup, code: &EnrolmentCode) -> Result<StoredKeys, Error> {
    let pin = code.answer_key();
    match setup.stores.keys.load().await? {
        None => {
            let keys = StoredKeys::new(setup.seed().await?, pin);
            setup.stores.keys.create(keys.clone()).await?;
            Ok(keys)
        }
        Some(keys) if keys.shop_id.is_some() => {
            Err(Error::module(ModuleCode::AlreadyRegistered, None))
        }
        // Walked on from the code's pin in an earlier try, or pinned by another code.
        Some(keys) if keys.pin != pin => Ok(setup.stores.keys.change(Change::Pin(pin)).await?),
        Some(keys) => Ok(keys),
    }
}
