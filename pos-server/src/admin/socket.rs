//! The socket between a command and a running server: one JSON line each way.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use super::{AdminError, Answer, Command, Kind};
use crate::data_folder::DataFolder;
use crate::shutdown::Shutdown;

/// What travels back.
type Reply = Result<Answer, AdminError>;

/// Octets of the longest line: a command carries at most a file of certificates.
const LONGEST_LINE: u64 = 1 << 20;
/// How long a command line may take to arrive; it is sent at once.
const LONGEST_READ: Duration = Duration::from_secs(10);
/// Commands worked on at once.
const AT_ONCE: usize = 8;

/// The bound socket, `admin.sock` in the data folder. Its file goes when it is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Binds the socket for the owner only. A file left by a server that was killed is replaced:
    /// whoever has the folder's lock is the only server.
    ///
    /// # Errors
    /// What the system said. A path of more than 107 octets is one reason: the data folder then
    /// needs a shorter name.
    pub fn bind(folder: &DataFolder) -> io::Result<Self> {
        let path = DataFolder::admin_socket(folder.path());
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        // Nobody else reaches it in between: the folder itself is 0700.
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers each command by `handler` until `shutdown` is asked for; commands begun by then are
    /// finished.
    pub async fn serve<H, F>(self, handler: H, mut shutdown: Shutdown)
    where
        H: Fn(Command) -> F + Send + Sync + 'static,
        F: Future<Output = Reply> + Send,
    {
        let handler = Arc::new(handler);
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut commands = JoinSet::new();
        loop {
            let next = async {
                // A semaphore that nobody closes always gives a permit.
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                biased;
                () = shutdown.asked() => break,
                next = next => next,
            };
            while commands.try_join_next().is_some() {}
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(cause) => {
                    warn!(cause = %cause, "an operator's command could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let handler = Arc::clone(&handler);
            commands.spawn(async move {
                if let Err(cause) = answer(stream, &*handler).await {
                    warn!(cause = %cause, "an operator's command was cut off");
                }
                drop(place);
            });
        }
        while commands.join_next().await.is_some() {}
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // A file that stays is replaced by the next server.
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer<F>(stream: UnixStream, handler: &impl Fn(Command) -> F) -> io::Result<()>
where
    F: Future<Output = Reply>,
{
    let mut stream = BufReader::new(stream);
    let line = timeout(LONGEST_READ, read_line(&mut stream)).await??;
    let reply = match serde_json::from_slice(&line) {
        Ok(command) => handler(command).await,
        // Two releases beside each other: the command is newer or older than the server.
        Err(cause) => Err(AdminError::new(
            Kind::Invalid,
            format!("the running server does not know this command ({cause}): use its own binary"),
        )),
    };
    write_line(stream.get_mut(), &serde_json::to_vec(&reply)?).await
}

/// Why a command got no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The line broke after the command was sent: what it changed is not known.
    #[error("the server went away before it answered ({0}): look whether the command was done")]
    Broken(#[source] io::Error),
    /// No server listens there.
    #[error("no server listens in the data folder")]
    NobodyListens,
}

/// Sends `command` to the server that has `folder`.
pub(super) async fn call(folder: &Path, command: &Command) -> Result<Reply, CallError> {
    let socket = DataFolder::admin_socket(folder);
    let stream = UnixStream::connect(socket).await.map_err(|_| CallError::NobodyListens)?;
    exchange(stream, command).await.map_err(CallError::Broken)
}

async fn exchange(stream: UnixStream, command: &Command) -> io::Result<Reply> {
    let mut stream = BufReader::new(stream);
    write_line(stream.get_mut(), &serde_json::to_vec(command)?).await?;
    Ok(serde_json::from_slice(&read_line(&mut stream).await?)?)
}

async fn read_line(stream: &mut BufReader<UnixStream>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    stream.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    if line.pop() == Some(b'\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

async fn write_line(stream: &mut UnixStream, json: &[u8]) -> io::Result<()> {
    stream.write_all(json).await?;
    stream.write_all(b"\n").await
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;
    use crate::admin::TaskCommand;
    use crate::data_folder::Purpose;
    use crate::shutdown;

    struct Bed {
        _root: tempfile::TempDir,
        folder: DataFolder,
    }

    fn bed() -> Bed {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&root.path().join("data"), Purpose::Serve).unwrap();
        Bed { _root: root, folder }
    }

    fn list() -> Command {
        Command::Task(TaskCommand::List)
    }

    async fn refuse(command: Command) -> Reply {
        Err(AdminError::new(Kind::NotFound, format!("{command:?}")))
    }

    #[tokio::test]
    async fn a_command_travels_there_and_its_reply_back() {
        let bed = bed();
        // What a killed server left does not stand in the way.
        fs::write(DataFolder::admin_socket(bed.folder.path()), b"").unwrap();
        let socket = AdminSocket::bind(&bed.folder).unwrap();
        let path = socket.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (trigger, shutdown) = shutdown::channel();
        let server = tokio::spawn(socket.serve(refuse, shutdown));

        let reply = call(bed.folder.path(), &list()).await.unwrap().unwrap_err();
        assert_eq!(reply, AdminError::new(Kind::NotFound, "Task(List)"));

        trigger.pull();
        server.await.unwrap();
        assert!(!path.exists());
        let gone = call(bed.folder.path(), &list()).await.unwrap_err();
        assert!(matches!(gone, CallError::NobodyListens));
    }

    #[tokio::test]
    async fn a_line_that_is_no_command_is_refused_and_one_without_end_dropped() {
        let bed = bed();
        let socket = AdminSocket::bind(&bed.folder).unwrap();
        let path = socket.path().to_owned();
        let (_trigger, shutdown) = shutdown::channel();
        tokio::spawn(socket.serve(refuse, shutdown));

        let mut stream = BufReader::new(UnixStream::connect(&path).await.unwrap());
        write_line(stream.get_mut(), br#"{"task":"sing"}"#).await.unwrap();
        let line = read_line(&mut stream).await.unwrap();
        let reply: Reply = serde_json::from_slice(&line).unwrap();
        assert!(reply.unwrap_err().message.contains("does not know this command"));

        let mut stream = UnixStream::connect(&path).await.unwrap();
        let endless = vec![b' '; usize::try_from(LONGEST_LINE).unwrap()];
        // The server may close while this is still being written.
        let _ = stream.write_all(&endless).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert_eq!(rest, b"");
    }

    #[tokio::test]
    async fn a_command_begun_is_finished_at_shutdown() {
        let bed = bed();
        let socket = AdminSocket::bind(&bed.folder).unwrap();
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handler = {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            move |command| {
                let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
                async move {
                    begun.notify_one();
                    go.notified().await;
                    refuse(command).await
                }
            }
        };
        let (trigger, shutdown) = shutdown::channel();
        let server = tokio::spawn(socket.serve(handler, shutdown));
        let command = list();
        let (reply, ()) = tokio::join!(call(bed.folder.path(), &command), async {
            begun.notified().await;
            trigger.pull();
            go.notify_one();
        });
        assert!(reply.unwrap().is_err());
        server.await.unwrap();
    }
}
