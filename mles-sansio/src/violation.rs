//! Why the server ends a connection, and the code and sentence that go with it (spec: X1).

use core::fmt;

/// What a client, or its silence, broke: one variant for each rule that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Violation {
    /// RFC 6455 was violated.
    Protocol,
    /// Text that is not UTF-8.
    NotUtf8,
    /// A message above the server's bound (M4.2).
    MessageTooBig,
    /// No room for the message among all that are unfinished (M4.6).
    NoRoom,
    /// The first frame is longer than [`HEADER_MAX`](crate::HEADER_MAX) bytes (H2.1).
    HeaderTooBig,
    /// The first frame is binary (H1.1).
    HeaderNotText,
    /// The first frame is not one JSON object (H1.2).
    HeaderNotJson,
    /// A member's value nests more than 16 deep (H1.7).
    HeaderTooDeep,
    /// A member's name occurs twice in one object (H1.8).
    HeaderRepeatedMember,
    /// `uid` or `channel` is not there (H1.3).
    HeaderMissingMember,
    /// `uid`, `channel` or `auth` is no string (H1.3, H1.5), or `peer` no boolean (H4.2).
    HeaderWrongType,
    /// `uid` or `channel` is empty (H1.4).
    HeaderEmptyName,
    /// `uid` or `channel` holds NUL or a lone surrogate (H1.9).
    HeaderBadName,
    /// No valid header in time (H3.1).
    HeaderTimeout,
    /// A peering handshake, and this server takes no peers (H4.3).
    PeerRefused,
    /// A key is set and the header has no `auth` (A2.1).
    AuthMissing,
    /// `auth` is not 1 to 16 hexadecimal digits (A1.4).
    AuthMalformed,
    /// `auth` is not the hash of uid, channel and key (A2.2, A2.4).
    AuthMismatch,
    /// A live session has this uid and channel (J1.3).
    Duplicate,
    /// Nothing came although pings were sent (J1.5, K1.2).
    NoAnswer,
    /// The session read too slowly and has missed frames (L2.5).
    Lagging,
    /// A peer's upgrade had no nonce (O1.1).
    PeerWithoutNonce,
    /// A peer's `auth` is not there, or not the right hash (O1.4).
    PeerAuth,
    /// A peer's clock is more than ten minutes behind (O1.7).
    PeerClockBehind,
    /// A peer's clock is more than ten minutes ahead (O1.7).
    PeerClockAhead,
    /// More than 64 nodes in a row (R1.7).
    PathTooLong,
    /// The peer is this node, or above it; or the link closes a ring that this node has to cut (R1.1, R1.3).
    PeerLoop,
    /// A peer has not answered a turn in time (G1.7).
    TurnTimeout,
    /// A newer link of the same node takes the place of this one (O1.6).
    LinkReplaced,
    /// No room for one more link (O1.9).
    TooManyLinks,
    /// A frame that may not be sent here, or by this end of a link (F1.4).
    LinkFrame,
    /// A uid that is not that of the handshake (F1.4).
    LinkUid,
    /// A payload above the bound that the handshake gave (F1.5).
    LinkPayloadTooBig,
    /// A time stamp far ahead of the sender's own clock (F1.6).
    LinkTime,
    /// More refused joins than are bearable, and their refusals are not read (C1.8).
    LinkFlood,
}

impl Violation {
    /// All violations, in order.
    pub const ALL: [Self; 35] = [
        Self::Protocol,
        Self::NotUtf8,
        Self::MessageTooBig,
        Self::NoRoom,
        Self::HeaderTooBig,
        Self::HeaderNotText,
        Self::HeaderNotJson,
        Self::HeaderTooDeep,
        Self::HeaderRepeatedMember,
        Self::HeaderMissingMember,
        Self::HeaderWrongType,
        Self::HeaderEmptyName,
        Self::HeaderBadName,
        Self::HeaderTimeout,
        Self::PeerRefused,
        Self::AuthMissing,
        Self::AuthMalformed,
        Self::AuthMismatch,
        Self::Duplicate,
        Self::NoAnswer,
        Self::Lagging,
        Self::PeerWithoutNonce,
        Self::PeerAuth,
        Self::PeerClockBehind,
        Self::PeerClockAhead,
        Self::PathTooLong,
        Self::PeerLoop,
        Self::TurnTimeout,
        Self::LinkReplaced,
        Self::TooManyLinks,
        Self::LinkFrame,
        Self::LinkUid,
        Self::LinkPayloadTooBig,
        Self::LinkTime,
        Self::LinkFlood,
    ];

