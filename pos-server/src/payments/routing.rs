//! Which contract a payment uses: by method, amount, currency and what is switched on (`wire.md`
//! 4). Routing never guesses: a contract that cannot be used is named with its reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pos_protocol::ErrorCode;
use pos_protocol::id::{InstitutionId, PosId};
use pos_protocol::money::Money;
use pos_protocol::payment::OperationKind;
use pos_protocol::seal::SignedSealKeySet;
use pos_protocol::wire::{
    Candidate, ContractView, CurrencyLimits, MethodsAnswer, QuoteAnswer, QuoteRequest, Rejection,
};

use crate::app::App;
use crate::connectors::{CurrencyTerms, Institution};
use crate::http::v1::error::ApiError;
use crate::http::v1::identity::Shop;
use crate::store::rows::ContractRow;

/// How long a shop may keep what `methods` answered, in milliseconds. A contract that was switched
/// off meanwhile is refused when paying.
const KEEP_MS: u64 = 60_000;

/// Whether a new payment of this kind may go through the contract.
///
/// # Errors
/// The reason why not.
pub fn usable(
    contract: &ContractRow,
    institution: &Institution,
    kind: OperationKind,
    money: Money,
) -> Result<(), ErrorCode> {
    if !institution.connector().capabilities().operations.contains(&kind) {
        return Err(ErrorCode::OperationUnsupported);
    }
    open(contract, institution, money)
}

/// Whether the contract is switched on and takes this money.
///
/// # Errors
/// The reason why not.
pub fn open(
    contract: &ContractRow,
    institution: &Institution,
    money: Money,
) -> Result<(), ErrorCode> {
    if !contract.enabled {
        return Err(ErrorCode::ContractDisabled);
    }
    if !institution.record().enabled {
        return Err(ErrorCode::InstitutionDisabled);
    }
    let terms = institution.connector().capabilities().terms(money.currency);
    let terms = terms.ok_or(ErrorCode::CurrencyNotAccepted)?;
    if !(terms.least..=terms.most).contains(&money.amount) {
        return Err(ErrorCode::AmountOutOfLimits);
    }
    Ok(())
}

/// Everything that the shop can be paid by now.
///
/// # Errors
/// `not_found` for another shop's POS.
pub async fn methods(
    app: &Arc<App>,
    shop: &Shop,
    pos: Option<PosId>,
) -> Result<MethodsAnswer, ApiError> {
    let mut contracts = Vec::new();
    let mut seal_keys: BTreeMap<InstitutionId, SignedSealKeySet> = BTreeMap::new();
    let patience = Patience::begin(app);
    for (contract, institution) in registered(app, shop, pos, "pos").await? {
        let Some(institution) = institution else { continue };
        if !contract.enabled || !institution.record().enabled {
            continue;
        }
        // Without its key set nothing can be sealed to it: it cannot be used now.
        let Ok(keys) = app.driver.seal_keys(&institution, patience.left(app)).await else {
            continue;
        };
        seal_keys.insert(contract.institution.clone(), keys.signed.clone());
        contracts.push(view(&contract, &institution));
    }
    Ok(MethodsAnswer { contracts, seal_keys: seal_keys.into_values().collect(), keep_ms: KEEP_MS })
}

