//! What a server counts: as a line for its log, and as text for Prometheus (exposition format 0.0.4).
//!
//! Pure, but for [`Process::read`] and [`Meter`]. Nothing that a client sent is in either: labels have few values, all of them
//! from here.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::Duration;

use mles_sansio::{Closing, Node, NodeId, Stats, Violation};

use crate::http::STATUSES;
use crate::limits::{Limits, Refused};

mod meter;
pub mod scrape;

pub use meter::Meter;

/// Everything that is counted, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What the core counts.
    pub stats: Stats,
    /// Close frames decided on, by their cause.
    pub closes: BTreeMap<Closing, u64>,
    /// What became of those who came in.
    pub arrivals: Arrivals,
    /// Connections taken from the listening sockets so far.
    pub accepted: u64,
    /// Connections that are no sessions, or not yet.
    pub pending: u32,
    /// Connections of each thread.
    pub threads: Vec<usize>,
    /// The limits on connections.
    pub limits: Limits,
    /// The bound on [`Stats::history_bytes`].
    pub history_limit: u64,
    /// Where the server is among others, if it is, or may be, linked to any: else its line says nothing of links.
    pub place: Option<Place>,
    /// When the server was started, since 1970.
    pub started: Duration,
    /// How long it has been running.
    pub uptime: Duration,
    /// What it costs the machine, where that can be known.
    pub process: Option<Process>,
}

/// Where a server is in the tree of servers. None of these ids outlives a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The server itself.
    pub node: NodeId,
    /// The one above, if there is one.
    pub upstream: Option<NodeId>,
    /// The root, maybe the server itself.
    pub root: NodeId,
}

impl Place {
    /// As the node has it now.
    pub fn of(node: &Node) -> Self {
        Self {
            node: node.uid(),
            upstream: node.upstream(),
            root: node.path().first().copied().unwrap_or(node.uid()),
        }
    }
}

/// What became of connections that did not become sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    rate_limit: u64,
    per_ip_limit: u64,
    filelimit: u64,
    max_sessions: u64,
    failed: u64,
    answers: BTreeMap<u16, u64>,
}

impl Arrivals {
    /// One was refused; one that gave way to another is [`Refused::NotPending`].
    pub fn refused(&mut self, why: Refused) {
        *match why {
            Refused::Rate => &mut self.rate_limit,
            Refused::PerIp => &mut self.per_ip_limit,
            Refused::NotPending => &mut self.filelimit,
            Refused::Sessions => &mut self.max_sessions,
        } += 1;
    }

    /// One got an HTTP answer with this status.
    pub fn answered(&mut self, status: u16) {
        *self.answers.entry(status).or_default() += 1;
    }

    /// One ended before it could be answered.
    pub fn failed(&mut self) {
        self.failed += 1;
    }

    /// By the option that refused them.
    fn refusals(&self) -> [(&'static str, u64); 4] {
        [
            ("rate_limit", self.rate_limit),
            ("per_ip_limit", self.per_ip_limit),
            ("filelimit", self.filelimit),
            ("max_sessions", self.max_sessions),
        ]
    }
}

/// What the process costs the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Memory that it has in use, in bytes.
    pub resident: u64,
    /// Time that its threads have spent on processors.
    pub cpu: Duration,
}

impl Process {
    /// This process, as Linux says.
    pub fn read() -> Option<Process> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let page = rustix::param::page_size() as u64;
        Process::parse(&stat, page, rustix::param::clock_ticks_per_second())
    }

    /// The text of `/proc/PID/stat` (proc(5)): the name, in parentheses, may hold anything.
    fn parse(stat: &str, page: u64, ticks: u64) -> Option<Process> {
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        // The first one is number 3.
        let user: u64 = fields.nth(14 - 3)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        let pages: u64 = fields.nth(24 - 16)?.parse().ok()?;
        let millis = (user + system).checked_mul(1000)?.checked_div(ticks)?;
        Some(Process {
            resident: pages.checked_mul(page)?,
            cpu: Duration::from_millis(millis),
        })
    }
}

