//! What the Mles runtimes share: nothing here waits for a socket, and there are no threads or executors.

pub mod address;
pub mod announcement;
pub mod batch;
pub mod certificates;
pub mod client;
pub mod clock;
pub mod config;
pub mod dial;
pub mod door;
#[cfg(feature = "echo")]
pub mod echo;
pub mod entrance;
mod file;
pub mod groups;
pub mod http;
pub mod inbound;
pub mod life;
pub mod limits;
pub mod listening;
pub mod local_certificate;
mod log;
pub mod logging;
pub mod metrics;
pub mod notices;
pub mod others;
pub mod outbound;
pub mod peers_list;
pub mod programs;
pub mod random;
pub mod tls;
pub mod trust;
pub mod trusting;
pub mod unfinished;
pub mod websocket;

#[cfg(feature = "echo")]
pub use echo::Node;
#[cfg(not(feature = "echo"))]
pub use mles_sansio::Node;

#[cfg(test)]
mod test_dir;
