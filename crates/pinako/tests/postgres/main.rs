//! What only stores in PostgreSQL can get wrong: a server that refuses, goes away, comes back, or has had its tables
//! changed by others. The rest is in the conformance suite.

#![cfg(feature = "postgres")]

mod cluster;
mod compaction;
mod connections;
mod cuts;
mod damage;
mod proxy;
mod refusals;
mod restarts;
mod samples;
#[path = "../servers/mod.rs"]
mod servers;
mod sharing;
mod timeouts;
mod tls;
