//! The rules of a client, one by one.

mod connections;
mod own;
mod replay;
mod run;
