//! Many clients, and an account of what each of them sends and receives.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tungstenite::Error;

use crate::{Client, DEADLINE, Message, Server, header};

/// Members of channels on several servers, all served by one thread. What one of them sends is its uid and a number,
/// which begins with 0 and rises by one.
#[derive(Debug, Default)]
pub struct Crowd {
    members: Vec<Member>,
    /// What those have sent whose server was ended, by channel and uid.
    former: BTreeMap<(String, String), u64>,
}

#[derive(Debug)]
struct Member {
    client: Client,
    node: usize,
    uid: String,
    channel: String,
    sent: u64,
    /// The number that each sender's next message has to have.
    next: BTreeMap<String, u64>,
    announced: BTreeSet<String>,
    account: Account,
    ended: Option<String>,
    unflushed: bool,
    last: Instant,
}

/// What was received as it should not have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Messages, once each.
    pub received: u64,
    /// Messages that are not there.
    pub lost: u64,
    /// Messages and announcements that came again, or behind a later one of the same sender.
    pub repeated: u64,
    /// The receiver's own messages.
    pub own: u64,
    /// Connections that ended by themselves.
    pub ended: u64,
}

impl Crowd {
    /// One more member, whose join is over.
    pub fn join(&mut self, node: usize, server: &Server, uid: &str, channel: &str) {
        let mut client = server.join(uid, channel);
        client.stream().sock.set_nonblocking(true).unwrap();
        let mut member = Member {
            client,
            node,
            uid: uid.to_owned(),
            channel: channel.to_owned(),
            sent: 0,
            next: BTreeMap::new(),
            announced: BTreeSet::new(),
            account: Account::default(),
            ended: None,
            unflushed: false,
            last: Instant::now(),
        };
        member.receive();
        self.members.push(member);
    }

    /// Members that are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All channels.
    #[must_use]
    pub fn channels(&self) -> Vec<String> {
        let mut channels: Vec<_> = self.members.iter().map(|it| it.channel.clone()).collect();
        channels.sort();
        channels.dedup();
        channels
    }

    /// Takes out the members on a server that is ended. What they sent is owed to nobody.
    pub fn forget(&mut self, node: usize) {
        let (gone, stay) = self.members.drain(..).partition(|it| it.node == node);
        self.members = stay;
        let gone: Vec<Member> = gone;
        for member in gone {
            self.former
                .insert((member.channel, member.uid), member.sent);
        }
    }

    /// The next message of a member.
    pub fn send(&mut self, at: usize) {
        let member = &mut self.members[at];
        if member.ended.is_some() {
            return;
        }
        let text = format!("{} {}", member.uid, member.sent);
        member.sent += 1;
        let sent = member.client.try_send(Message::text(text));
        member.went(sent);
    }

    /// Each member sends this many, in turns.
    pub fn send_each(&mut self, count: usize) {
        for _ in 0..count {
            (0..self.len()).for_each(|at| self.send(at));
            self.receive(Duration::ZERO);
        }
    }

    /// The members in turns send this many messages a second in all, for as long as `more` says, which is told how
    /// many it were so far.
    pub fn send_at(&mut self, rate: u32, mut more: impl FnMut(&mut Self, u64) -> bool) {
        let gap = Duration::from_secs(1) / rate;
        let (mut due, mut turn) = (Instant::now(), 0);
        while more(self, turn as u64) {
            let now = Instant::now();
            // Who is late catches up, a bit at a time.
            for _ in 0..BURST {
                if due > now {
                    break;
                }
                self.send(turn % self.len());
                turn += 1;
                due += gap;
            }
            // A bit longer than to the next: several go at a time.
            let left = due.saturating_duration_since(now);
            self.receive(if due > now { left.max(PACE) } else { left });
        }
    }

