//! Mles on smol: the library has the [client], and what serves connections for whoever [hosts](host) it, as the program
//! `mles` does.

pub mod client;
mod clock;
mod driver;
mod handover;
pub mod host;
mod io_thread;
mod route;
mod session;
mod sniff;
mod transport;
mod turn;
