//! The institution protocol as this example answers it (`docs/INSTITUTION.md`).

mod proof;
mod spoil;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use pos_protocol::id::{ContractNumber, OperationId};
use pos_protocol::institution::{
    self as bodies, Body, CheckAnswer, CheckRequest, CheckState, InstitutionCode, InstitutionError,
    InvalidBody, OperationRequest, ReversalRequest,
};
use pos_protocol::key::{KeyId, PublicKey, Signature};
use pos_protocol::money::Money;
use pos_protocol::payment::OperationKind;
use pos_protocol::reason::DeclineReason;
use pos_protocol::seal::{Binding, Envelope, Instrument, open};
use pos_protocol::sign::{POS_INSTITUTION, answer, call};
use pos_server::env::Clock;
use sha2::{Digest as _, Sha256};

use crate::fault::{Arrival, Calls, DELAY, Fault, Faults, Met};
use crate::house::House;
use crate::instrument::{Behaviour, Instruments, number_of};
use crate::keys::Keys;
use crate::ledger::{Ledger, LedgerError, Order, Refused, Sealed};
use crate::line::{Answered, OnLine, Service};
use crate::quirk::{Quirk, Quirks};

/// One institution.
pub(crate) struct Institution {
    pub(crate) house: House,
    pub(crate) authority: String,
    pub(crate) keys: Keys,
    pub(crate) instruments: Instruments,
    pub(crate) faults: Faults,
    pub(crate) quirks: Quirks,
    pub(crate) ledger: Ledger,
    pub(crate) processing_limit_ms: u32,
    pub(crate) clock: Arc<dyn Clock>,
    operators: RwLock<HashMap<KeyId, PublicKey>>,
    set_json: Vec<u8>,
}

/// An answer before it is signed.
struct Reply {
    status: u16,
    body: Vec<u8>,
    signed: bool,
    on_line: OnLine,
}

impl Reply {
    fn good<T: Body>(body: &T) -> Self {
        Self { status: 200, body: bodies::to_json(body), signed: true, on_line: OnLine::Written }
    }

    const fn on(on_line: OnLine) -> Self {
        Self { status: 200, body: Vec::new(), signed: false, on_line }
    }
}

/// An envelope that was looked at, and what the number asks to go wrong.
struct Looked {
    sealed: Result<Sealed, Refused>,
    name: Option<String>,
    fault: Option<Fault>,
}

impl Institution {
    /// An institution that answers for `authority`.
    pub(crate) fn new(
        house: House,
        authority: String,
        keys: Keys,
        ledger: Ledger,
        processing_limit_ms: u32,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let set_json = serde_json::to_vec(&keys.set).expect("a signed set has a JSON form");
        Self {
            house,
            authority,
            keys,
            instruments: Instruments::of(house),
            faults: Faults::default(),
            quirks: Quirks::default(),
            ledger,
            processing_limit_ms,
            clock,
            operators: RwLock::default(),
            set_json,
        }
    }

    /// Takes calls that are signed with this key from now on, also after a restart.
    pub(crate) async fn add_operator(&self, key: PublicKey) -> Result<(), LedgerError> {
        let x = crate::keys::x_of(&key);
        self.ledger.run(move |books| books.add_operator_key(&x)).await?;
        self.know(key);
        Ok(())
    }

    /// The keys that were taken in before.
    pub(crate) async fn load_operators(&self) -> Result<(), LedgerError> {
        let known = self.ledger.run(|books| books.operator_keys()).await?;
        known.iter().filter_map(|x| x.parse().ok()).for_each(|key| self.know(key));
        Ok(())
    }

    /// Takes operations of this shop from now on.
    pub(crate) async fn add_contract(&self, number: ContractNumber) -> Result<(), LedgerError> {
        self.ledger.run(move |books| books.add_contract(&number)).await
    }

