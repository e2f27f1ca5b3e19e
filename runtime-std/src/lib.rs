//! Mles on plain threads: the library has the [client]; the server is the program `mles-std`.

pub mod client;
