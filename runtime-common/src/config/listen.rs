//! Which addresses to accept on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::layer::Given;

/// The addresses to accept on, as a plan: what it asks for may not exist on this machine. Port 0 takes a free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// 127.0.0.1, and `::1` on the same port; a machine without IPv6 does without `::1`. The default of local mode.
    Loopback {
        /// The port of both.
        port: u16,
    },
    /// `[::]` for IPv6 and IPv4 (`IPV6_V6ONLY` off); where there is no IPv6, 0.0.0.0, and the log says so. The
    /// default with an own certificate.
    Everywhere {
        /// The port.
        port: u16,
    },
    /// Exactly these, in this order and without repeats (but port 0 may repeat); each must succeed.
    Addresses(Vec<SocketAddr>),
}

impl Listen {
    /// What `IPV6_V6ONLY` must be for an IPv6 address of the plan. `[::]` takes IPv4 too, unless 0.0.0.0 is listed
    /// for the same port, with which it would collide.
    pub fn only_v6(&self, address: SocketAddr) -> bool {
        match self {
            Listen::Loopback { .. } => true,
            Listen::Everywhere { .. } => false,
            Listen::Addresses(all) => {
                address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED)
                    || all.iter().any(|other| {
                        other.is_ipv4()
                            && other.ip().is_unspecified()
                            && other.port() == address.port()
                    })
            }
        }
    }

    /// The addresses of the plan that other machines can reach.
    pub(super) fn reachable(&self) -> Vec<SocketAddr> {
        match self {
            Listen::Loopback { .. } => Vec::new(),
            Listen::Everywhere { port } => vec![(Ipv6Addr::UNSPECIFIED, *port).into()],
            Listen::Addresses(all) => all
                .iter()
                .filter(|a| !a.ip().to_canonical().is_loopback())
                .copied()
                .collect(),
        }
    }

    /// Reads `--listen` (each occurrence one address) or `MLES_LISTEN` (separated by commas).
    ///
    /// # Errors
    /// One line for each text that is no address, or that repeats one.
    pub(super) fn addresses(given: &Given, port: u16) -> Result<Listen, Vec<String>> {
        let name = &given.name;
        let mut addresses = Vec::new();
        let mut mistakes = Vec::new();
        let texts: Vec<_> = given
            .texts
            .iter()
            .map(|text| text.to_string_lossy())
            .collect();
        for text in texts.iter().flat_map(|text| text.split(',')).map(str::trim) {
            match parse(text, port) {
                None => mistakes.push(format!(
                    "{name}: '{text}' is not an address: give IP or IP:PORT, such as 127.0.0.1, 0.0.0.0:8077 or [::1]:8077"
                )),
                Some(address) if address.port() != 0 && addresses.contains(&address) => {
                    mistakes.push(format!("{name}: {address} is given twice: leave one out"));
                }
                Some(address) => addresses.push(address),
            }
        }
        mistakes.extend(addresses.iter().filter_map(|address| {
            let why = impossible(*address, &addresses)?;
            Some(format!("{name}: {address} {why}"))
        }));
        if mistakes.is_empty() {
            Ok(Listen::Addresses(addresses))
        } else {
            Err(mistakes)
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = match self {
            Listen::Loopback { port } => vec![
                (Ipv4Addr::LOCALHOST, *port).into(),
                (Ipv6Addr::LOCALHOST, *port).into(),
            ],
            Listen::Everywhere { port } => vec![(Ipv6Addr::UNSPECIFIED, *port).into()],
            Listen::Addresses(all) => all.clone(),
        };
        let all: Vec<_> = all.iter().map(SocketAddr::to_string).collect();
        f.write_str(&all.join(", "))
    }
}

/// Why no socket can listen on this address beside all those, and what to do.
fn impossible(address: SocketAddr, all: &[SocketAddr]) -> Option<String> {
    let ip = address.ip();
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Some("is an address for many machines: give one of this machine's own".to_owned());
    }
    if let SocketAddr::V6(v6) = address
        && v6.ip().is_unicast_link_local()
        && v6.scope_id() == 0
    {
        return Some(format!(
            "is link-local and needs the number of its interface: give [{}%NUMBER]:{}",
            v6.ip(),
            v6.port()
        ));
    }
    let both = Listen::Addresses(all.to_vec());
    let covers = |other: &&SocketAddr| {
        let takes_v4 = other.is_ipv6() && !both.only_v6(**other);
        other.ip().is_unspecified()
            && !ip.is_unspecified()
            && other.port() == address.port()
            && (other.is_ipv4() == address.is_ipv4() || takes_v4)
    };
    let wide = all.iter().filter(|_| address.port() != 0).find(covers)?;
    Some(format!("is part of {wide}: leave one out"))
}

/// Reads `--metrics`: as for `--listen`, or a port alone, on this machine then.
///
/// # Errors
/// What is wrong with it.
pub(super) fn metrics(text: &str) -> Result<SocketAddr, String> {
    let local = text.parse().map(|port| (Ipv4Addr::LOCALHOST, port).into());
    let address = local.ok().or_else(|| parse(text, super::METRICS_PORT));
    address.ok_or_else(|| {
        format!(
            "'{text}' is not an address: give PORT, IP or IP:PORT, such as 8078, 127.0.0.1:8078 or [::1]:8078"
        )
    })
}

