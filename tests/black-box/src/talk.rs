//! Members of a channel that are not to notice what happens beside them.

use std::time::{Duration, Instant};

use crate::{Binary, Client, Server, header};

/// Two members of the channel `talk` that do that while something happens, and notice nothing of it.
#[derive(Debug)]
pub struct Talk {
    /// Where they are.
    pub server: Server,
    /// One of them.
    pub alice: Client,
    /// The other.
    pub bob: Client,
    rounds: u32,
    memory: u64,
}

impl Talk {
    /// A server with these arguments and variables, and the two on it.
    #[must_use]
    pub fn begin(binary: &Binary, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let server = Server::start(binary, args, variables);
        let mut alice = server.join("alice", "talk");
        let mut bob = server.join("bob", "talk");
        alice.expect([header("bob", "talk")]);
        bob.expect([header("alice", "talk")]);
        let memory = server.memory(false);
        Self {
            server,
            alice,
            bob,
            rounds: 0,
            memory,
        }
    }

    /// A message in each direction, in little time.
    pub fn round(&mut self) {
        let began = Instant::now();
        self.rounds += 1;
        self.alice.send(format!("ping {}", self.rounds));
        self.bob.expect([format!("ping {}", self.rounds)]);
        self.bob.send(format!("pong {}", self.rounds));
        self.alice.expect([format!("pong {}", self.rounds)]);
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(20),
            "round {}: {took:?}",
            self.rounds
        );
    }

    /// The members still talk, others can join, nothing was worth a line in the log, and the server
    /// has never had this many bytes more than at the beginning.
    pub fn end(mut self, more: u64) {
        self.check(more);
        self.server.assert_quiet();
    }

    /// The same, but for lines about links.
    pub fn end_of_links(mut self, more: u64) {
        self.check(more);
        let lines = self.server.log().lines();
        let is_loud = |line: &&String| line.contains(" WARN ") || line.contains(" ERROR ");
        let loud = lines.iter().find(is_loud);
        assert_eq!(loud, None);
    }

    fn check(&mut self, more: u64) {
        self.round();
        self.server.assert_serves();
        self.assert_small(more);
    }

    /// How often they have talked.
    #[must_use]
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// The server has never had this many bytes more than at the beginning.
    pub fn assert_small(&self, more: u64) {
        let grown = self.server.memory(true).saturating_sub(self.memory);
        assert!(grown < more, "{grown} bytes more");
    }
}
