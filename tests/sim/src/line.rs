//! One message over a line that may lose it, hold it, double it or spoil its answer.

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use hyper::{Request, Response};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::disk;
use crate::trace::Trace;
use crate::weather::{Fate, Passage, Weather};

/// The line broke: whether the message came is not known.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the line broke")]
pub struct Broken;

/// Who takes messages in at the end of a line.
pub trait Taker: Send + Sync + 'static {
    /// Takes a message in; an error where the line ends before the answer.
    fn take(
        self: Arc<Self>,
        message: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Bytes>, Broken>> + Send;
}

/// Brings a message to `taker` and its answer back, as the weather has it. It goes on when nobody waits
/// for the answer any more: what was sent is on its way.
pub async fn carry<T: Taker>(
    weather: &Weather,
    trace: &Trace,
    line: &str,
    taker: &Arc<T>,
    message: Request<Bytes>,
) -> Result<Response<Bytes>, Broken> {
    let Passage { there, again, fate, back } = weather.passage(trace, line);
    let comes = !matches!(fate, Fate::RequestLost | Fate::CutBefore | Fate::GatewayBefore);
    let (answer, answered) = oneshot::channel();
    if let Some(later) = again {
        let (taker, message) = (Arc::clone(taker), copy(&message));
        tokio::spawn(async move {
            sleep(there.saturating_add(later)).await;
            // Nobody hears the second answer.
            let _ = taker.take(message).await;
        });
    }
    if comes {
        let taker = Arc::clone(taker);
        tokio::spawn(async move {
            sleep(there).await;
            let taken = taker.take(message).await;
            // Where nobody waits any more the answer is lost.
            let _ = answer.send(taken);
        });
    } else {
        sleep(there).await;
        drop(answer);
    }
    let told = match fate {
        Fate::RequestLost | Fate::AnswerLost => pending().await,
        Fate::CutBefore => Err(Broken),
        Fate::GatewayBefore => Ok(gateway()),
        Fate::CutAfter => {
            let _ = answered.await;
            Err(Broken)
        }
        Fate::GatewayAfter => {
            let _ = answered.await;
            Ok(gateway())
        }
        Fate::Garbled => Ok(garbled(answered.await.unwrap_or(Err(Broken))?)),
        Fate::Answered => Ok(answered.await.unwrap_or(Err(Broken))?),
    };
    sleep(back).await;
    told
}

/// Waits for ever in a process that has ended and does not know it yet.
pub async fn while_alive() {
    if disk::is_down() {
        pending::<()>().await;
    }
}

fn copy(message: &Request<Bytes>) -> Request<Bytes> {
    message.clone()
}

fn gateway() -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from_static(b"<html><h1>502 Bad Gateway</h1></html>"));
    *answer.status_mut() = hyper::StatusCode::BAD_GATEWAY;
    answer
}

/// Half of the body under the signature of the whole.
fn garbled(answer: Response<Bytes>) -> Response<Bytes> {
    answer.map(|body| body.slice(..body.len() / 2))
}