    /// Receives what is there; if nothing is, waits for so long.
    pub fn receive(&mut self, wait: Duration) {
        let readable: Vec<usize> = {
            let streams = self.members.iter_mut().enumerate();
            let streams = streams.filter(|(_, member)| member.ended.is_none());
            let streams: Vec<_> = streams
                .map(|(at, member)| (at, member.client.socket()))
                .collect();
            let wanted = PollFlags::IN;
            let polled = streams.iter().map(|(_, tcp)| PollFd::new(*tcp, wanted));
            let mut polled: Vec<_> = polled.collect();
            let wait = Timespec::try_from(wait).unwrap();
            poll(&mut polled, Some(&wait)).unwrap();
            let events = streams.iter().zip(&polled);
            let ready = events.filter(|(_, poll)| !poll.revents().is_empty());
            ready.map(|((at, _), _)| *at).collect()
        };
        readable
            .into_iter()
            .for_each(|at| self.members[at].receive());
        let late = self.members.iter_mut().filter(|member| member.unflushed);
        late.for_each(|member| {
            let flushed = member.client.try_flush();
            member.went(flushed);
        });
    }

    /// Receives until everybody is as wished for.
    pub fn receive_until(&mut self, what: &str, wish: impl Fn(&Self) -> bool) {
        let until = Instant::now() + DEADLINE;
        while !wish(self) {
            assert!(Instant::now() < until, "{what}: {:#?}", self.account());
            self.receive(Duration::from_millis(100));
        }
    }

    /// Waits until each member has been told of each other of its channel.
    pub fn meet(&mut self) {
        self.receive_until("not everybody knows everybody", Self::have_met);
    }

    /// Whether each member has been told of each other of its channel.
    #[must_use]
    pub fn have_met(&self) -> bool {
        self.pairs()
            .all(|(to, from)| to.announced.contains(&from.uid))
    }

    /// Waits until everybody has heard all that the others have sent.
    pub fn hear_all(&mut self) {
        self.receive_until("something is missing", |crowd| {
            let lacks = |to: &Member, uid: &str, sent| to.heard(uid) < sent;
            let former = |((channel, uid), _): (&(String, String), _)| {
                let on = || crowd.members.iter().filter(|to| to.channel == *channel);
                let most = on().map(|to| to.heard(uid)).max().unwrap_or(0);
                on().all(|to| !lacks(to, uid, most))
            };
            let mut pairs = crowd.pairs();
            pairs.all(|(to, from)| !lacks(to, &from.uid, from.sent))
                && crowd.former.iter().all(former)
        });
    }

    /// Every two members of one channel, both ways.
    fn pairs(&self) -> impl Iterator<Item = (&Member, &Member)> {
        let mut channels: BTreeMap<&str, Vec<&Member>> = BTreeMap::new();
        for member in &self.members {
            channels.entry(&member.channel).or_default().push(member);
        }
        channels.into_values().flat_map(|members| {
            let all = members.clone();
            members.into_iter().flat_map(move |to| {
                let others = all.clone().into_iter();
                others
                    .filter(move |from| from.uid != to.uid)
                    .map(move |from| (to, from))
            })
        })
    }

    /// What all have received.
    #[must_use]
    pub fn account(&self) -> Account {
        let mut sum = Account::default();
        for Member { account, ended, .. } in &self.members {
            sum.received += account.received;
            sum.lost += account.lost;
            sum.repeated += account.repeated;
            sum.own += account.own;
            sum.ended += u64::from(ended.is_some());
        }
        for (to, from) in self.pairs() {
            sum.lost += from.sent - to.heard(&from.uid).min(from.sent);
        }
        sum
    }

    /// Each member has received each message of each other once and in order, and none of its own: the number of
    /// them is given.
    pub fn assert_accounted(&self) -> u64 {
        let account = self.account();
        let received = account.received;
        let right = Account {
            received,
            ..Account::default()
        };
        let ended = self.members.iter().filter_map(|it| it.ended.as_ref());
        assert_eq!(account, right, "{:?}", ended.collect::<Vec<_>>());
        received
    }

    /// When the last message came that somebody on this server received.
    #[must_use]
    pub fn last(&self, node: usize) -> Option<Instant> {
        let there = self.members.iter().filter(|member| member.node == node);
        there.map(|member| member.last).max()
    }

