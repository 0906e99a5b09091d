//! The real command, run as a person runs it.

mod errors;
mod help;
mod images;
mod jobs;
mod regions;
mod servers;
mod support;
