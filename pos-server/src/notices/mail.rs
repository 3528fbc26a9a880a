//! Mail to the shop when a movement of money is complete (claim 13), in English or Japanese.
//!
//! A notice keeps its `Message-ID` over every try, so that a mailbox shows it once.

use std::time::{Duration, SystemTime};

use lettre::address::AddressError;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters, TlsVersion};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use pos_protocol::Timestamp;
use pos_protocol::id::NoticeId;
use pos_protocol::money::Money;
use pos_protocol::payment::OperationKind;
use pos_protocol::wire::{MailLanguage, Notice, OperationView, WireOperationState};

use super::{ADDRESS_CHANGED, Plain};
use crate::config::{MailSettings, MailTls};
use crate::telemetry::logs::chain;

/// How long the mail server has for each command.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why mail cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The CA is unreadable.
    #[error("mail.ca must name a file with a CA certificate in PEM")]
    Ca(#[source] lettre::transport::smtp::Error),
    /// A file that a setting names cannot be read.
    #[error("{setting} names a file that cannot be read")]
    File {
        /// Which.
        setting: &'static str,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS to the mail server cannot be set up")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// Why one mail was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MailFault {
    /// The address cannot be written to.
    #[error("the address is none")]
    Address(#[source] AddressError),
    /// The notice cannot be written as mail.
    #[error("the notice cannot be written as mail")]
    Form,
    /// The server does not take it, now or ever.
    #[error("the mail server did not take it")]
    Smtp(#[source] lettre::transport::smtp::Error),
}

impl MailFault {
    /// What happened, without the server's sentence: it likes to repeat the address.
    pub fn for_the_log(&self) -> String {
        match self {
            Self::Smtp(cause) => match cause.status() {
                Some(code) => format!("{self} ({code})"),
                None => chain(cause),
            },
            Self::Address(_) | Self::Form => self.to_string(),
        }
    }

    /// Whether trying again is of no use.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Address(_) | Self::Form => true,
            Self::Smtp(cause) => cause.is_permanent(),
        }
    }

    /// Whether the mail server itself is not there.
    pub fn is_of_the_server(&self) -> bool {
        match self {
            Self::Address(_) | Self::Form => false,
            Self::Smtp(cause) => !cause.is_permanent() && !cause.is_transient(),
        }
    }
}

/// Sends mail.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").finish_non_exhaustive()
    }
}

impl Mailer {
    /// By these settings; `None` where no server is set. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`MailError`] names the setting.
    pub fn new(settings: &MailSettings) -> Result<Option<Self>, MailError> {
        let (Some(server), Some(from)) = (&settings.server, &settings.from) else {
            return Ok(None);
        };
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host.clone())
                .port(server.port)
                .timeout(Some(PATIENCE));
        let parameters = || tls_parameters(settings, &server.host);
        builder = match settings.tls {
            MailTls::Implicit => builder.tls(Tls::Wrapper(parameters()?)),
            MailTls::Starttls => builder.tls(Tls::Required(parameters()?)),
            MailTls::None => builder.tls(Tls::None),
        };
        if let (Some(user), Some(path)) = (&settings.user, &settings.password_file) {
            let password = std::fs::read_to_string(path)
                .map_err(|cause| MailError::File { setting: "mail.password_file", cause })?;
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Some(Self { transport: builder.build(), from: from.0.clone() }))
    }

    /// Writes one notice to one address.
    ///
    /// # Errors
    /// [`MailFault`].
    pub async fn send(
        &self,
        address: &str,
        language: MailLanguage,
        id: NoticeId,
        body: &str,
        created_at: Timestamp,
    ) -> Result<(), MailFault> {
        let address: Address = address.parse().map_err(MailFault::Address)?;
        let mail = Written::of(body, language).ok_or(MailFault::Form)?;
        let message = self.message(address, id, created_at, mail)?;
        self.transport.send(message).await.map(drop).map_err(MailFault::Smtp)
    }

    fn message(
        &self,
        to: Address,
        id: NoticeId,
        created_at: Timestamp,
        mail: Written,
    ) -> Result<Message, MailFault> {
        let date = SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_millis(created_at.as_ms()))
            .ok_or(MailFault::Form)?;
        let builder: MessageBuilder = Message::builder()
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .date(date)
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject)
            // RFC 3834: nobody answers a machine.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".into(),
            ))
            .header(ContentType::TEXT_PLAIN);
        builder.body(mail.text).map_err(|_| MailFault::Form)
    }
}

