//! Clients and a node with a network between them that delays, loses and lies dead: when the dust has settled,
//! everybody has everything once, in order.

use std::collections::VecDeque;
use std::time::Duration;

use mles_sansio::client::{
    Client, ClientAction, ClientConfig, ClientEvent, ClientNotice, End, Goodbye,
};
use mles_sansio::{
    Action, Config, ConnId, Ending, Event, Frame, Instant, Node, Now, Role, Seed, Source,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// A user sends a message.
    Say {
        who: usize,
    },
    /// So much arrives of what is under way.
    Up {
        who: usize,
        frames: usize,
    },
    Down {
        who: usize,
        frames: usize,
    },
    /// A dial succeeds, or fails.
    Dial {
        who: usize,
        works: bool,
    },
    /// The client's end is gone; the server learns of it now, or never.
    Cut {
        who: usize,
        both: bool,
    },
    /// What is under way from connections that only the server has arrives, in part, or the server notices.
    Ghosts {
        frames: usize,
        notice: bool,
    },
    /// A client reads too slowly.
    Lag {
        who: usize,
    },
    Wait {
        millis: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || 0..CLIENTS;
    let step = prop_oneof![
        6 => who().prop_map(|who| Step::Say { who }),
        6 => (who(), 1..6_usize).prop_map(|(who, frames)| Step::Up { who, frames }),
        6 => (who(), 1..9_usize).prop_map(|(who, frames)| Step::Down { who, frames }),
        4 => (who(), any::<bool>()).prop_map(|(who, works)| Step::Dial { who, works }),
        2 => (who(), any::<bool>()).prop_map(|(who, both)| Step::Cut { who, both }),
        2 => (0..5_usize, any::<bool>()).prop_map(|(frames, notice)| Step::Ghosts { frames, notice }),
        1 => who().prop_map(|who| Step::Lag { who }),
        4 => prop_oneof![0..500_u64, 500..8000_u64, 8000..70_000_u64].prop_map(|millis| Step::Wait { millis }),
    ];
    prop::collection::vec(step, 0..200)
}

/// On its way to the server.
#[derive(Clone, Debug)]
enum Up {
    Open,
    Frame(Frame),
    Pong,
    Close,
}

/// On its way to a client.
#[derive(Clone, Debug)]
enum Down {
    Frame(Frame),
    Ping,
    Close(u16),
}

/// A connection: what both ends have and what is between them.
#[derive(Clone, Debug)]
struct Link {
    conn: ConnId,
    up: VecDeque<(Up, Instant)>,
    down: VecDeque<(Down, Instant)>,
    /// The server does not take frames: its first one is being looked at.
    held: bool,
    /// The server has closed it.
    over: bool,
}

struct World {
    node: Node,
    now: Now,
    clients: Vec<Client>,
    /// What each client has dialed.
    dials: Vec<Option<ConnId>>,
    links: Vec<Option<Link>>,
    ghosts: Vec<Link>,
    next: u64,
    sent: Vec<Vec<String>>,
    got: Vec<Vec<Frame>>,
    ended: Vec<Option<End>>,
}

impl World {
    fn new() -> Self {
        let config = Config {
            history_limit: 100_000,
            ..Config::default()
        };
        let client = |number: usize| {
            let config = ClientConfig {
                patient: true,
                checkpoint: number == 0,
                queue_messages: if number == 0 { 5 } else { 1000 },
                ..ClientConfig::new(format!("client {number}"), "world")
            };
            Client::new(config, &Seed([number as u8; 32])).expect("good names")
        };
        let unix = 1_700_000_000_000_000;
        Self {
            node: Node::new(config, &Seed([9; 32])),
            now: Now {
                mono: Instant::from_micros(0),
                unix,
            },
            clients: (0..CLIENTS).map(client).collect(),
            dials: vec![None; CLIENTS],
            links: vec![None; CLIENTS],
            ghosts: Vec::new(),
            next: 0,
            sent: vec![Vec::new(); CLIENTS],
            got: vec![Vec::new(); CLIENTS],
            ended: vec![None; CLIENTS],
        }
    }

    fn client(&mut self, who: usize, event: ClientEvent) {
        let now = self.now;
        let actions: Vec<_> = self.clients[who].handle(now, event).collect();
        let mut sent = None;
        for action in actions {
            match action {
                ClientAction::Dial { conn } => self.dials[who] = Some(conn),
                ClientAction::Send { conn, frame } => {
                    sent = Some(conn);
                    self.put(who, Up::Frame(frame));
                }
                ClientAction::Close { .. } => self.put(who, Up::Close),
                ClientAction::Drop { .. } => {
                    self.dials[who] = None;
                    self.ghosts.extend(self.links[who].take());
                }
                ClientAction::Deliver(delivery) => {
                    if delivery.joined.is_none() {
                        self.got[who].push(delivery.frame);
                    }
                }
                ClientAction::Refused { frame, .. } => {
                    let text = String::from_utf8(frame.payload.to_vec()).expect("text");
                    assert_eq!(self.sent[who].pop(), Some(text), "back-pressure");
                }
                ClientAction::Notice(ClientNotice::Ended(end)) => self.ended[who] = Some(end),
                ClientAction::Room | ClientAction::Notice(_) => {}
            }
        }
        if let Some(conn) = sent {
            self.client(who, ClientEvent::Written { conn });
        }
    }

    fn put(&mut self, who: usize, up: Up) {
        let now = self.now.mono;
        if let Some(link) = &mut self.links[who] {
            link.up.push_back((up, now));
        }
    }

    fn link(&mut self, conn: ConnId) -> Option<&mut Link> {
        let links = self.links.iter_mut().flatten();
        links.chain(&mut self.ghosts).find(|link| link.conn == conn)
    }

    fn server(&mut self, event: Event) {
        let now = self.now.mono;
        let actions: Vec<_> = self.node.handle(self.now, event).collect();
        for action in actions {
            match action {
                Action::Replay { conn, frames } => {
                    if let Some(link) = self.link(conn) {
                        link.down.extend(
                            frames
                                .iter()
                                .cloned()
                                .map(|frame| (Down::Frame(frame), now)),
                        );
                    }
                    self.server(Event::Replayed { conn });
                }
                Action::Broadcast { except, frames, .. } => {
                    // All are on one channel; who is held is no member yet.
                    let links = self.links.iter_mut().flatten().chain(&mut self.ghosts);
                    for link in links.filter(|l| Some(l.conn) != except && !l.over && !l.held) {
                        link.down.extend(
                            frames
                                .iter()
                                .cloned()
                                .map(|frame| (Down::Frame(frame), now)),
                        );
                    }
                }
                Action::Resume { conn, .. } => {
                    if let Some(link) = self.link(conn) {
                        link.held = false;
                    }
                }
                Action::Ping { conn } => {
                    if let Some(link) = self.link(conn) {
                        link.down.push_front((Down::Ping, now));
                    }
                }
                Action::Discard { conn } => {
                    if let Some(link) = self.link(conn) {
                        link.down.clear();
                    }
                }
                Action::Close { conn, why } => {
                    if let Some(link) = self.link(conn) {
                        link.over = true;
                        link.down.push_back((Down::Close(why.code()), now));
                    }
                }
                Action::Send { .. }
                | Action::Join { .. }
                | Action::Leave { .. }
                | Action::StoreHistory { .. }
                | Action::Dial { .. }
                | Action::DialBridge { .. }
                | Action::Notice(_) => {}
            }
        }
    }

    /// One thing arrives at the server.
    fn arrive(&mut self, conn: ConnId) -> bool {
        let Some(link) = self.link(conn) else {
            return false;
        };
        if link.held && !matches!(link.up.front(), Some((Up::Open, _))) && !link.over {
            return false;
        }
        let Some((up, _)) = link.up.pop_front() else {
            return false;
        };
        if link.over {
            return true;
        }
        match up {
            Up::Open => {
                link.held = false;
                self.server(Event::Opened {
                    conn,
                    role: Role::Accepted,
                    source: Source(0),
                });
                let link = self.link(conn).expect("it is there");
                // The header comes with it.
                if let Some((Up::Frame(frame), _)) = link.up.pop_front() {
                    link.held = true;
                    self.server(Event::Frame { conn, frame });
                }
            }
            Up::Frame(frame) => self.server(Event::Frame { conn, frame }),
            Up::Pong => self.server(Event::Pong { conn }),
            Up::Close => self.server(Event::Closed {
                conn,
                how: Ending::CloseFrame(1000),
            }),
        }
        true
    }

    /// One thing arrives at a client.
    fn receive(&mut self, who: usize) -> bool {
        let Some(link) = &mut self.links[who] else {
            return false;
        };
        let Some((down, _)) = link.down.pop_front() else {
            return false;
        };
        let conn = self.clients_conn(who);
        match down {
            Down::Frame(frame) => self.client(who, ClientEvent::Frame { conn, frame }),
            Down::Ping => self.put(who, Up::Pong),
            Down::Close(code) => {
                self.links[who] = None;
                let how = Goodbye::Close(code);
                self.client(who, ClientEvent::Closed { conn, how });
            }
        }
        true
    }

    /// The name that the client has given its connection.
    fn clients_conn(&self, who: usize) -> ConnId {
        let link = self.links[who].as_ref().expect("it is connected");
        ConnId(link.conn.0 & 0xffff_ffff)
    }

    fn dialed(&mut self, who: usize, works: bool) {
        let Some(conn) = self.dials[who].take() else {
            return;
        };
        if !works {
            let lasting = false;
            return self.client(who, ClientEvent::Failed { conn, lasting });
        }
        self.next += 1;
        let link = Link {
            conn: ConnId(self.next << 32 | conn.0),
            up: [(Up::Open, self.now.mono)].into(),
            down: VecDeque::new(),
            held: true,
            over: false,
        };
        self.links[who] = Some(link);
        self.client(who, ClientEvent::Opened { conn });
    }

    fn cut(&mut self, who: usize, both: bool) {
        if self.links[who].is_none() {
            return;
        }
        let conn = self.clients_conn(who);
        let link = self.links[who].take().expect("it is connected");
        // A header that comes so late that a newer connection has joined before it would be a third party's.
        if both || matches!(link.up.front(), Some((Up::Open, _))) {
            self.vanish(&link);
        } else {
            self.ghosts.push(link);
        }
        let how = Goodbye::Lost;
        self.client(who, ClientEvent::Closed { conn, how });
    }

    /// The server notices that a connection is gone, if it knows it.
    fn vanish(&mut self, link: &Link) {
        let opened = !matches!(link.up.front(), Some((Up::Open, _)));
        if opened && !link.over {
            let (conn, how) = (link.conn, Ending::Lost);
            self.server(Event::Closed { conn, how });
        }
    }

    fn wait(&mut self, span: Duration) {
        let until = self.now.mono + span;
        loop {
            let of_clients = self.clients.iter().filter_map(Client::next_timeout);
            let of_node = self.node.next_timeout().map(|(at, _)| at);
            // What is written and does not arrive ends the connection.
            let stuck = |link: &Link| link.up.front().map(|(_, at)| *at + ACKNOWLEDGED);
            let late = |link: &Link| {
                let header = link.up.front().filter(|(up, _)| matches!(up, Up::Open));
                let down = link.down.front().map(|(_, at)| *at);
                let late = [header.map(|(_, at)| *at), down]
                    .into_iter()
                    .flatten()
                    .min();
                late.map(|at| at + LATENCY)
            };
            let of_links = self.links.iter().flatten();
            let of_links = of_links
                .flat_map(|link| [stuck(link), late(link)])
                .flatten();
            let next = of_clients.chain(of_node).chain(of_links).min();
            let Some(at) = next.filter(|at| *at <= until) else {
                break;
            };
            self.advance(at);
            for who in 0..CLIENTS {
                let now = self.now.mono;
                if let Some(link) = &self.links[who]
                    && late(link).is_some_and(|at| at <= now)
                {
                    let conn = link.conn;
                    let opening = matches!(link.up.front(), Some((Up::Open, _)));
                    let _ = if opening {
                        self.arrive(conn)
                    } else {
                        self.receive(who)
                    };
                }
                if self.links[who]
                    .as_ref()
                    .is_some_and(|link| stuck(link).is_some_and(|at| at <= now))
                {
                    self.cut(who, false);
                }
                if self.clients[who].next_timeout().is_some_and(|at| at <= now) {
                    self.client(who, ClientEvent::Timeout);
                }
            }
            if self
                .node
                .next_timeout()
                .is_some_and(|(at, _)| at <= self.now.mono)
            {
                self.server(Event::Timeout);
            }
        }
        self.advance(until);
    }

    fn advance(&mut self, to: Instant) {
        let span = to.since(self.now.mono);
        self.now.mono = self.now.mono + span;
        self.now.unix += span.as_micros() as u64;
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Say { who } => {
                let text = format!("{who}: message {}", self.sent[who].len());
                self.sent[who].push(text.clone());
                let frame = Frame::text(text);
                self.client(who, ClientEvent::Send { frame });
            }
            Step::Up { who, frames } => {
                if let Some(conn) = self.links[who].as_ref().map(|link| link.conn) {
                    (0..frames).for_each(|_| _ = self.arrive(conn));
                }
            }
            Step::Down { who, frames } => (0..frames).for_each(|_| _ = self.receive(who)),
            Step::Dial { who, works } => self.dialed(who, works),
            Step::Cut { who, both } => self.cut(who, both),
            Step::Ghosts { frames, notice } => {
                let now = self.now.mono;
                for ghost in &mut self.ghosts {
                    // Nor does the transport of a connection that was given up try for ever.
                    if ghost
                        .up
                        .front()
                        .is_some_and(|(_, at)| *at + ACKNOWLEDGED * 2 <= now)
                    {
                        ghost.up.clear();
                    }
                }
                for conn in self.ghosts.iter().map(|g| g.conn).collect::<Vec<_>>() {
                    (0..frames).for_each(|_| _ = self.arrive(conn));
                }
                if notice {
                    for link in std::mem::take(&mut self.ghosts) {
                        self.vanish(&link);
                    }
                }
            }
            Step::Lag { who } => {
                if let Some(link) = &self.links[who]
                    && !link.over
                    && !link.held
                {
                    let conn = link.conn;
                    self.server(Event::Overrun { conn });
                    self.server(Event::Drained { conn });
                }
            }
            Step::Wait { millis } => self.wait(Duration::from_millis(millis)),
        }
    }

    /// From here on everything works.
    fn settle(&mut self) {
        for round in 0..3000 {
            for who in 0..CLIENTS {
                self.dialed(who, true);
                while let Some(conn) = self.links[who].as_ref().map(|link| link.conn)
                    && (self.receive(who) || self.arrive(conn))
                {}
            }
            self.wait(Duration::from_millis(100));
            if round == 2000 {
                for who in 0..CLIENTS {
                    self.client(who, ClientEvent::Finish);
                }
            }
        }
    }
}