/// `IPv4`, `IPv4:PORT`, `IPv6`, `[IPv6]` or `[IPv6]:PORT`.
fn parse(text: &str, port: u16) -> Option<SocketAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if let Some(v6) = bare {
        return Some((v6.parse::<Ipv6Addr>().ok()?, port).into());
    }
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| (ip, port).into()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layer::Form;

    fn given(texts: &[&str]) -> Given {
        Given {
            texts: texts.iter().map(Into::into).collect(),
            name: "--listen".to_owned(),
            origin: "--listen".to_owned(),
            form: Form::Untyped,
            directory: "".into(),
        }
    }

    #[test]
    fn addresses_with_and_without_a_port() {
        let cases = [
            ("127.0.0.1", "127.0.0.1:8077"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("::1", "[::1]:8077"),
            ("[::1]", "[::1]:8077"),
            ("[::1]:443", "[::1]:443"),
            ("[fe80::1%2]:443", "[fe80::1%2]:443"),
            ("2001:db8::8", "[2001:db8::8]:8077"),
        ];
        for (text, address) in cases {
            let expected = Listen::Addresses(vec![address.parse().unwrap()]);
            assert_eq!(
                Listen::addresses(&given(&[text]), 8077),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn several_and_lists() {
        let expected = ["127.0.0.1:5", "[::1]:5", "10.0.0.1:6"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        assert_eq!(
            Listen::addresses(&given(&["127.0.0.1", "::1", "10.0.0.1:6"]), 5),
            Ok(Listen::Addresses(expected.clone()))
        );
        assert_eq!(
            Listen::addresses(&given(&["127.0.0.1, ::1,10.0.0.1:6"]), 5),
            Ok(Listen::Addresses(expected))
        );
        let twice = vec!["127.0.0.1:0".parse().unwrap(); 2];
        assert_eq!(
            Listen::addresses(&given(&["127.0.0.1", "127.0.0.1:0"]), 0),
            Ok(Listen::Addresses(twice))
        );
    }

    #[test]
    fn metrics_are_this_machines_unless_told_otherwise() {
        let cases = [
            ("9100", "127.0.0.1:9100"),
            ("0", "127.0.0.1:0"),
            ("127.0.0.1", "127.0.0.1:8078"),
            ("[::1]", "[::1]:8078"),
            ("[::1]:1", "[::1]:1"),
            ("0.0.0.0:2", "0.0.0.0:2"),
        ];
        for (text, address) in cases {
            assert_eq!(metrics(text), Ok(address.parse().unwrap()), "{text}");
        }
        for text in ["", "65536", "-1", ":1", "localhost:1", "::1]:1", "yes"] {
            let expected = format!(
                "'{text}' is not an address: give PORT, IP or IP:PORT, such as 8078, 127.0.0.1:8078 or [::1]:8078"
            );
            assert_eq!(metrics(text), Err(expected));
        }
    }

    #[test]
    fn refusals() {
        for text in [
            "",
            "localhost",
            "8077",
            ":8077",
            "[::1",
            "::1]",
            "[127.0.0.1]",
            "127.0.0.1:",
            "127.0.0.1:65536",
        ] {
            let expected = format!(
                "--listen: '{text}' is not an address: give IP or IP:PORT, such as 127.0.0.1, 0.0.0.0:8077 or [::1]:8077"
            );
            assert_eq!(
                Listen::addresses(&given(&[text]), 8077),
                Err(vec![expected])
            );
        }
        assert_eq!(
            Listen::addresses(&given(&["::1", "[::1]:8077"]), 8077),
            Err(vec![
                "--listen: [::1]:8077 is given twice: leave one out".into()
            ])
        );
    }

    #[test]
    fn addresses_that_no_socket_can_have() {
        let table = [
            (
                "224.0.0.1:5",
                "224.0.0.1:5 is an address for many machines: give one of this machine's own",
            ),
            (
                "255.255.255.255:5",
                "255.255.255.255:5 is an address for many machines: give one of this machine's own",
            ),
            (
                "[ff02::1]:5",
                "[ff02::1]:5 is an address for many machines: give one of this machine's own",
            ),
            (
                "[fe80::1]:5",
                "[fe80::1]:5 is link-local and needs the number of its interface: give [fe80::1%NUMBER]:5",
            ),
            (
                "0.0.0.0:5,10.0.0.1:5",
                "10.0.0.1:5 is part of 0.0.0.0:5: leave one out",
            ),
            ("[::1]:5,[::]:5", "[::1]:5 is part of [::]:5: leave one out"),
            (
                "10.0.0.1:5,[::]:5",
                "10.0.0.1:5 is part of [::]:5: leave one out",
            ),
        ];
        for (texts, mistake) in table {
            assert_eq!(
                Listen::addresses(&given(&[texts]), 8077),
                Err(vec![format!("--listen: {mistake}")])
            );
        }
        for texts in [
            "0.0.0.0:5,[::]:5",
            "0.0.0.0:5,[::]:5,[::1]:6",
            "0.0.0.0:5,[::1]:5",
            "0.0.0.0:0,10.0.0.1:0",
            "0.0.0.0:5,10.0.0.1:6",
        ] {
            assert!(Listen::addresses(&given(&[texts]), 8077).is_ok(), "{texts}");
        }
    }

    #[test]
    fn v6_takes_v4_too_only_where_that_cannot_collide() {
        let (v6, v4): (SocketAddr, SocketAddr) =
            ("[::]:5".parse().unwrap(), "0.0.0.0:5".parse().unwrap());
        let one: SocketAddr = "[::1]:5".parse().unwrap();
        assert!(!Listen::Addresses(vec![v6]).only_v6(v6));
        assert!(!Listen::Addresses(vec![v6, "0.0.0.0:6".parse().unwrap()]).only_v6(v6));
        assert!(Listen::Addresses(vec![v4, v6]).only_v6(v6));
        assert!(Listen::Addresses(vec![one]).only_v6(one));
        assert!(Listen::Loopback { port: 5 }.only_v6(one));
        assert!(!Listen::Everywhere { port: 5 }.only_v6(v6));
    }
}