fn tls_parameters(settings: &MailSettings, host: &str) -> Result<TlsParameters, MailError> {
    let mut builder =
        TlsParameters::builder(host.to_owned()).set_min_tls_version(TlsVersion::Tlsv12);
    if let Some(path) = &settings.ca {
        let pem =
            std::fs::read(path).map_err(|cause| MailError::File { setting: "mail.ca", cause })?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(MailError::Ca)?);
    }
    builder.build().map_err(MailError::Tls)
}

/// A notice as a person reads it.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    subject: String,
    text: String,
}

impl Written {
    /// `None` for a notice that mail does not tell.
    fn of(body: &str, language: MailLanguage) -> Option<Self> {
        let kind = serde_json::from_str::<Plain>(body).ok()?.kind;
        if kind == ADDRESS_CHANGED {
            return Some(Self::of_address_change(language));
        }
        let notice: Notice = serde_json::from_str(body).ok()?;
        let operation = &notice.data.operation;
        let what = what_happened(operation, language)?;
        // The amount that counts is the one that was done.
        let amount = operation.done_amount.unwrap_or(operation.amount);
        let money = Money { amount, currency: operation.currency };
        let OperationView { order_id, payment_id, operation_id, institution, .. } = operation;
        let at = &notice.timestamp;
        Some(match language {
            MailLanguage::English => Self {
                subject: format!("Order {order_id}: {money} {what}"),
                text: format!(
                    "Order {order_id}: {money} {what}.\r\n\r\n\
                     Payment:     {payment_id}\r\n\
                     Operation:   {operation_id}\r\n\
                     Institution: {institution}\r\n\
                     Time:        {at}\r\n\r\n\
                     This mail is sent by a machine and proves nothing by itself: what the shop's\r\n\
                     software reads from the server is what counts.\r\n"
                ),
            },
            MailLanguage::Japanese => Self {
                subject: format!("注文 {order_id}: {money} {what}"),
                text: format!(
                    "注文 {order_id}: {money} {what}\r\n\r\n\
                     決済: {payment_id}\r\n\
                     取引: {operation_id}\r\n\
                     決済機関: {institution}\r\n\
                     日時: {at}\r\n\r\n\
                     このメールは自動送信です。メール自体は証明になりません。\r\n\
                     店舗のソフトウェアがサーバから読み取る内容が正となります。\r\n"
                ),
            },
        })
    }

    fn of_address_change(language: MailLanguage) -> Self {
        match language {
            MailLanguage::English => Self {
                subject: "Payment notices no longer come to this address".into(),
                text: "Notices of your shop's payments are not sent to this address any more: \
                       the shop's software,\r\nor a person who signed in for the shop, has \
                       changed that.\r\n\r\n\
                       If nobody of yours did so, tell the operator of your payment server at \
                       once.\r\n"
                    .into(),
            },
            MailLanguage::Japanese => Self {
                subject: "決済通知の送信先が変更されました".into(),
                text: "今後、決済通知はこのアドレスに送信されません。店舗のソフトウェア、\
                       または店舗としてログインした方が変更しました。\r\n\r\n\
                       お心当たりのない場合は、直ちに決済サーバの運用機関へご連絡ください。\r\n"
                    .into(),
            },
        }
    }
}

