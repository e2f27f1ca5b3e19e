//! What goes over a connection: TLS, HTTP heads, WebSocket frames. Made by hand where a library would only ever do what
//! is right.

mod frame;
mod http;
mod stream;
mod tls;

pub use frame::{Close, Decoder, Fault, Frame, Length, Opcode, Piece, head};
pub use http::{Request, Response, accept_of, complete};
pub use stream::{End, Read, Stream};
pub use tls::{Trust, client_config, hello, server_config};
