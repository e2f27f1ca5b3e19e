//! Mles on smol: the library has the [client]; the server is the program `mles`.

pub mod client;
mod clock;
