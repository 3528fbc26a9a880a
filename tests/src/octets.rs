//! A line that carries any octets, and reads what HTTP/1.1 answers come back. [`crate::line`] carries what
//! is at least HTTP.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::BedError;

/// Longer than the server waits for a body.
const LIMIT: Duration = Duration::from_secs(40);

/// The largest head of an answer.
const MAX_HEAD: usize = 16 * 1024;

/// An answer, as far as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The HTTP status.
    pub status: u16,
    /// The body's octets.
    pub body: Vec<u8>,
}

/// An open line, plain, to a loopback address.
#[derive(Debug)]
pub struct OctetLine {
    address: String,
    stream: Option<TcpStream>,
    read: Vec<u8>,
}

impl OctetLine {
    /// A line to `http://host:port`. It connects when it is used, and anew when it was closed.
    ///
    /// # Panics
    /// For another scheme.
    pub fn new(url: &str) -> Self {
        let address = url.strip_prefix("http://").expect("a plain address").to_owned();
        Self { address, stream: None, read: Vec::new() }
    }

    /// Sends a whole request and reads its answer; none when the line was closed instead.
    ///
    /// # Errors
    /// [`BedError::Line`] when there is no line, or no answer in time.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Option<Told>, BedError> {
        let mut is_fresh = self.stream.is_none();
        loop {
            let told = timeout(LIMIT, self.exchange(request)).await;
            match told.map_err(|_| self.fault("no answer in time"))? {
                Ok(Some(told)) => return Ok(Some(told)),
                // The server may have closed a line that was silent, or that it was done with.
                _ if !is_fresh => is_fresh = true,
                _ => return Ok(None),
            }
            self.stream = None;
        }
    }

    /// Sends octets on a line of their own, closes the sending half, and reads what comes.
    ///
    /// # Errors
    /// [`BedError::Line`] when there is no line, or no end in time.
    pub async fn shout(&self, octets: &[u8]) -> Result<Option<Told>, BedError> {
        let mut line = Self::new(&format!("http://{}", self.address));
        let shouting = async {
            let stream = line.connected().await?;
            // It may be refused while it is still being sent.
            let _ = stream.write_all(octets).await;
            let _ = stream.shutdown().await;
            line.answer().await
        };
        let told = timeout(LIMIT, shouting).await.map_err(|_| self.fault("no end in time"))?;
        Ok(told.unwrap_or_default())
    }

    async fn exchange(&mut self, request: &[u8]) -> std::io::Result<Option<Told>> {
        let sent = self.connected().await?.write_all(request).await;
        let told = self.answer().await;
        // What was refused while it was still being sent has its answer.
        if told.as_ref().is_ok_and(Option::is_some) { told } else { sent.and(told) }
    }

    async fn connected(&mut self) -> std::io::Result<&mut TcpStream> {
        if self.stream.is_none() {
            self.read.clear();
            self.stream = Some(TcpStream::connect(&self.address).await?);
        }
        self.stream.as_mut().ok_or_else(|| std::io::ErrorKind::NotConnected.into())
    }

    async fn more(&mut self) -> std::io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        Ok(stream.read_buf(&mut self.read).await? > 0)
    }

    async fn answer(&mut self) -> std::io::Result<Option<Told>> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at.saturating_add(4);
            }
            if self.read.len() > MAX_HEAD || !self.more().await? {
                self.stream = None;
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        if status == 100 {
            self.read.drain(..end);
            return Box::pin(self.answer()).await;
        }
        let field = |name: &str| {
            let found = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.map(str::trim)
        };
        let length = field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let whole = end.saturating_add(length);
        while self.read.len() < whole && self.more().await? {}
        let until = whole.min(self.read.len());
        let body = self.read[end..until].to_vec();
        self.read.drain(..until);
        if field("connection") == Some("close") {
            self.stream = None;
        }
        Ok(Some(Told { status, body }))
    }

    fn fault(&self, cause: &str) -> BedError {
        BedError::Line { url: format!("http://{}", self.address), cause: cause.to_owned() }
    }
}