    /// Messages that those on this server have received.
    #[must_use]
    pub fn received(&self, node: usize) -> u64 {
        let there = self.members.iter().filter(|member| member.node == node);
        there.map(|member| member.account.received).sum()
    }

    /// On each channel one member sends a last message, and all hear it; then somebody new on each of these servers
    /// gets the history of each channel, up to this message: the same everywhere. Gives them, by channel.
    pub fn compare_histories<'a>(
        &mut self,
        nodes: impl Iterator<Item = (usize, &'a Server)> + Clone,
    ) -> BTreeMap<String, Vec<Message>> {
        let mut histories = BTreeMap::new();
        for channel in self.channels() {
            let mut members = self.members.iter();
            let last = members.position(|it| it.channel == channel).unwrap();
            self.send(last);
            self.hear_all();
            let member = &self.members[last];
            let end = format!("{} {}", member.uid, member.sent - 1);
            let mut found: Option<(usize, Vec<Message>)> = None;
            for (at, server) in nodes.clone() {
                let got = history(server, &format!("new-{at}"), &channel, &end);
                match &found {
                    None => found = Some((at, got)),
                    Some((first, same)) => {
                        assert!(
                            *same == got,
                            "{channel}: servers {first} and {at} differ: {same:#?} {got:#?}"
                        );
                    }
                }
            }
            histories.insert(channel, found.unwrap().1);
        }
        histories
    }
}

/// The history of a channel as somebody new gets it, whose uid begins with `new-`; up to this text, behind which is
/// nothing. Others of this kind are left out.
pub fn history(server: &Server, uid: &str, channel: &str, end: &str) -> Vec<Message> {
    let mut client = server.join(uid, channel);
    let mut got = Vec::new();
    while got.last() != Some(&Message::text(end)) {
        got.push(client.recv());
    }
    got.extend(client.leave());
    let is_new = |message: &Message| {
        let text = message.to_text().unwrap();
        text.starts_with(r#"{"uid":"new-"#)
    };
    got.retain(|message| !is_new(message));
    assert_eq!(got.last(), Some(&Message::text(end)));
    got
}

impl Member {
    fn heard(&self, uid: &str) -> u64 {
        self.next.get(uid).copied().unwrap_or(0)
    }

    /// Receives what is there.
    fn receive(&mut self) {
        while self.ended.is_none() {
            match self.client.try_next_frame() {
                Ok(Message::Text(text)) => self.note(&text),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(message) => self.ended = Some(format!("{message:?}")),
                Err(error) if is_later(&error) => return,
                Err(error) => self.ended = Some(error.to_string()),
            }
        }
    }

    fn went(&mut self, outcome: Result<(), Box<Error>>) {
        self.unflushed = false;
        match outcome {
            Ok(()) => {}
            Err(error) if is_later(&error) => self.unflushed = true,
            Err(error) => self.ended = Some(error.to_string()),
        }
    }

    fn note(&mut self, text: &str) {
        let Some((uid, number)) = text.split_once(' ') else {
            let value: serde_json::Value = serde_json::from_str(text).expect("an announcement");
            let uid = value["uid"].as_str().unwrap();
            assert_eq!(text, header(uid, &self.channel), "another channel's");
            let news = uid.starts_with("new-") || self.announced.insert(uid.to_owned());
            self.account.repeated += u64::from(!news);
            return;
        };
        if uid == self.uid {
            self.account.own += 1;
            return;
        }
        let number: u64 = number.parse().unwrap();
        let next = self.next.entry(uid.to_owned()).or_insert(0);
        if number < *next {
            self.account.repeated += 1;
            return;
        }
        self.account.lost += number - *next;
        self.account.received += 1;
        *next = number + 1;
        self.last = Instant::now();
    }
}

fn is_later(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Messages that are sent before somebody receives again.
const BURST: usize = 100;

/// How long messages may wait to go with others.
const PACE: Duration = Duration::from_millis(2);
