//! Request bodies with an end: in octets and in time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke, or the framing was not HTTP.
    #[error("the body was cut off or malformed")]
    Broken(#[source] axum::Error),
    /// More octets than allowed; told before any is read when the length was announced.
    #[error("the body is longer than {limit} octets")]
    TooLarge {
        /// Octets allowed.
        limit: usize,
    },
    /// Not complete in time.
    #[error("the body did not arrive within {} s", limit.as_secs())]
    TooSlow {
        /// Time allowed.
        limit: Duration,
    },
}

/// Reads the whole body of a request that came through [`super::listener::serve`], under the
/// limits that it was started with.
///
/// # Errors
/// [`BodyError`]; the connection is closed after the answer to any of them.
pub async fn read(body: Body) -> Result<Bytes, BodyError> {
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(match error.into_inner().downcast::<BodyError>() {
            Ok(known) => *known,
            Err(other) => BodyError::Broken(axum::Error::new(other)),
        }),
    }
}

/// The body as the listener hands it to handlers.
pub(super) struct CappedBody {
    incoming: Incoming,
    limit: usize,
    left: usize,
    time: Duration,
    /// Made only when the body does not come along with its head.
    timer: Option<Pin<Box<Sleep>>>,
    is_read: bool,
    unread: Unread,
}

/// Whether a body of a connection was left before its end.
#[derive(Clone, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

impl Unread {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// A request after that one came: what was left unread has been drained.
    pub(super) fn clear(&self) {
        self.0.store(false, Relaxed);
    }
}

impl CappedBody {
    pub(super) fn new(incoming: Incoming, limit: usize, time: Duration, unread: Unread) -> Self {
        let is_read = incoming.is_end_stream();
        Self { incoming, limit, left: limit, time, timer: None, is_read, unread }
    }
}

impl Drop for CappedBody {
    fn drop(&mut self) {
        if !self.is_read {
            self.unread.0.store(true, Relaxed);
        }
    }
}

impl HttpBody for CappedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let too_large = BodyError::TooLarge { limit: self.limit };
        // The announced length is judged before the first octet is taken, and before a client
        // that asked for `100 Continue` is told to go on.
        let announced = self.incoming.size_hint().lower();
        if usize::try_from(announced).is_ok_and(|announced| announced > self.left) {
            return Poll::Ready(Some(Err(too_large)));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            let time = self.time;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(time)));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(BodyError::TooSlow { limit: time })));
        };
        self.is_read = frame.is_none();
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(|cause| BodyError::Broken(axum::Error::new(cause)))?;
            let taken = frame.data_ref().map_or(0, Bytes::len);
            self.left = self.left.checked_sub(taken).ok_or(too_large)?;
            self.is_read = self.incoming.is_end_stream();
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
