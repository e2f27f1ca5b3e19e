//! The run loop of a client: sockets, time and the user's wishes in, what the machine says out.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use async_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use async_tungstenite::{WebSocketReceiver, WebSocketSender, WebSocketStream};
use mles_sansio::client::{ClientEvent, Goodbye};
use mles_sansio::{ConnId, Frame, Kind};
use runtime_common::client::{Action, LINGER, Machine};
use runtime_common::dial::DialError;
use smol::Timer;
use smol::channel::{Receiver, Sender};
use smol::stream::Stream as _;

use super::Event;
use super::cork::Cork;
use super::dial::{Dialer, Stream};
use crate::clock::Alarm;

/// What a user wants.
#[derive(Debug)]
pub(crate) enum Command {
    Send(Frame),
    Finish,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) struct Driver {
    machine: Machine,
    dialer: Dialer,
    commands: Pin<Box<Receiver<Command>>>,
    events: Sender<Event>,
    /// Events for which there was no room; until there is, nothing is read.
    held: VecDeque<Event>,
    handing: Option<Boxed<()>>,
    alarm: Alarm,
    link: Link,
    /// Whether the user's wishes come before the connection.
    turn: bool,
}

/// The connection.
enum Link {
    None,
    Dialing(ConnId, Boxed<Result<Dialed, DialError>>),
    Open(Box<Open>),
}

struct Open {
    conn: ConnId,
    receiver: WebSocketReceiver<Stream>,
    cork: Cork,
    /// Here unless it writes.
    sender: Option<WebSocketSender<Stream>>,
    writing: Option<Boxed<Option<WebSocketSender<Stream>>>>,
    outbox: Vec<Message>,
}

type Dialed = (WebSocketStream<Stream>, Cork);

/// What woke the client.
enum Happened {
    Event(ClientEvent),
    Dialed(ConnId, Box<Dialed>),
    NotDialed(ConnId, DialError),
    Message(ConnId, Option<Message>),
    Command(Command),
    Abandoned,
}

impl Driver {
    pub(crate) fn new(
        machine: Machine,
        dialer: Dialer,
        commands: Receiver<Command>,
        events: Sender<Event>,
    ) -> Self {
        Self {
            machine,
            dialer,
            commands: Box::pin(commands),
            events,
            held: VecDeque::new(),
            handing: None,
            alarm: Alarm::default(),
            link: Link::None,
            turn: false,
        }
    }

