//! The institution protocol as this example answers it (`docs/INSTITUTION.md`).

mod proof;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use pos_protocol::id::{ContractNumber, OperationId};
use pos_protocol::institution::{
    self as bodies, Body, CheckAnswer, CheckRequest, CheckState, InstitutionCode, InstitutionError,
    InvalidBody, OperationAnswer, OperationRequest, ReversalRequest,
};
use pos_protocol::key::{KeyId, PublicKey, Signature};
use pos_protocol::money::{Amount, Money};
use pos_protocol::reason::DeclineReason;
use pos_protocol::seal::{Binding, Envelope, open};
use pos_protocol::sign::{POS_INSTITUTION, answer, call};
use pos_server::env::Clock;
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use crate::fault::{DELAY, Fault, Faults};
use crate::house::House;
use crate::instrument::{Behaviour, Instruments, number_of};
use crate::keys::Keys;
use crate::ledger::{Ledger, LedgerError, Order, Refused, Sealed};
use crate::line::{Answered, OnLine, Service};

/// One institution.
pub(crate) struct Institution {
    pub(crate) house: House,
    pub(crate) authority: String,
    pub(crate) keys: Keys,
    pub(crate) instruments: Instruments,
    pub(crate) faults: Faults,
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
        let name = looked.as_ref().and_then(|looked| looked.name.as_deref());
        let planned = self.faults.meet(request.kind(), name);
        let number = looked.as_ref().and_then(|looked| looked.fault).map(|fault| (fault, DELAY));
        let met = planned.or(number);
        match met {
            Some((Fault::Lost, _)) => return Reply::on(OnLine::Silent),
            Some((Fault::Cut, _)) => return Reply::on(OnLine::Cut),
            Some((Fault::SlowArrival, delay)) => sleep(delay).await,
            _ => {}
        }
        let sealed = looked.map(|looked| looked.sealed);
        let order = Order { house: self.house, request, sealed };
        // The time is read where the books are written: what is judged to be in time is recorded
        // before anybody can be told at a later time that it is not there.
        let clock = Arc::clone(&self.clock);
        let operated = self.ledger.run(move |books| books.operate(&order, clock.now())).await;
        let answer = match operated {
            Ok(Ok(answer)) => answer,
            Ok(Err(refused)) => return self.refuse(refused.code, refused.message),
            Err(error) => return self.broken(&error),
        };
        self.spoil(answer, met).await
    }

    /// The answer to an operation that was processed, as the fault wants it.
    async fn spoil(&self, answer: OperationAnswer, met: Option<(Fault, Duration)>) -> Reply {
        let good = Reply::good(&answer);
        let Some((fault, delay)) = met else { return good };
        match fault {
            Fault::Lost | Fault::Cut | Fault::SlowArrival => good,
            Fault::NoAnswer => Reply::on(OnLine::Silent),
            Fault::DelayedAnswer => {
                sleep(delay).await;
                good
            }
            Fault::AnswerTwice => Reply { on_line: OnLine::Twice, ..good },
            Fault::ProcessedThenCut => Reply::on(OnLine::Cut),
            Fault::Garbage => Reply { on_line: OnLine::Garbage, ..good },
            Fault::GarbledBody => {
                let half = good.body.len() / 2;
                let body = good.body.get(..half).unwrap_or_default().to_vec();
                Reply { body, ..good }
            }
            Fault::Unsigned => Reply { signed: false, ..good },
            Fault::WrongAmount => Reply::good(&with_another_amount(answer)),
            Fault::Error500 => self.refuse(InstitutionCode::Internal, "switched on by a test"),
            Fault::BadGateway => {
                let body = b"<html><h1>502 Bad Gateway</h1></html>".to_vec();
                Reply { status: 502, body, ..Reply::on(OnLine::Written) }
            }
        }
    }

    async fn inquiry(&self, id: OperationId) -> Reply {
        if let Some((fault, delay)) = self.faults.meet_inquiry() {
            match fault {
                Fault::Lost | Fault::NoAnswer => return Reply::on(OnLine::Silent),
                Fault::Cut | Fault::ProcessedThenCut => return Reply::on(OnLine::Cut),
                Fault::DelayedAnswer | Fault::SlowArrival => sleep(delay).await,
                _ => {}
            }
        }
        let clock = Arc::clone(&self.clock);
        match self.ledger.run(move |books| books.inquire(id, clock.now())).await {
            Ok(answer) => Reply::good(&answer),
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
        let clock = Arc::clone(&self.clock);
        match self.ledger.run(move |books| books.reverse(&request, clock.now())).await {
            Ok(Ok(answer)) => Reply::good(&answer),
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
        let sealed = match looked.sealed {
            Ok(sealed) => sealed,
            Err(refused) => return self.refuse(refused.code, refused.message),
        };
        let (amount, currency) = (request.amount, request.currency);
        let contract = request.contract_number.to_string();
        let passes = self
            .ledger
            .run(move |books| books.would_pass(&sealed, &contract, amount, currency))
            .await;
        let state = match passes {
            Ok(Ok(None)) => CheckState::Sufficient,
            Ok(Ok(Some(DeclineReason::InsufficientFunds))) => CheckState::TooLow,
            Ok(Ok(Some(DeclineReason::ExpiredCard))) => CheckState::Expired,
            Ok(Ok(Some(reason))) => CheckState::Refused(reason),
            Ok(Err(refused)) => return self.refuse(refused.code, refused.message),
            Err(error) => return self.broken(&error),
        };
        Reply::good(&CheckAnswer {
            order_id: request.order_id,
            money: Money { amount, currency },
            state,
            time: self.clock.now(),
        })
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
        let Some(instrument) = key.and_then(|key| open(envelope, binding, key).ok()) else {
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

    /// Writes an answer, signed where it is to be and can be.
    fn write(&self, reply: Reply, call: Option<&Signature>) -> Answered {
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
        let (head, body) = request.into_parts();
        let received = call::Received::read(|name| {
            head.headers.get_all(name).iter().map(HeaderValue::as_bytes)
        });
        let claimed = match call::parse(&POS_INSTITUTION, &received) {
            Ok(claimed) => claimed,
            // Nothing to bind an answer to: this one alone is not signed.
            Err(error) => {
                let code = InstitutionCode::SignatureMissing;
                return self.write(self.refuse(code, error.to_string()), None);
            }
        };
        let reply = match self.prove(&head, &claimed, body).await {
            Ok(proved) => {
                let key = proved.idempotency_key.as_deref();
                self.route(&head.method, head.uri.path(), key, &proved.body).await
            }
            Err(reply) => reply,
        };
        self.write(reply, Some(claimed.signature()))
    }
}

fn with_another_amount(answer: OperationAnswer) -> OperationAnswer {
    let OperationAnswer::Outcome(mut outcome) = answer else { return answer };
    // One more, so that it cannot pass for a partial approval.
    let more = outcome.amount.minor().saturating_add(1);
    outcome.amount = Amount::new(more).unwrap_or(outcome.amount);
    OperationAnswer::Outcome(outcome)
}