impl Snapshot {
    /// One line of `key=value`: what there is now, then what there was since the start. Every key is always there but
    /// for those of the process, which not every system tells, and those of links, of a server that has no peers.
    pub fn line(&self) -> String {
        let Self {
            stats, arrivals, ..
        } = self;
        let mut line = format!(
            "stats uptime_seconds={} threads={}",
            self.uptime.as_secs(),
            self.threads.len()
        );
        let mut add = |name: &str, value: u64| write!(line, " {name}={value}").expect(INFALLIBLE);
        if let Some(process) = self.process {
            add("cpu_seconds", process.cpu.as_secs());
            add("resident_bytes", process.resident);
        }
        add("pending", self.pending.into());
        add("pending_limit", self.limits.filelimit.into());
        add("opening", stats.opening);
        add("sessions", stats.sessions);
        add("sessions_limit", self.limits.max_sessions.into());
        add("lagging", stats.lagging);
        add("channels", stats.channels);
        add("history_bytes", stats.history_bytes);
        add("history_limit_bytes", self.history_limit);
        add("accepted", self.accepted);
        add("joins", stats.joins);
        add("messages", stats.messages);
        add("message_bytes", stats.message_bytes);
        add("lagged", stats.lagged);
        add("violations", stats.violations);
        add("failed", arrivals.failed);
        for (reason, count) in arrivals.refusals() {
            add(&format!("refused_{reason}"), count);
        }
        if self.place.is_some() {
            add("links", stats.links);
            add("upstream", stats.upstreams);
            add("hops", stats.hops);
            add("link_received", stats.link_messages);
            add("link_duplicates", stats.link_duplicates);
            add("link_recovered", stats.link_recovered);
            add("link_sent", stats.link_sent);
            add("link_lost", stats.link_too_big + stats.link_dropped);
        }
        if stats.bridge_connections + stats.bridge_messages + stats.bridge_sent > 0 {
            add("bridge_connections", stats.bridge_connections);
            add("bridge_received", stats.bridge_messages);
            add("bridge_sent", stats.bridge_sent);
            add("bridge_lost", stats.bridge_dropped);
        }
        add("breaches", stats.breaches);
        line
    }

    /// The text for Prometheus.
    pub fn exposition(&self) -> String {
        let stats = &self.stats;
        let mut text = Text::default();
        text.family("mles_build_info", Kind::Gauge, "The server's version.");
        text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        self.process(&mut text);

        let gauge = Kind::Gauge;
        text.single(
            "mles_pending_connections",
            gauge,
            "Connections that are no WebSockets, or not yet.",
            self.pending,
        );
        text.single(
            "mles_pending_connections_limit",
            gauge,
            "The most connections that are no WebSockets (--filelimit).",
            self.limits.filelimit,
        );
        text.single(
            "mles_opening_connections",
            gauge,
            "WebSockets that have not joined a channel yet.",
            stats.opening,
        );
        text.single(
            "mles_sessions",
            gauge,
            "Members of channels, lagging ones among them.",
            stats.sessions,
        );
        text.single(
            "mles_sessions_limit",
            gauge,
            "The most WebSockets, with and without a channel (--max-sessions).",
            self.limits.max_sessions,
        );
        text.single(
            "mles_lagging_sessions",
            gauge,
            "Sessions that read too slowly and get nothing more.",
            stats.lagging,
        );
        text.family(
            "mles_thread_connections",
            gauge,
            "Connections of each thread (--threads).",
        );
        for (number, count) in self.threads.iter().enumerate() {
            text.sample(&[("thread", &number.to_string())], count);
        }
        text.single(
            "mles_channels",
            gauge,
            "Channels with members or history.",
            stats.channels,
        );
        text.single(
            "mles_history_bytes",
            gauge,
            "Bytes of history kept.",
            stats.history_bytes,
        );
        text.single(
            "mles_history_limit_bytes",
            gauge,
            "The most bytes of history (--history-bytes).",
            self.history_limit,
        );

        let counter = Kind::Counter;
        text.single(
            "mles_connections_total",
            counter,
            "Connections accepted, those that a limit then refused among them.",
            self.accepted,
        );
        text.family(
            "mles_refused_connections_total",
            counter,
            "Connections refused, by the option that sets the limit; filelimit has them give way to newer ones.",
        );
        for (reason, count) in self.arrivals.refusals() {
            text.sample(&[("reason", reason)], count);
        }
        text.single(
            "mles_failed_connections_total",
            counter,
            "Connections that ended before they had an answer: failed TLS handshakes, ends in the middle of a request.",
            self.arrivals.failed,
        );
        text.family(
            "mles_http_responses_total",
            counter,
            "Answers to requests that did not become WebSockets, by status.",
        );
        for status in STATUSES {
            let count = self.arrivals.answers.get(&status).copied();
            text.sample(&[("code", &status.to_string())], count.unwrap_or_default());
        }
        text.single(
            "mles_joins_total",
            counter,
            "Sessions that have joined a channel.",
            stats.joins,
        );
        text.single(
            "mles_messages_total",
            counter,
            "Messages accepted from clients.",
            stats.messages,
        );
        text.single(
            "mles_message_bytes_total",
            counter,
            "Payload bytes of messages accepted from clients.",
            stats.message_bytes,
        );
        text.single(
            "mles_lagged_sessions_total",
            counter,
            "Sessions that became lagging.",
            stats.lagged,
        );
        text.family(
            "mles_closes_total",
            counter,
            "Sessions that the server closed, or whose close it answered, by close code and cause.",
        );
        for why in closings() {
            let count = self.closes.get(&why).copied();
            let code = why.code().to_string();
            let labels = [("code", code.as_str()), ("cause", cause(why))];
            text.sample(&labels, count.unwrap_or_default());
        }
        self.links(&mut text);
        self.bridges(&mut text);
        text.single(
            "mles_breaches_total",
            counter,
            "Mistakes of the server itself: please report any.",
            stats.breaches,
        );
        text.0
    }