    /// The payer's account, which is also what shops learn as the card reference.
    pub(crate) fn reference(keys: &Keys, number: &str) -> String {
        let digest = Sha256::new().chain_update(keys.reference).chain_update(number).finalize();
        let short = digest.get(..16).unwrap_or_default();
        format!("cr_{}", URL_SAFE_NO_PAD.encode(short))
    }

    fn know(&self, key: PublicKey) {
        self.operators.write().unwrap_or_else(PoisonError::into_inner).insert(key.id(), key);
    }

    fn operator(&self, id: KeyId) -> Option<PublicKey> {
        self.operators.read().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }

    fn refuse(&self, code: InstitutionCode, message: impl Into<String>) -> Reply {
        let error = InstitutionError::new(code, message, self.clock.now());
        Reply { status: code.status(), ..Reply::good(&error) }
    }

    fn refuse_body(&self, error: &InvalidBody) -> Reply {
        match error {
            InvalidBody::TooLarge { .. } => {
                self.refuse(InstitutionCode::BodyTooLarge, error.to_string())
            }
            InvalidBody::Json { .. } => {
                self.refuse(InstitutionCode::InvalidJson, error.to_string())
            }
            InvalidBody::Field { field, message } => {
                let code = InstitutionCode::InvalidField;
                let said = InstitutionError::new(code, message.clone(), self.clock.now());
                let said = if field.is_empty() { said } else { said.at(field.clone()) };
                Reply { status: code.status(), ..Reply::good(&said) }
            }
        }
    }

    fn broken(&self, error: &LedgerError) -> Reply {
        self.refuse(InstitutionCode::Internal, error.to_string())
    }

    async fn route(&self, method: &Method, path: &str, key: Option<&str>, body: &[u8]) -> Reply {
        let asked = path.strip_prefix("/v1/operations/");
        match (method, path, asked) {
            (&Method::GET, bodies::INSTITUTION, _) => {
                Reply::good(&self.house.info(self.processing_limit_ms, self.clock.now()))
            }
            (&Method::GET, bodies::SEAL_KEYS, _) => {
                Reply { body: self.set_json.clone(), signed: true, ..Reply::on(OnLine::Written) }
            }
            (&Method::GET, _, Some(id)) => match id.parse() {
                Ok(id) => self.inquiry(id).await,
                Err(_) => self.refuse(InstitutionCode::NotFound, "this is no operation id"),
            },
            (&Method::POST, bodies::OPERATIONS, _) => self.operation(key, body).await,
            (&Method::POST, bodies::REVERSALS, _) => self.reversal(key, body).await,
            (&Method::POST, bodies::CHECKS, _) => self.check(body).await,
            (_, bodies::INSTITUTION | bodies::SEAL_KEYS, _)
            | (_, bodies::OPERATIONS | bodies::REVERSALS | bodies::CHECKS, _)
            | (_, _, Some(_)) => {
                self.refuse(InstitutionCode::MethodNotAllowed, "this route has another method")
            }
            _ => self.refuse(InstitutionCode::NotFound, "there is no such route"),
        }
    }

    async fn operation(&self, key: Option<&str>, body: &[u8]) -> Reply {
        let request: OperationRequest = match bodies::parse(body) {
            Ok(request) => request,
            Err(error) => return self.refuse_body(&error),
        };
        let id = request.operation_id;
        if key != Some(id.to_string().as_str()) {
            return self.wrong_key();
        }
        let binding = request.binding(&self.house.id());
        let looked = request
            .instruction()
            .zip(binding)
            .map(|(said, binding)| self.look_at(&said.envelope, &binding));
        let met = self.meet(Calls::Operations, Some(request.kind()), looked.as_ref());
        if let Some(reply) = Self::before(met).await {
            return reply;
        }
        let sealed = looked.map(|looked| looked.sealed);
        let order = Order { house: self.house, request, sealed, quirk: self.quirks.get() };
        // The time is read where the books are written: what is judged to be in time is recorded
        // before anybody can be told at a later time that it is not there.
        let clock = Arc::clone(&self.clock);
        let operated = self.ledger.run(move |books| books.operate(&order, clock.now())).await;
        match operated {
            Ok(Ok(answer)) => self.spoil(answer, met).await,
            Ok(Err(refused)) => self.refuse(refused.code, refused.message),
            Err(error) => self.broken(&error),
        }
    }

