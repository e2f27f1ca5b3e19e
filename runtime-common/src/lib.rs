//! Shared parts of the runtimes.