/// The contract that a payment would use, or every contract with the reason why it would not.
///
/// # Errors
/// `not_found` for another shop's POS or contract.
pub async fn quote(
    app: &Arc<App>,
    shop: &Shop,
    request: &QuoteRequest,
) -> Result<QuoteAnswer, ApiError> {
    let (tenant, order) = (shop.id(), request.order_id.clone());
    let held = app.store.read(move |reader| reader.payment_of_order(tenant, &order)).await?;
    let taken = held.is_some_and(|payment| !payment.model().frees_order());
    let money = Money { amount: request.amount, currency: request.currency };
    let mut answer = QuoteAnswer { contract: None, seal_keys: None, considered: Vec::new() };
    let mut known = false;
    let patience = Patience::begin(app);
    for (contract, institution) in registered(app, shop, request.pos_id, "pos_id").await? {
        if request.contract_id.is_some_and(|only| only != contract.id) {
            continue;
        }
        known = true;
        let offers = institution.as_ref().is_some_and(|institution| {
            institution.connector().capabilities().methods.contains(&request.method)
        });
        if !offers {
            continue; // Another method's contract is not a candidate at all.
        }
        let Some(institution) = institution else { continue };
        let mut rejection = if taken {
            Some(ErrorCode::OrderTaken)
        } else if app.institutions.is_held(&contract.institution)
            || !institution.health.is_well(app.clock.monotonic())
        {
            Some(ErrorCode::InstitutionUnavailable)
        } else {
            open(&contract, &institution, money).err()
        };
        if rejection.is_none() && answer.contract.is_none() {
            match app.driver.seal_keys(&institution, patience.left(app)).await {
                Ok(keys) => {
                    answer.contract = Some(view(&contract, &institution));
                    answer.seal_keys = Some(keys.signed.clone());
                }
                Err(_) => rejection = Some(ErrorCode::InstitutionUnavailable),
            }
        }
        answer.considered.push(Candidate {
            contract_id: contract.id,
            pos_id: contract.pos,
            institution: contract.institution,
            rejection: rejection.map(Rejection::from),
        });
    }
    if request.contract_id.is_some() && !known {
        return Err(ApiError::new(ErrorCode::NotFound).field("contract_id"));
    }
    Ok(answer)
}

/// Lets pass what is a POS of the shop and within the key's scope.
///
/// # Errors
/// `not_found` naming `field`, also for another shop's POS.
pub async fn see_pos(app: &App, shop: &Shop, pos: PosId, field: &str) -> Result<(), ApiError> {
    let tenant = shop.id();
    let poses = app.store.read(move |reader| reader.poses(tenant)).await?;
    if shop.may_use(pos) && poses.iter().any(|one| one.id == pos) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::NotFound).field(field))
}

/// How long an answer may wait for seal keys that were never fetched, all institutions together.
struct Patience {
    until: Duration,
}

impl Patience {
    fn begin(app: &App) -> Self {
        Self { until: app.clock.monotonic().saturating_add(Duration::from_secs(3)) }
    }

    fn left(&self, app: &App) -> Duration {
        self.until.saturating_sub(app.clock.monotonic())
    }
}

type Registered = Vec<(ContractRow, Option<Arc<Institution>>)>;

/// The shop's contracts that the key may see, oldest first: that is the order of preference.
///
/// `field` is what the caller calls the POS that it narrows them to.
async fn registered(
    app: &App,
    shop: &Shop,
    pos: Option<PosId>,
    field: &str,
) -> Result<Registered, ApiError> {
    if let Some(wanted) = pos {
        see_pos(app, shop, wanted, field).await?;
    }
    let tenant = shop.id();
    let contracts = app.store.read(move |reader| reader.contracts(tenant)).await?;
    let seen = contracts.into_iter().filter(|contract| {
        shop.may_use(contract.pos) && pos.is_none_or(|only| only == contract.pos)
    });
    Ok(seen
        .map(|contract| {
            let institution = app.institutions.get(&contract.institution);
            (contract, institution)
        })
        .collect())
}

fn view(contract: &ContractRow, institution: &Institution) -> ContractView {
    let record = institution.record();
    let capabilities = institution.connector().capabilities();
    ContractView {
        contract_id: contract.id,
        pos_id: contract.pos,
        institution: contract.institution.clone(),
        institution_name: record.names.en.to_string(),
        institution_name_ja: record.names.ja.to_string(),
        seal_root: record.seal_root,
        contract_number: contract.number.clone(),
        methods: capabilities.methods.clone(),
        currencies: capabilities.currencies.iter().map(limits).collect(),
        operations: capabilities.operations.iter().copied().map(Into::into).collect(),
        can_check: capabilities.can_check,
    }
}

fn limits(terms: &CurrencyTerms) -> CurrencyLimits {
    CurrencyLimits { currency: terms.currency, least: terms.least, most: terms.most }
}