    /// The fault that meets a call: one that was switched on, else the one of the number.
    fn meet(
        &self,
        calls: Calls,
        kind: Option<OperationKind>,
        looked: Option<&Looked>,
    ) -> Option<Met> {
        let instrument = looked.and_then(|looked| looked.name.as_deref());
        let number = looked.and_then(|looked| looked.fault);
        let planned = self.faults.meet(Arrival { calls, kind, instrument });
        planned.or_else(|| number.map(|fault| Met { fault, delay: DELAY }))
    }

    async fn inquiry(&self, id: OperationId) -> Reply {
        let met = self.meet(Calls::Inquiries, None, None);
        if let Some(reply) = Self::before(met).await {
            return reply;
        }
        let clock = Arc::clone(&self.clock);
        match self.ledger.run(move |books| books.inquire(id, clock.now())).await {
            Ok(answer) => self.spoil(answer, met).await,
            Err(error) => self.broken(&error),
        }
    }

    async fn reversal(&self, key: Option<&str>, body: &[u8]) -> Reply {
        let request: ReversalRequest = match bodies::parse(body) {
            Ok(request) => request,
            Err(error) => return self.refuse_body(&error),
        };
        if key != Some(request.operation_id.to_string().as_str()) {
            return self.wrong_key();
        }
        let met = self.meet(Calls::Reversals, None, None);
        if let Some(reply) = Self::before(met).await {
            return reply;
        }
        let clock = Arc::clone(&self.clock);
        let quirk = self.quirks.get();
        match self.ledger.run(move |books| books.reverse(&request, quirk, clock.now())).await {
            Ok(Ok(answer)) => self.spoil(answer, met).await,
            Ok(Err(refused)) => self.refuse(refused.code, refused.message),
            Err(error) => self.broken(&error),
        }
    }

    async fn check(&self, body: &[u8]) -> Reply {
        if !self.house.capabilities().check {
            let message = "this institution answers no checks";
            return self.refuse(InstitutionCode::OperationUnsupported, message);
        }
        let request: CheckRequest = match bodies::parse(body) {
            Ok(request) => request,
            Err(error) => return self.refuse_body(&error),
        };
        let looked = self.look_at(&request.envelope, &request.binding(&self.house.id()));
        let met = self.meet(Calls::Checks, None, Some(&looked));
        if let Some(reply) = Self::before(met).await {
            return reply;
        }
        let sealed = match looked.sealed {
            Ok(sealed) => sealed,
            Err(refused) => return self.refuse(refused.code, refused.message),
        };
        let money = Money { amount: request.amount, currency: request.currency };
        let order_id = request.order_id.clone();
        let (house, quirk) = (self.house, self.quirks.get());
        let passes =
            self.ledger.run(move |books| books.would_pass(house, &request, &sealed, quirk)).await;
        let state = match passes {
            Ok(Ok(None)) => CheckState::Sufficient,
            Ok(Ok(Some(DeclineReason::InsufficientFunds))) => CheckState::TooLow,
            Ok(Ok(Some(DeclineReason::ExpiredCard))) => CheckState::Expired,
            Ok(Ok(Some(reason))) => CheckState::Refused(reason),
            Ok(Err(refused)) => return self.refuse(refused.code, refused.message),
            Err(error) => return self.broken(&error),
        };
        self.spoil(CheckAnswer { order_id, money, state, time: self.clock.now() }, met).await
    }