    /// Links to other servers, and what went over them.
    fn links(&self, text: &mut Text) {
        let stats = &self.stats;
        let (gauge, counter) = (Kind::Gauge, Kind::Counter);
        if let Some(place) = self.place {
            text.family(
                "mles_node_info",
                gauge,
                "The server among others, by the ids that servers draw at each start; the upstream is empty at the root.",
            );
            let upstream = place.upstream.map(|node| node.to_string());
            let (node, root) = (place.node.to_string(), place.root.to_string());
            let upstream = upstream.unwrap_or_default();
            text.sample(
                &[("node", &node), ("upstream", &upstream), ("root", &root)],
                1,
            );
        }
        text.family(
            "mles_links",
            gauge,
            "Links to other servers: to one upstream at most, and to those downstream.",
        );
        let below = stats.links.saturating_sub(stats.upstreams);
        text.sample(&[("to", "upstream")], stats.upstreams);
        text.sample(&[("to", "downstream")], below);
        text.single(
            "mles_root_hops",
            gauge,
            "Links between here and the root of the tree of servers; 0 at the root.",
            stats.hops,
        );
        text.single(
            "mles_links_opened_total",
            counter,
            "Links that stood, those that stand among them.",
            stats.links_opened,
        );
        text.family(
            "mles_link_received_messages_total",
            counter,
            "Messages that came over links, by what became of them: news, had already, too far ahead of the clock, of a channel \
             that is not joined there.",
        );
        for (result, count) in [
            ("accepted", stats.link_accepted),
            ("duplicate", stats.link_duplicates),
            ("ahead", stats.link_ahead),
            ("not_joined", stats.link_ignored),
        ] {
            text.sample(&[("result", result)], count);
        }
        text.single(
            "mles_link_sent_messages_total",
            counter,
            "Messages sent over links, once for each link.",
            stats.link_sent,
        );
        text.family(
            "mles_link_omitted_messages_total",
            counter,
            "Messages that a link did not get: above the bound of the server there, or no room to keep them for it. They are gaps \
             that no link can fill from here.",
        );
        text.sample(&[("reason", "too_big")], stats.link_too_big);
        text.sample(&[("reason", "no_room")], stats.link_dropped);
        text.family(
            "mles_link_joins_total",
            counter,
            "Channels joined at an upstream, by its answer: all that was missing has come, or no room there.",
        );
        text.sample(&[("result", "synchronised")], stats.link_resyncs);
        text.sample(&[("result", "refused")], stats.link_refusals);
        text.single(
            "mles_link_recovered_messages_total",
            counter,
            "Messages that an upstream had and this server had missed.",
            stats.link_recovered,
        );
    }

