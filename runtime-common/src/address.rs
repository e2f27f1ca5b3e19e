//! Where a server is.

use std::fmt;

use rustls::pki_types::ServerName;
use tungstenite::http::Uri;

/// A server's URL in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As a resolver takes it: without the brackets of IPv6.
    pub host: String,
    /// That of HTTPS if the URL has none.
    pub port: u16,
    /// The name that its certificate has to have.
    pub name: ServerName<'static>,
    /// The URL of the upgrade.
    pub uri: Uri,
}

impl Address {
    /// The parts of `wss://HOST[:PORT][/PATH]`.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        Self::parts(url, "wss", "not a WebSocket address", "wss://HOST[:PORT]")
    }

    /// The parts of `https://HOST[:PORT][/PATH]`.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub fn parse_https(url: &str) -> Result<Self, String> {
        let form = "https://HOST[:PORT]/PATH";
        Self::parts(url, "https", "not an address of the Web", form)
    }

    fn parts(url: &str, scheme: &str, other: &str, form: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("'{url}': {what}: give {form}");
        if url.starts_with("ws:") || url.starts_with("http:") {
            return Err(wrong("Mles runs over TLS alone"));
        }
        let Some((_, rest)) = url.split_once("://").filter(|(it, _)| *it == scheme) else {
            return Err(wrong(other));
        };
        // A user's name: nobody's who is behind the host.
        if rest
            .split(['/', '?'])
            .next()
            .unwrap_or_default()
            .contains('@')
        {
            return Err(wrong("user names have no place here"));
        }
        let uri: Uri = url.parse().map_err(|_| wrong("malformed"))?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("no host"))?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let (_, port) = uri
            .authority()
            .map_or("", |authority| authority.as_str())
            .rsplit_once(':')
            .filter(|(before, _)| !before.starts_with('[') || before.ends_with(']'))
            .unwrap_or(("", "443"));
        let port = port.parse().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| wrong("bad port"))?;
        let name = ServerName::try_from(host.clone()).map_err(|_| wrong("bad host name"))?;
        Ok(Self {
            host,
            port,
            name,
            uri,
        })
    }

    /// The path of the URL with its query.
    pub fn path(&self) -> &str {
        let path = self.uri.path_and_query();
        path.map_or("/", |path| path.as_str())
    }
}

impl fmt::Display for Address {
    /// The host and its port, as they stand in a URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_pages() {
        for (url, host, path) in [
            ("https://mles.io", "mles.io:443", "/"),
            ("https://mles.io:1/a/b?c=d@e", "mles.io:1", "/a/b?c=d@e"),
            ("https://[::1]/a", "[::1]:443", "/a"),
        ] {
            let address = Address::parse_https(url).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((&*address.to_string(), address.path()), (host, path));
        }
        for (url, what) in [
            ("http://a/b", "over TLS alone"),
            ("wss://a/b", "not an address of the Web"),
            ("a/b", "not an address of the Web"),
            ("https://", ""),
            ("https://u:p@a/b", "user names"),
            ("https://a b", ""),
            ("https://a:b/", "bad port"),
        ] {
            let error = Address::parse_https(url).unwrap_err();
            let told = error.contains(what) && error.ends_with("give https://HOST[:PORT]/PATH");
            assert!(told, "{error}");
        }
    }

    #[test]
    fn addresses() {
        for (url, host, port) in [
            ("wss://mles.io", "mles.io", 443),
            ("wss://mles.io/", "mles.io", 443),
            ("wss://localhost:8077/a?b", "localhost", 8077),
            ("wss://127.0.0.1:1", "127.0.0.1", 1),
            ("wss://[::1]:8077/", "::1", 8077),
            ("wss://[::1]", "::1", 443),
        ] {
            let address = Address::parse(url).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((&*address.host, address.port), (host, port), "{url}");
        }
        for url in [
            "",
            "mles.io",
            "ws://mles.io",
            "https://mles.io",
            "wss://",
            "wss://:1",
            "wss://a:0",
            "wss://a:65536",
            "wss://a:b",
            "wss://a b",
            "wss://u@a",
            "wss://[::1",
            "wss://a_b-/",
        ] {
            let error = Address::parse(url).err();
            assert!(
                error.is_some_and(|e| e.ends_with("give wss://HOST[:PORT]")),
                "{url}"
            );
        }
    }
}
