//! The judge of `mles-conformance`: cases that are tried on an implementation of Mles over the network, each about one
//! clause of the specification in `spec/`. It shares no code with the servers of this repository.

mod bench;
mod case;
pub mod cases;
pub mod clause;
mod connection;
mod limits;
mod link;
pub mod report;
mod runner;
mod session;
mod site;
mod stand;
mod subject;
mod target;
mod transcript;
pub mod wire;

pub use bench::{Bench, lasted, random_digits};
pub use case::{Case, Company, Judged, Stop, Verdict};
pub use connection::Connection;
pub use limits::Limits;
pub use link::{Handshake, Heard, Kind, Link, MINUTE, NUMBER_MOST, Name, Said, clock, random_uid};
pub use runner::{Run, run, run_one};
pub use session::{Event, Message, Session, listed};
pub use site::{Dial, PEER_KEY, Site};
pub use stand::{Stand, header_of};
pub use subject::{Program, Subject, Via};
pub use target::{Target, hash};
pub use transcript::{Line, Transcript, Way, shown, shown_frame};
