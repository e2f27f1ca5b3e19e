//! What the server says on stdout when it is ready.

use std::ffi::OsString;
use std::net::SocketAddr;

/// Where to go; the last line says that the server accepts. `local` is the fingerprint of a certificate that was made
/// here, `started_as` the first argument of the program.
pub fn announcement(
    addresses: &[SocketAddr],
    local: Option<&str>,
    started_as: Option<OsString>,
) -> String {
    let mut text = String::new();
    let port = addresses.first().map_or(0, SocketAddr::port);
    let host = match addresses.first() {
        Some(address)
            if local.is_none() || !address.ip().is_loopback() && !address.ip().is_unspecified() =>
        {
            address.to_string()
        }
        Some(_) | None => format!("localhost:{port}"),
    };
    if let Some(fingerprint) = local {
        let mles = program(started_as);
        text += &format!(
            "Page         https://{host}/  (its certificate is your own: let the browser accept it)\n\
             Fingerprint  SHA-256 {fingerprint}\n\
             Terminal     {mles} talk wss://{host} --uid me --channel lobby --fingerprint {fingerprint}\n"
        );
    }
    let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    text += &format!("mles listens on https://{host}/ ({})\n", all.join(", "));
    text
}

/// How this program was started, for a shell in the same directory.
fn program(started_as: Option<OsString>) -> String {
    let name = started_as.and_then(|name| name.into_string().ok());
    let name = name.filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| "mles".to_owned());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if name.bytes().all(plain) {
        name
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_command_can_be_pasted() {
        let shown = |name: &str| program(Some(name.into()));
        assert_eq!(shown("target/release/mles"), "target/release/mles");
        assert_eq!(shown("mles"), "mles");
        assert_eq!(shown("/opt/my server/mles"), "'/opt/my server/mles'");
        assert_eq!(shown("it's/mles"), "'it'\\''s/mles'");
        assert_eq!(program(None), "mles");
    }
}