/// What happened to the money, as the end of a sentence.
fn what_happened(operation: &OperationView, language: MailLanguage) -> Option<&'static str> {
    use MailLanguage::{English, Japanese};
    use OperationKind as Kind;
    if operation.state == WireOperationState::Reversed {
        return Some(match language {
            English => "undone again",
            Japanese => "の取引は取り消されました",
        });
    }
    if operation.state != WireOperationState::Done {
        return None;
    }
    Some(match (operation.operation.known()?, language) {
        (Kind::Sale, English) => "paid",
        (Kind::Sale, Japanese) => "の決済が完了しました",
        (Kind::Authorise, English) => "authorised",
        (Kind::Authorise, Japanese) => "の与信枠を確保しました",
        (Kind::Capture, English) => "captured",
        (Kind::Capture, Japanese) => "の売上が確定しました",
        (Kind::Void, English) => "released",
        (Kind::Void, Japanese) => "の与信枠を解放しました",
        (Kind::Refund, English) => "refunded",
        (Kind::Refund, Japanese) => "を返金しました",
        (Kind::Reverse, English) => "undone",
        (Kind::Reverse, Japanese) => "を取り消しました",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(operation: &str, state: &str, done: &str) -> String {
        format!(
            r#"{{"type":"{operation}.{state}","timestamp":"2026-11-18T11:06:40.000Z","data":{{"shop_id":"shp_06fpc9v3r0e4k7m2n8q1s5t9wx","sequence":2,"operation":{{"operation_id":"op_06fpc9v3r0e4k7m2n8q1s5t9wx","payment_id":"pay_06fpc9v3r0e4k7m2n8q1s5t9wx","order_id":"A-1","idempotency_key":"0123456789abcdef","operation":"{operation}","state":"{state}","amount":1250,"currency":"EUR",{done}"contract_id":"con_06fpc9v3r0e4k7m2n8q1s5t9wx","institution":"example-card","created_at_ms":1795000000000}}}}}}"#
        )
    }

    fn subject(operation: &str, state: &str, done: &str, language: MailLanguage) -> Option<String> {
        Written::of(&notice(operation, state, done), language).map(|mail| mail.subject)
    }

    #[test]
    fn a_completion_is_told_in_the_shops_language() {
        let (english, japanese) = (MailLanguage::English, MailLanguage::Japanese);
        let done = r#""done_amount":1000,"#;
        assert_eq!(subject("sale", "done", done, english).unwrap(), "Order A-1: 10.00 EUR paid");
        assert_eq!(
            subject("refund", "done", done, japanese).unwrap(),
            "注文 A-1: 10.00 EUR を返金しました"
        );
        assert_eq!(
            subject("sale", "reversed", "", english).unwrap(),
            "Order A-1: 12.50 EUR undone again"
        );
        assert_eq!(subject("sale", "declined", "", english), None);
        assert_eq!(subject("loan", "done", done, english), None);
        assert_eq!(Written::of("{}", english), None);
        let text = Written::of(&notice("void", "done", done), english).unwrap().text;
        assert!(text.contains("pay_06fpc9v3r0e4k7m2n8q1s5t9wx") && text.contains("example-card"));
        let changed = r#"{"type":"notices.address_changed","timestamp":"2026-11-18T11:06:40.000Z","data":{"shop_id":"shp_06fpc9v3r0e4k7m2n8q1s5t9wx"}}"#;
        assert_eq!(
            Written::of(changed, japanese).unwrap().subject,
            "決済通知の送信先が変更されました"
        );
    }

    // The transport keeps its connections in a task of the runtime's.
    #[tokio::test]
    async fn a_mail_has_the_same_id_and_date_whenever_it_is_sent() {
        let from = "Example POS <pos@operator.example>".parse().unwrap();
        let transport =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("localhost").build();
        let mailer = Mailer { transport, from };
        let mail = Written::of(&notice("sale", "done", ""), MailLanguage::Japanese).unwrap();
        let id = "ntc_06fpc9v3r0e4k7m2n8q1s5t9wx".parse().unwrap();
        let to = "orders@shop.example".parse().unwrap();
        let at = Timestamp::from_ms(1_795_000_000_000);
        let octets = mailer.message(to, id, at, mail).unwrap().formatted();
        let text = String::from_utf8(octets).unwrap();
        for line in [
            "Message-ID: <ntc_06fpc9v3r0e4k7m2n8q1s5t9wx@operator.example>\r\n",
            "Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n",
            "From: \"Example POS\" <pos@operator.example>\r\n",
            "To: orders@shop.example\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.is_ascii(), "what is not ASCII is encoded");
    }
}