    fn wrong_key(&self) -> Reply {
        let message = "the Idempotency-Key must be the operation id of the body";
        self.refuse(InstitutionCode::IdempotencyKeyInvalid, message)
    }

    fn look_at(&self, envelope: &Envelope, binding: &Binding) -> Looked {
        let refused = |code, message| Looked {
            sealed: Err(Refused { code, message }),
            name: None,
            fault: None,
        };
        let now = self.clock.now();
        if envelope.check_not_after(now).is_err() {
            let message = "the envelope's end has passed or lies too far ahead";
            return refused(InstitutionCode::EnvelopeExpired, message);
        }
        let key = self.keys.seal.iter().find(|key| key.public().id() == envelope.key_id());
        let opened = key.and_then(|key| open(envelope, binding, key).ok());
        let Some(instrument) = opened.or_else(|| self.whatever_it_is_bound_to()) else {
            let message = "the envelope does not open for this operation";
            return refused(InstitutionCode::EnvelopeInvalid, message);
        };
        let known = self.instruments.find(&instrument);
        let fault = known.and_then(|known| match known.behaviour {
            Behaviour::Fails(fault) => Some(fault),
            _ => None,
        });
        let sealed = Sealed {
            rand: *envelope.rand(),
            reference: Self::reference(&self.keys, &number_of(&instrument)),
            verdict: self.instruments.judge(self.house, &instrument, now),
        };
        Looked { sealed: Ok(sealed), name: known.map(|known| known.name.clone()), fault }
    }

    /// An instrument that pays, for an institution that ignores what an envelope is bound to.
    fn whatever_it_is_bound_to(&self) -> Option<Instrument> {
        if !self.quirks.has(Quirk::IgnoresBinding) {
            return None;
        }
        let all = self.instruments.all();
        let pays = all.into_iter().find(|one| one.name == "approve")?;
        Instrument::from_json(pays.json.to_string().as_bytes()).ok()
    }

    /// Writes an answer, signed where it is to be and can be.
    fn write(&self, reply: Reply, call: Option<&Signature>) -> Answered {
        let forgets = reply.status >= 400 && self.quirks.has(Quirk::UnsignedRefusals);
        let call = call.filter(|_| !forgets);
        let status =
            StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = status;
        if let (true, Some(call)) = (reply.signed, call) {
            let unsigned = answer::Unsigned::new(
                &POS_INSTITUTION,
                reply.status,
                &reply.body,
                call,
                self.clock.now(),
                self.keys.answer.id(),
            );
            let signature = self.keys.answer.sign(unsigned.base());
            let signed = unsigned.into_headers(&signature);
            let mut set = |name: &'static str, value: String| {
                let value = HeaderValue::try_from(value).expect("the profile is visible ASCII");
                response.headers_mut().insert(name, value);
            };
            set("signature-input", signed.signature_input);
            set("signature", signed.signature);
            set("content-digest", signed.content_digest);
        }
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        *response.body_mut() = Full::new(reply.body.into());
        Answered { response, on_line: reply.on_line }
    }
}

impl Service for Institution {
    async fn answer(self: &Arc<Self>, request: hyper::Request<Incoming>) -> Answered {
        self.answer_to(request).await
    }
}

impl Institution {
    /// Answers a call, however it came.
    pub(crate) async fn answer_to<B>(&self, request: hyper::Request<B>) -> Answered
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let received = call::Received::read(|name| {
            head.headers.get_all(name).iter().map(HeaderValue::as_bytes)
        });
        // A well-formed signature is enough to bind an answer to, whatever else is wrong.
        let signature = received.well_formed_signature(&POS_INSTITUTION);
        let reply = match self.prove(&head, &received, signature, body).await {
            Ok(proved) => {
                let key = proved.idempotency_key.as_deref();
                self.route(&head.method, head.uri.path(), key, &proved.body).await
            }
            Err(reply) => reply,
        };
        self.write(reply, signature.as_ref())
    }
}
