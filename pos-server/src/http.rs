//! The server's HTTP side: the accept loop under everything, and what every route shares.

pub mod admission;
pub mod body;
pub mod health;
pub mod listener;
pub mod request;
pub mod tls;
