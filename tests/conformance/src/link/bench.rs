//! Links as a case gets them.

use super::{Handshake, Link, random_uid};
use crate::bench::Bench;
use crate::session::Session;
use crate::{Judged, Stop};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

impl Bench {
    /// A connection on which no handshake was sent.
    ///
    /// # Errors
    /// The server takes no peers, or there is no connection with nonces.
    pub fn peer(&self, who: &str) -> Judged<Link> {
        let key = self.peer_key()?;
        self.has_room_for_joins()?;
        let dialer = random_uid();
        let request = self.upgrade_request().with("Mles-Nonce", &dialer);
        let (session, response) = match self.upgrade(who, &request).map_err(Stop::on_the_way)? {
            Ok(upgraded) => upgraded,
            Err(response) => {
                let why = format!("no upgrade: {} {}", response.status, response.text().trim());
                return Err(Stop::Inconclusive(why));
            }
        };
        let Some(acceptor) = response.field("Mles-Nonce") else {
            let why = "the server gives no nonce, as one that knows no peering";
            return Err(Stop::Inconclusive(why.into()));
        };
        let nonces = [dialer, acceptor.to_owned()];
        Ok(Link::new(session, nonces, key, &self.channel))
    }

    /// Goes on only if channels alone do not use up the byte budget: else joins are refused (C1.8).
    fn has_room_for_joins(&self) -> Judged {
        const LEAST: u64 = 64 << 10;
        let bytes = self.limits().history_bytes;
        match bytes >= LEAST {
            true => Ok(()),
            false => Err(Stop::Skip(format!(
                "all histories have {bytes} bytes, which channels without any use up: no peer may join them then"
            ))),
        }
    }

    /// A link, whose lower end the judge is.
    ///
    /// # Errors
    /// There is none.
    pub fn link(&self, who: &str) -> Judged<Link> {
        let mut link = self.peer(who)?;
        link.shake().map_err(Stop::on_the_way)?;
        Ok(link)
    }

    /// A link on which the case's channel is joined and synchronised, and `alice`, a member of it, who hears what is
    /// said there from now on.
    ///
    /// # Errors
    /// They do not come about.
    pub fn link_and_alice(&mut self) -> Judged<(Link, Session)> {
        let mut link = self.link("peer")?;
        let mut alice = self.join("alice")?;
        link.join(&self.channel)?;
        // Where little is kept, it may be gone before she is a member.
        let tries = if self.keeps_little() { 8 } else { 1 };
        let patience = alice.patience();
        alice.connection().patience = patience / tries;
        let mut heard = Ok(Vec::new());
        for _ in 0..tries {
            let marker = self.marker();
            link.tells(&marker)?;
            heard = alice.until(&marker);
            if heard.is_ok() {
                break;
            }
        }
        alice.connection().patience = patience;
        heard.map_err(Stop::on_the_way)?;
        Ok((link, alice))
    }

    /// What the server replies to a probe of a node that it does not know.
    ///
    /// # Errors
    /// It does not reply.
    pub fn probe(&self) -> Judged<Value> {
        let mut link = self.peer("probe")?;
        let handshake = Handshake {
            probe: true,
            ..link.handshake()
        };
        link.shake_with(&handshake).map_err(Stop::on_the_way)?;
        let reply = link.hello.clone();
        link.leave();
        Ok(reply)
    }

    /// The path in what the server replies to a probe.
    ///
    /// # Errors
    /// It does not reply.
    pub fn path_of_server(&self) -> Judged<Vec<String>> {
        let reply = self.probe()?;
        let path = reply["path"].as_array().map(Vec::as_slice);
        let nodes = path.unwrap_or_default().iter();
        Ok(nodes.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Waits until the server has this path.
    ///
    /// # Errors
    /// It has another when time is up.
    pub fn has_path(&self, path: &[String]) -> Judged {
        let deadline = Instant::now() + self.patience();
        loop {
            let came = self.path_of_server()?;
            if came == path {
                return Ok(());
            }
            if Instant::now() > deadline {
                let expected = format!("the server's path is {}", json!(path));
                return Err(Stop::fail(expected, json!(came).to_string()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Goes on only if the server has no upstream: the judge is going to be it.
    ///
    /// # Errors
    /// It has one: the case is skipped.
    pub fn is_root(&self) -> Judged {
        match self.has_path(&[]) {
            Err(Stop::Fail { came, .. }) => Err(Stop::Skip(format!(
                "the server has an upstream, and the judge would have to take its place; its path: {came}"
            ))),
            other => other,
        }
    }

    /// A link whose upper end the judge is, with this uid and path, while the case is about it. Afterwards the server is
    /// as it was: a root.
    ///
    /// # Errors
    /// The server is no root, or does not let itself be turned; or what the case says.
    pub fn beneath(
        &mut self,
        path: &[String],
        judge: impl FnOnce(&mut Self, &mut Link) -> Judged,
    ) -> Judged {
        self.beneath_as(&random_uid(), path, judge)
    }

    /// The same with this uid.
    ///
    /// # Errors
    /// As [`Self::beneath`].
    pub fn beneath_as(
        &mut self,
        uid: &str,
        path: &[String],
        judge: impl FnOnce(&mut Self, &mut Link) -> Judged,
    ) -> Judged {
        self.peer_key()?;
        self.is_root()?;
        let mut upstream = self.peer("upstream")?;
        upstream.uid = uid.to_owned();
        upstream.shake().map_err(Stop::on_the_way)?;
        upstream.turn(path).map_err(Stop::on_the_way)?;
        let judged = judge(self, &mut upstream);
        upstream.leave();
        let restored = self.has_path(&[]).map_err(Stop::on_the_way);
        judged.and(restored)
    }
}
