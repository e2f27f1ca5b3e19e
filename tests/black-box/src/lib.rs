//! Tests of a server as it is shipped: they start its program, talk to it over real sockets and TLS,
//! and look at what it prints and logs, and at nothing else.
//!
//! A suite is a file in `tests/`. Its tests are functions of a [`Binary`], and [`suite!`] makes a test
//! of each of them for each server program there is; those that start several servers are functions of
//! a [`Pair`], for [`pairs!`]. The doc comment of a test says which clauses of the specification it shows.
//!
//! Nothing sleeps in place of an event: a test waits for a line of the server, for a frame, or for the
//! end of a connection, each at most [`DEADLINE`].

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "this is test code: what is not expected is a panic, and that is how it says so"
)]

use std::time::Duration;

mod binary;
mod browser;
mod client;
mod crowd;
mod http;
mod log;
mod network;
mod peer;
mod records;
mod server;
mod talk;
mod temp_dir;
mod terminal;
pub mod tls;
mod tool;
mod upstream;
pub mod wire;

pub use binary::{ASYNC_STD, Binary, Pair, SMOL, STD};
pub use browser::{Browser, Tab};
pub use client::{Client, header, offer};
pub use crowd::{Account, Crowd, history};
pub use http::{Response, grant_upgrade, request, upgrade, upgrade_request};
pub use log::{Log, wait_for_logs};
pub use network::{Network, PEER_KEY, fingerprint, peer_url, unused_port};
pub use peer::{NUMBER_MOST, Peer, Who, clock, nonce};
pub use records::Records;
pub use rustix::process::Signal;
pub use server::{Ended, Launch, Server, Starting};
pub use talk::Talk;
pub use temp_dir::TempDir;
pub use terminal::Terminal;
pub use tls::Tls;
pub use tool::Tool;
pub use tungstenite::Message;
pub use upstream::{Dialed, Upstream};

/// How long anything may take that is expected to happen at once, on a machine that is busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Makes a test for each server program of each function in the list. Attributes, such as
/// `#[ignore = "…"]`, may stand before a name.
#[macro_export]
macro_rules! suite {
    ($($list:tt)+) => {
        $crate::tests_of!(smol: &black_box::SMOL; $($list)+);
        // Not `std`: in a module beside one of that name, the standard library would not be found.
        $crate::tests_of!(mles_std: &black_box::STD; $($list)+);
    };
}

/// Makes a test for each pair of server programs of each function in the list, which are functions of a [`Pair`]; of
/// those behind `slow:` only one with both programs, beside one for each program alone.
#[macro_export]
macro_rules! pairs {
    (slow: $($slow:tt)+) => {
        $crate::pairs!(;slow: $($slow)+);
    };
    ($($(#[$attribute:meta])* $name:ident),* $(,)? $(;slow: $($slow:tt)+)?) => {
        $crate::tests_of!(
            smol_smol: &black_box::Pair(black_box::SMOL, black_box::SMOL);
            $($(#[$attribute])* $name,)* $($($slow)+)?
        );
        $crate::tests_of!(
            std_std: &black_box::Pair(black_box::STD, black_box::STD);
            $($(#[$attribute])* $name,)* $($($slow)+)?
        );
        $crate::tests_of!(
            smol_std: &black_box::Pair(black_box::SMOL, black_box::STD);
            $($(#[$attribute])* $name,)* $($($slow)+)?
        );
        $crate::tests_of!(
            std_smol: &black_box::Pair(black_box::STD, black_box::SMOL);
            $($(#[$attribute])* $name,)*
        );
    };
}

/// A module with a test of each function in the list, which is called with this argument.
#[doc(hidden)]
#[macro_export]
macro_rules! tests_of {
    ($module:ident: $argument:expr; $($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        mod $module {
            $(
                #[test]
                $(#[$attribute])*
                fn $name() {
                    super::$name($argument);
                }
            )*
        }
    };
}
