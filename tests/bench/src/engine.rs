//! What a server of the benchmark keeps its payments in.

use std::time::Duration;

use pos_tests::bed::ServerOptions;
use pos_tests::postgres::{Cluster, Durability};
use pos_tests::{Bed, BedOptions};

use crate::error::BenchError;
use crate::process;

/// An engine of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    /// The embedded one.
    Sqlite,
    /// A cluster of the benchmark's own, with every commit synced, on a Unix socket.
    Postgres,
}

impl Engine {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// Where databases are. It must outlive the beds that use it.
pub(crate) struct Home(Option<Cluster>);

impl Home {
    /// Starts what the engine needs beside the server.
    pub(crate) fn new(engine: Engine) -> Result<Self, BenchError> {
        Ok(Self(match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                Some(Cluster::start(Durability::Synced).map_err(BenchError::Database)?)
            }
        }))
    }

    /// A bed with an empty database here.
    pub(crate) async fn bed(&self) -> Result<Bed, BenchError> {
        let server = ServerOptions { connections: 2_048, ..self.server()? };
        Ok(Bed::start(&BedOptions { server, ..BedOptions::default() }).await?)
    }

    /// A server's options with an empty database here.
    pub(crate) fn server(&self) -> Result<ServerOptions, BenchError> {
        let cluster = self.0.as_ref();
        let database = cluster.map(Cluster::database).transpose().map_err(BenchError::Database)?;
        Ok(ServerOptions { database, ..ServerOptions::default() })
    }

    /// CPU that the database's own processes have used so far; nothing where the server is its own.
    pub(crate) fn cpu_time(&self) -> Result<Duration, BenchError> {
        let Some(cluster) = &self.0 else { return Ok(Duration::ZERO) };
        // One of the processes that live as long as the database does.
        let asked = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
        let child = cluster.sql("postgres", asked).map_err(BenchError::Database)?;
        let none = || BenchError::Database(format!("`{child}` is not a process"));
        let child = child.trim().parse().map_err(|_| none())?;
        process::family_time(process::parent(child)?)
    }

    /// What a database of this place takes on disk.
    pub(crate) fn octets(&self, url: &str) -> Result<u64, BenchError> {
        let name = url.rsplit('/').next().unwrap_or_default();
        let asked = format!("SELECT pg_database_size('{name}')");
        let none = || BenchError::Database(format!("no size of {name}"));
        let cluster = self.0.as_ref().ok_or_else(none)?;
        let told = cluster.sql("postgres", &asked).map_err(BenchError::Database)?;
        told.trim().parse().map_err(|_| none())
    }
}