    /// The close code (X1.3). Exhaustive: a new rule cannot forget its code.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::NotUtf8 => 1007,
            Self::MessageTooBig => 1009,
            Self::HeaderTooBig
            | Self::HeaderNotText
            | Self::HeaderNotJson
            | Self::HeaderTooDeep
            | Self::HeaderRepeatedMember
            | Self::HeaderMissingMember
            | Self::HeaderWrongType
            | Self::HeaderEmptyName
            | Self::HeaderBadName => 4000,
            Self::AuthMissing | Self::AuthMalformed | Self::AuthMismatch | Self::PeerAuth => 4001,
            Self::Duplicate | Self::LinkReplaced => 4002,
            Self::HeaderTimeout | Self::TurnTimeout => 4003,
            Self::NoRoom | Self::TooManyLinks | Self::LinkFlood => 4004,
            Self::NoAnswer => 4005,
            Self::Lagging => 4008,
            Self::PeerLoop => 4010,
            Self::PeerRefused
            | Self::PeerWithoutNonce
            | Self::PeerClockBehind
            | Self::PeerClockAhead
            | Self::PathTooLong => 4011,
            Self::LinkFrame | Self::LinkUid | Self::LinkPayloadTooBig | Self::LinkTime => 4012,
        }
    }

    /// The reason a person can act on: at most 123 bytes, never a word of what the client sent (X1.1, X1.2).
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Protocol => "frame violates RFC 6455",
            Self::NotUtf8 => "text is not UTF-8: send bytes as a binary message",
            Self::MessageTooBig => "message too big for this server",
            Self::NoRoom => "no room for this message now: send it again later",
            Self::HeaderTooBig => "header too big: at most 4096 bytes",
            Self::HeaderNotText => "header missing: the first frame must be text",
            Self::HeaderNotJson => "header is not one JSON object",
            Self::HeaderTooDeep => "header nests more than 16 deep",
            Self::HeaderRepeatedMember => "header repeats a member",
            Self::HeaderMissingMember => "header needs uid and channel",
            Self::HeaderWrongType => {
                "header member of wrong type: uid, channel and auth are strings, peer a boolean"
            }
            Self::HeaderEmptyName => "uid and channel must not be empty",
            Self::HeaderBadName => "uid or channel holds NUL or a lone surrogate",
            Self::HeaderTimeout => "no header in time: send uid and channel as the first frame",
            Self::PeerRefused => "this server takes no peers",
            Self::AuthMissing => "this server has a key: send auth",
            Self::AuthMalformed => "auth is not 1 to 16 hexadecimal digits",
            Self::AuthMismatch => "auth does not fit uid, channel and key",
            Self::Duplicate => "this uid is on the channel already",
            Self::NoAnswer => "no answer to pings",
            Self::Lagging => "read too slowly: reconnect and take the gap from the history",
            Self::PeerWithoutNonce => "the upgrade request had no Mles-Nonce",
            Self::PeerAuth => "auth does not fit uid, channel, peer key and nonces",
            Self::PeerClockBehind => {
                "your clock is more than ten minutes behind ours: set one of them"
            }
            Self::PeerClockAhead => {
                "your clock is more than ten minutes ahead of ours: set one of them"
            }
            Self::PathTooLong => "more than 64 nodes in a row",
            Self::PeerLoop => "this link would close a ring",
            Self::TurnTimeout => "no answer to a turn in time",
            Self::LinkReplaced => "a newer link of the same node is here",
            Self::TooManyLinks => "no room for one more link",
            Self::LinkFrame => "a frame that may not be sent here",
            Self::LinkUid => "uid is not that of the handshake",
            Self::LinkPayloadTooBig => "payload above the max of the handshake",
            Self::LinkTime => "time stamp more than two hours ahead of your own clock",
            Self::LinkFlood => "too many joins that had to be refused",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

/// Why the server sends a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Closing {
    /// The answer to the client's own close frame.
    Answer,
    /// The server is going away, and will be back.
    Restarting,
    /// A connection between nodes has served its purpose, or is not needed (O1.10).
    Unneeded,
    /// The client broke a rule, or was silent or slow beyond what the rules allow.
    Violation(Violation),
}

impl Closing {
    /// The close code (X1.3).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Answer | Self::Unneeded => 1000,
            Self::Restarting => 1012,
            Self::Violation(violation) => violation.code(),
        }
    }

    /// The reason, at most 123 bytes (X1.1).
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Answer => "",
            Self::Unneeded => "not needed any more",
            Self::Restarting => "server is restarting: reconnect",
            Self::Violation(violation) => violation.reason(),
        }
    }
}