/// Everything that was sent is accepted, once and in each sender's order; everybody got what the others sent, once
/// and in the server's order; and each client knows that it is done.
fn check(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::new();
    for step in steps {
        world.step(step);
    }
    world.settle();
    let history: Vec<_> = world.node.history("world").collect();
    let messages: Vec<_> = history
        .iter()
        .filter(|entry| !entry.frame.payload.starts_with(b"{"))
        .collect();
    for who in 0..CLIENTS {
        let uid = format!("client {who}");
        let own = messages.iter().filter(|entry| *entry.uid == *uid);
        let own: Vec<_> = own.map(|entry| entry.frame.clone()).collect();
        let sent: Vec<_> = world.sent[who].iter().cloned().map(Frame::text).collect();
        prop_assert_eq!(own, sent, "accepted of client {}", who);
        let others = messages.iter().filter(|entry| *entry.uid != *uid);
        let others: Vec<_> = others.map(|entry| entry.frame.clone()).collect();
        prop_assert_eq!(&world.got[who], &others, "delivered to client {}", who);
        prop_assert_eq!(world.ended[who], Some(End::Done));
    }
    Ok(())
}

proptest! {
    /// J2.1, J2.3, L2.7, X1.4: whatever the network does.
    #[test]
    fn everybody_has_everything_once(steps in steps()) {
        check(&steps)?;
    }
}

const CLIENTS: usize = 3;

/// How long a header is on its way, and what comes from the server.
const LATENCY: Duration = Duration::from_millis(500);

/// How long a transport goes without its bytes being acknowledged.
const ACKNOWLEDGED: Duration = Duration::from_secs(20);
