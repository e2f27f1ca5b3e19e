//! What close codes advise a client to do (X2.2, X2.4, and the section "Close codes").

/// Whether to connect again after a close frame of this code. 4002 depends on whether the other session may be an
/// own one, and is decided elsewhere. A code that is not in the table says nothing for good.
pub(crate) fn again(code: u16) -> bool {
    !matches!(
        code,
        1002 | 1003 | 1007 | 1008 | 1009 | 1010 | 4000 | 4001 | 4002 | 4011
    )
}

/// What a person can do about it.
pub(crate) fn sentence(code: u16) -> &'static str {
    match code {
        1002 => {
            "the server found a WebSocket frame malformed (1002): report it, this client is broken"
        }
        1007 => {
            "the server found text that is not UTF-8 (1007): send such bytes as binary messages"
        }
        1009 => "a message is too big for this server (1009): send less at a time",
        4000 => "the server refuses uid or channel (4000): choose other names",
        4001 => {
            "the key is missing or wrong (4001): set MLES_KEY or give --key-file, with the key of this server, or none if it has none"
        }
        4002 => {
            "another session has this uid on this channel (4002): choose another uid, or close the other session"
        }
        4011 => {
            "the server takes this client for a server (4011): report it, this client is broken"
        }
        _ => "the server closes the connection for good: ask who runs it",
    }
}