    /// Servers without peering.
    fn bridges(&self, text: &mut Text) {
        let stats = &self.stats;
        text.single(
            "mles_bridge_connections",
            Kind::Gauge,
            "Connections to servers without peering, one for each channel there.",
            stats.bridge_connections,
        );
        text.family(
            "mles_bridge_received_messages_total",
            Kind::Counter,
            "Messages that came over bridges, by what became of them: news, had already, come too often.",
        );
        let other = stats.bridge_known + stats.bridge_repeats;
        for (result, count) in [
            ("accepted", stats.bridge_messages.saturating_sub(other)),
            ("known", stats.bridge_known),
            ("repeated", stats.bridge_repeats),
        ] {
            text.sample(&[("result", result)], count);
        }
        text.single(
            "mles_bridge_sent_messages_total",
            Kind::Counter,
            "Messages sent over bridges, those that were sent again among them.",
            stats.bridge_sent,
        );
        text.single(
            "mles_bridge_omitted_messages_total",
            Kind::Counter,
            "Messages that a bridge did not get, because too many wait for it already.",
            stats.bridge_dropped,
        );
    }

    /// Under the names that all exporters use.
    fn process(&self, text: &mut Text) {
        text.single(
            "process_start_time_seconds",
            Kind::Gauge,
            "When the server was started, since 1970.",
            self.started.as_secs_f64(),
        );
        let Some(process) = self.process else { return };
        text.single(
            "process_cpu_seconds_total",
            Kind::Counter,
            "Time spent on processors.",
            process.cpu.as_secs_f64(),
        );
        text.single(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Memory in use.",
            process.resident,
        );
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}

/// Text in the making.
#[derive(Default)]
struct Text(
    String,
    /// The family whose samples are being written.
    &'static str,
);

impl Text {
    /// Begins a family; its samples follow.
    fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        self.1 = name;
        write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect(INFALLIBLE);
    }

    /// A sample of the family. No label's value needs to be escaped: all are words and numbers from here.
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(self.1);
        let mut separator = '{';
        for (name, label) in labels {
            write!(self.0, "{separator}{name}=\"{label}\"").expect(INFALLIBLE);
            separator = ',';
        }
        let end = if labels.is_empty() { "" } else { "}" };
        writeln!(self.0, "{end} {value}").expect(INFALLIBLE);
    }

    /// A family of one sample.
    fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }
}

/// Every cause of a close, in order.
fn closings() -> impl Iterator<Item = Closing> {
    let violations = Violation::ALL.into_iter().map(Closing::Violation);
    [Closing::Answer, Closing::Restarting, Closing::Unneeded]
        .into_iter()
        .chain(violations)
}

/// What a cause is called in a label. Exhaustive: a new rule cannot go without.
fn cause(why: Closing) -> &'static str {
    match why {
        Closing::Answer => "client",
        Closing::Restarting => "restart",
        Closing::Unneeded => "link_unneeded",
        Closing::Violation(violation) => match violation {
            Violation::Protocol => "protocol",
            Violation::NotUtf8 => "not_utf8",
            Violation::MessageTooBig => "message_too_big",
            Violation::NoRoom => "no_room",
            Violation::HeaderTooBig => "header_too_big",
            Violation::HeaderNotText => "header_not_text",
            Violation::HeaderNotJson => "header_not_json",
            Violation::HeaderTooDeep => "header_too_deep",
            Violation::HeaderRepeatedMember => "header_repeated_member",
            Violation::HeaderMissingMember => "header_missing_member",
            Violation::HeaderWrongType => "header_wrong_type",
            Violation::HeaderEmptyName => "header_empty_name",
            Violation::HeaderBadName => "header_bad_name",
            Violation::HeaderTimeout => "header_timeout",
            Violation::PeerRefused => "peer_refused",
            Violation::AuthMissing => "auth_missing",
            Violation::AuthMalformed => "auth_malformed",
            Violation::AuthMismatch => "auth_mismatch",
            Violation::Duplicate => "duplicate",
            Violation::NoAnswer => "no_answer",
            Violation::Lagging => "lagging",
            Violation::PeerWithoutNonce => "peer_without_nonce",
            Violation::PeerAuth => "peer_auth",
            Violation::PeerClockBehind => "peer_clock_behind",
            Violation::PeerClockAhead => "peer_clock_ahead",
            Violation::PathTooLong => "path_too_long",
            Violation::PeerLoop => "peer_loop",
            Violation::TurnTimeout => "turn_timeout",
            Violation::LinkReplaced => "link_replaced",
            Violation::TooManyLinks => "too_many_links",
            Violation::LinkFrame => "link_frame",
            Violation::LinkUid => "link_uid",
            Violation::LinkPayloadTooBig => "link_payload_too_big",
            Violation::LinkTime => "link_time",
            Violation::LinkFlood => "link_flood",
        },
    }
}

const INFALLIBLE: &str = "writing to a String does not fail";

#[cfg(test)]
mod tests;
