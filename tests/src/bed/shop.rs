//! Shops of a bed: admitted by the operator's commands, with POSes and contracts.

use pos_protocol::enrolment::{EnrolmentCode, registration_proof};
use pos_protocol::id::{ContractId, ContractNumber, InstitutionId, OrderId, PosId, ShopId, UserId};
use pos_protocol::key::{PublicKey, SigningKey};
use pos_protocol::money::{Amount, Currency, Money};
use pos_protocol::seal::{Binding, SealedOperation};
use pos_protocol::secret::SecretText;
use pos_protocol::wire::{RegisterRequest, RegistrationAnswer, route};
use serde::Deserialize;

use super::institution::Institutions;
use super::server::Server;
use crate::error::BedError;
use crate::raw::{self, Answer, Caller, Draft};

/// The password of every shop of a bed.
pub const PASSWORD: &str = "correct horse battery staple";

/// What a newly admitted shop was given.
#[derive(Clone, Debug, Deserialize)]
pub struct Enrolment {
    /// The shop.
    pub shop_id: ShopId,
    /// What it signs in with.
    pub user_id: UserId,
    /// What it registers with.
    pub enrolment_code: SecretText,
}

/// One virtual POS of a shop.
#[derive(Clone, Debug)]
pub struct PosKit {
    /// The POS.
    pub pos_id: PosId,
    /// What is registered on it, in the order of registration.
    pub contracts: Vec<ContractKit>,
}

/// One contract on a POS.
#[derive(Clone, Debug)]
pub struct ContractKit {
    /// What `pay` names.
    pub contract_id: ContractId,
    /// With whom.
    pub institution: InstitutionId,
    /// The institution's number for the shop.
    pub number: ContractNumber,
}

impl ContractKit {
    /// What an envelope for this contract is bound to.
    ///
    /// # Panics
    /// For an amount that is none: a test that wants one bends the envelope's order instead.
    pub fn binding(
        &self,
        operation: SealedOperation,
        order_id: &OrderId,
        minor: u64,
        currency: Currency,
    ) -> Binding {
        Binding {
            institution: self.institution.clone(),
            contract_number: self.number.clone(),
            operation,
            order_id: order_id.clone(),
            money: Money { amount: Amount::new(minor).expect("an amount"), currency },
        }
    }
}

/// A shop with POSes and contracts, registered.
#[derive(Debug)]
pub struct ShopKit {
    /// What it was given.
    pub enrolment: Enrolment,
    /// Its POSes; the first is the web shop's.
    pub poses: Vec<PosKit>,
    /// Its module key.
    pub key: SigningKey,
    /// What the registration answered.
    pub registration: RegistrationAnswer,
}

impl ShopKit {
    /// The contract with an institution on the first POS that has one.
    ///
    /// # Errors
    /// [`BedError::Unknown`].
    pub fn contract(&self, institution: &str) -> Result<&ContractKit, BedError> {
        let mut all = self.poses.iter().flat_map(|pos| &pos.contracts);
        let found = all.find(|contract| contract.institution.as_str() == institution);
        found.ok_or_else(|| BedError::Unknown(format!("contract with {institution}")))
    }
}

/// Admits a shop.
///
/// # Errors
/// [`BedError::Command`].
pub async fn admit(server: &Server, name: &str) -> Result<Enrolment, BedError> {
    let answer = server.operate(&["shop", "add", "--name", name]).await?;
    serde_json::from_value(answer).map_err(BedError::answer("the answer to `shop add`"))
}

/// Gives a shop a POS with a contract at each of the institutions `ids`, which are told of it.
///
/// # Errors
/// [`BedError::Command`], or what the institutions' control address said.
pub async fn equip(
    server: &Server,
    institutions: &Institutions,
    shop: ShopId,
    purpose: &str,
    ids: &[InstitutionId],
) -> Result<PosKit, BedError> {
    #[derive(Deserialize)]
    struct PosAdded {
        pos_id: PosId,
    }
    #[derive(Deserialize)]
    struct ContractAdded {
        contract_id: ContractId,
    }
    let words = ["pos", "add", &shop.to_string(), "--name", purpose, "--purpose", purpose];
    let answer = server.operate(&words).await?;
    let PosAdded { pos_id } =
        serde_json::from_value(answer).map_err(BedError::answer("the answer to `pos add`"))?;
    let mut contracts = Vec::new();
    for institution in ids {
        let digits = u32::from_le_bytes(raw::random()) % 100_000_000;
        let number = format!("49{digits:08}");
        institutions.add_contract(institution, &number).await?;
        let (pos, id) = (pos_id.to_string(), institution.as_str());
        let words = ["pos", "contract", &pos, "--institution", id, "--number", &number];
        let answer = server.operate(&words).await?;
        let ContractAdded { contract_id } = serde_json::from_value(answer)
            .map_err(BedError::answer("the answer to `pos contract`"))?;
        let number = number.parse().expect("ten digits are a contract number");
        contracts.push(ContractKit { contract_id, institution: institution.clone(), number });
    }
    Ok(PosKit { pos_id, contracts })
}

/// The call that registers `key` for a shop, bare: what the module sends.
///
/// # Panics
/// For a code that is none.
pub fn registration_draft(enrolment: &Enrolment, password: &str, key: &SigningKey) -> Draft {
    let code = EnrolmentCode::parse(enrolment.enrolment_code.expose()).expect("the printed code");
    let proof = registration_proof(&enrolment.user_id, &key.public());
    let request = RegisterRequest {
        user_id: enrolment.user_id,
        password: SecretText::new(password.to_owned()),
        key: key.public(),
        code_proof: code.enrolment_key().sign(&proof),
    };
    let body = serde_json::to_value(&request).expect("a request is JSON");
    Draft::post(route::REGISTRATIONS, &body)
}

/// Registers `key` for a shop, bare.
///
/// # Errors
/// [`BedError::Line`].
pub async fn register(
    server: &Server,
    enrolment: &Enrolment,
    password: &str,
    key: &SigningKey,
) -> Result<Answer, BedError> {
    let draft = registration_draft(enrolment, password, key);
    let caller = caller(server, SigningKey::from_seed(&key.seed()));
    caller.call(&server.place()?, &draft).await
}

/// One who calls this server with this key.
pub fn caller(server: &Server, key: SigningKey) -> Caller {
    let address = server.address();
    let answer_key: PublicKey = address.answer_key;
    Caller { authority: address.authority.clone(), key, answer_key }
}