    pub(crate) async fn run(mut self) {
        while !self.machine.has_ended() || self.handing.is_some() || !self.held.is_empty() {
            let happened = poll_fn(|cx| self.poll(cx)).await;
            match happened {
                Happened::Event(event) => self.handle(event),
                Happened::Dialed(conn, dialed) => {
                    let (socket, cork) = *dialed;
                    let (sender, receiver) = socket.split();
                    self.link = Link::Open(Box::new(Open {
                        conn,
                        receiver,
                        cork,
                        sender: Some(sender),
                        writing: None,
                        outbox: Vec::new(),
                    }));
                    self.handle(ClientEvent::Opened { conn });
                }
                Happened::NotDialed(conn, error) => {
                    self.link = Link::None;
                    self.machine.failed(conn, error);
                    self.execute();
                }
                Happened::Message(conn, message) => self.received(conn, message),
                Happened::Command(Command::Send(frame)) => self.handle(ClientEvent::Send { frame }),
                Happened::Command(Command::Finish) => self.handle(ClientEvent::Finish),
                Happened::Abandoned => return,
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Happened> {
        // The user first: what is delivered makes room.
        loop {
            if let Some(handing) = &mut self.handing {
                if handing.as_mut().poll(cx).is_pending() {
                    break;
                }
                self.handing = None;
            }
            let Some(event) = self.held.pop_front() else {
                break;
            };
            let events = self.events.clone();
            self.handing = Some(Box::pin(async move {
                // Who does not listen any more misses nothing.
                let _ = events.send(event).await;
            }));
        }
        if self.machine.has_ended() {
            let done = self.handing.is_none();
            return if done {
                Poll::Ready(Happened::Abandoned)
            } else {
                Poll::Pending
            };
        }
        if self.alarm.is_due(self.machine.next_timeout(), cx) {
            return Poll::Ready(Happened::Event(ClientEvent::Timeout));
        }
        // In turn, so that neither who sends without end nor who receives without end keeps out the other.
        self.turn = !self.turn;
        let happened = if self.turn {
            self.poll_commands(cx).or_else(|| self.poll_link(cx))
        } else {
            self.poll_link(cx).or_else(|| self.poll_commands(cx))
        };
        happened.map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_commands(&mut self, cx: &mut Context<'_>) -> Option<Happened> {
        if !self.machine.takes_messages() {
            return None;
        }
        match self.commands.as_mut().poll_next(cx) {
            Poll::Ready(command) => Some(command.map_or(Happened::Abandoned, Happened::Command)),
            Poll::Pending => None,
        }
    }

    fn poll_link(&mut self, cx: &mut Context<'_>) -> Option<Happened> {
        match &mut self.link {
            Link::None => None,
            Link::Dialing(conn, dial) => match dial.as_mut().poll(cx) {
                Poll::Ready(Ok(dialed)) => Some(Happened::Dialed(*conn, Box::new(dialed))),
                Poll::Ready(Err(error)) => Some(Happened::NotDialed(*conn, error)),
                Poll::Pending => None,
            },
            Link::Open(open) => {
                let conn = open.conn;
                if let Some(writing) = &mut open.writing
                    && let Poll::Ready(sender) = writing.as_mut().poll(cx)
                {
                    // Without one the connection is broken, which reading will tell in order.
                    open.writing = None;
                    open.sender = sender;
                    if open.sender.is_some() && open.outbox.is_empty() {
                        return Some(Happened::Event(ClientEvent::Written { conn }));
                    }
                }
                if !open.outbox.is_empty()
                    && let Some(sender) = open.sender.take()
                {
                    let messages = std::mem::take(&mut open.outbox);
                    open.writing = Some(Box::pin(write(sender, messages, open.cork.clone())));
                    cx.waker().wake_by_ref();
                }
                if !self.held.is_empty() || self.handing.is_some() {
                    return None;
                }
                match Pin::new(&mut open.receiver).poll_next(cx) {
                    Poll::Ready(Some(Ok(message))) => Some(Happened::Message(conn, Some(message))),
                    Poll::Ready(Some(Err(_)) | None) => Some(Happened::Message(conn, None)),
                    Poll::Pending => None,
                }
            }
        }
    }

    fn received(&mut self, conn: ConnId, message: Option<Message>) {
        let how = match message {
            Some(Message::Text(text)) => {
                let frame = Frame::text(bytes_of(text));
                return self.handle(ClientEvent::Frame { conn, frame });
            }
            Some(Message::Binary(payload)) => {
                let frame = Frame::binary(payload);
                return self.handle(ClientEvent::Frame { conn, frame });
            }
            Some(Message::Close(close)) => Goodbye::Close(close.map_or(1005, |c| c.code.into())),
            Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => return,
            None => Goodbye::Lost,
        };
        let link = std::mem::replace(&mut self.link, Link::None);
        if let (Link::Open(mut open), Goodbye::Close(_)) = (link, how) {
            // tungstenite has queued the answer; it leaves when the stream is asked once more.
            smol::spawn(async move {
                smol::future::or(
                    async {
                        while poll_fn(|cx| Pin::new(&mut open.receiver).poll_next(cx))
                            .await
                            .is_some()
                        {}
                    },
                    async {
                        Timer::after(LINGER).await;
                    },
                )
                .await;
            })
            .detach();
        }
        self.handle(ClientEvent::Closed { conn, how });
    }

    fn handle(&mut self, event: ClientEvent) {
        self.machine.handle(event);
        self.execute();
    }

    /// Does everything that the machine says.
    fn execute(&mut self) {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Dial(conn) => {
                    self.link = Link::Dialing(conn, Box::pin(self.dialer.clone().dial()));
                }
                Action::Send(conn, frame) => self.write(conn, message(frame)),
                Action::Close(conn) => {
                    let close = CloseFrame {
                        code: 1000.into(),
                        reason: "".into(),
                    };
                    self.write(conn, Message::Close(Some(close)));
                }
                Action::Drop(_) => self.link = Link::None,
                Action::Tell(event) => self.tell(event),
            }
        }
    }

    fn tell(&mut self, event: Event) {
        if self.held.is_empty() && self.handing.is_none() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(error) => self.held.push_back(error.into_inner()),
            }
        } else {
            self.held.push_back(event);
        }
    }

    fn write(&mut self, conn: ConnId, message: Message) {
        if let Link::Open(open) = &mut self.link
            && open.conn == conn
        {
            open.outbox.push(message);
        }
    }
}

/// Writes a batch, together; gives the sender back if that works.
async fn write(
    mut sender: WebSocketSender<Stream>,
    messages: Vec<Message>,
    cork: Cork,
) -> Option<WebSocketSender<Stream>> {
    let last = messages.len() - 1;
    for (number, message) in messages.into_iter().enumerate() {
        cork.set(number < last);
        if sender.send(message).await.is_err() {
            cork.set(false);
            return None;
        }
    }
    Some(sender)
}

fn message(frame: Frame) -> Message {
    match frame.kind {
        // It is UTF-8: who made the frame vouches for it. If it is not, it is sent as the bytes it is.
        Kind::Text => match frame.payload.clone().try_into() {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Binary(frame.payload),
        },
        Kind::Binary => Message::Binary(frame.payload),
    }
}

fn bytes_of(
    text: async_tungstenite::tungstenite::Utf8Bytes,
) -> async_tungstenite::tungstenite::Bytes {
    text.into()
}
