//! Shared parts of the runtimes.

pub mod config;
pub mod limits;
pub mod local_certificate;
pub mod tls;

#[cfg(test)]
mod test_dir;
