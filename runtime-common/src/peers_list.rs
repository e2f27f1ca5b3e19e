//! The list of peers, from all places that name some: the settings, a file, a page of the Web. The latter two may
//! change while the server runs.
//!
//! They are small, so that each is read as a whole whenever somebody looks: whatever replaced it, and on whichever
//! machine, is seen.

use crate::address::Address;
use crate::certificates::Remark;
use crate::config::{NamedFile, NamedUrl, PEERS_MAX, Peering};

/// The list, of what was last good of each place.
#[derive(Debug)]
pub struct PeersList {
    named: Vec<Address>,
    file: Option<Source>,
    url: Option<Source>,
    /// All of them, in order of preference.
    peers: Vec<Address>,
    /// How many more there would be, had a list room for them.
    left_out: usize,
}

/// A place that is read again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file of `--peers-file`.
    File,
    /// The page of `--peers-url`.
    Url,
}

/// What such a place has said.
#[derive(Debug)]
struct Source {
    /// Where the configuration names it.
    name: String,
    /// What it is, for a person.
    shown: String,
    /// None before the first good list.
    peers: Option<Vec<Address>>,
    /// What is wrong with it now, as it was told.
    mistake: Option<String>,
}

/// What stands in a list.
#[derive(Debug, Default)]
pub struct Lines {
    /// The peers with the numbers of their lines, each once.
    pub peers: Vec<(usize, Address)>,
    /// What is wrong, each with its line.
    pub mistakes: Vec<String>,
}

impl PeersList {
    /// The peers that these settings name; what a page names is not there yet.
    ///
    /// # Errors
    /// One line that says what to do: the file can't be read, or a line of it is no peer.
    pub fn load(peering: &Peering) -> Result<Self, String> {
        let url = |url: &NamedUrl| Source::new(&url.name, url.to_string());
        let mut list = Self {
            named: peering.peers.clone(),
            file: peering.file.as_ref().map(Source::of),
            url: peering.url.as_ref().map(url),
            peers: Vec::new(),
            left_out: 0,
        };
        if let Some(file) = &peering.file
            && let Some(source) = &mut list.file
        {
            source.peers = Some(source.judge(read(file)?, &list.named)?);
        }
        list.merge();
        Ok(list)
    }

    /// All peers, in order of preference: those of the settings, of the file, of the page.
    pub fn peers(&self) -> &[Address] {
        &self.peers
    }

    /// Takes in what was `read` of a place, and says whether the list is another one. What can't be used is told of
    /// once, and the list from before stays. When the operator has `asked` for it, there is an answer.
    pub fn take_in(
        &mut self,
        place: Place,
        read: Result<Vec<u8>, String>,
        asked: bool,
    ) -> (bool, Vec<Remark>) {
        let mut before = self.named.clone();
        let source = match place {
            Place::File => &mut self.file,
            Place::Url => {
                let file = self.file.as_ref().and_then(|file| file.peers.as_ref());
                before.extend(file.into_iter().flatten().cloned());
                &mut self.url
            }
        };
        let Some(source) = source else {
            return (false, Vec::new());
        };
        let shown = source.shown.clone();
        match read.and_then(|bytes| source.judge(bytes, &before)) {
            Err(mistake) => {
                let known = source.mistake.as_ref() == Some(&mistake);
                let told = !known || asked;
                let meanwhile = match source.peers {
                    Some(_) => "the list from before stays in use",
                    None => "until it can be read there are no peers from there",
                };
                let line = format!("{mistake}; {meanwhile}");
                source.mistake = Some(mistake);
                (
                    false,
                    told.then_some(Remark::Warning(line)).into_iter().collect(),
                )
            }
            Ok(peers) => {
                let recovered = source.mistake.take().is_some();
                source.peers = Some(peers);
                let changed = self.merge();
                let count = match (self.peers.len(), self.left_out) {
                    (count, 0) => format!("{count} peers"),
                    (count, more) => format!("{count} peers, and {more} more than a list can have"),
                };
                let line = match (changed, recovered || asked) {
                    (true, _) => Some(format!("took in '{shown}': {count}")),
                    (false, true) => Some(format!("nothing new in '{shown}': {count}")),
                    (false, false) => None,
                };
                (changed, line.map(Remark::Info).into_iter().collect())
            }
        }
    }

    /// Puts together what the places have said. Says whether it is another list.
    fn merge(&mut self) -> bool {
        let sources = [&self.file, &self.url].into_iter().flatten();
        let more = sources.filter_map(|source| source.peers.as_ref()).flatten();
        let mut peers: Vec<Address> = Vec::new();
        for peer in self.named.iter().chain(more) {
            if !peers.contains(peer) {
                peers.push(peer.clone());
            }
        }
        // A file that has grown: what the page names is the least preferred.
        self.left_out = peers.len().saturating_sub(PEERS_MAX);
        peers.truncate(PEERS_MAX);
        let changed = peers != self.peers;
        self.peers = peers;
        changed
    }
}

impl Source {
    fn new(name: &str, shown: String) -> Self {
        Self {
            name: name.to_owned(),
            shown,
            peers: None,
            mistake: None,
        }
    }

    fn of(file: &NamedFile) -> Self {
        Self::new(&file.name, file.path.display().to_string())
    }

    /// The peers in this text, if it is a list, and one that has room behind these.
    fn judge(&self, bytes: Vec<u8>, before: &[Address]) -> Result<Vec<Address>, String> {
        let Self { name, shown, .. } = self;
        let Lines { peers, mistakes } = lines(&bytes, name, shown, before);
        match mistakes.into_iter().next() {
            Some(mistake) => Err(mistake),
            None => Ok(peers.into_iter().map(|(_, peer)| peer).collect()),
        }
    }
}

/// The content of a file with peers, or somewhat more than a list may have.
///
/// # Errors
/// It can't be read; one line that says what to do.
pub fn read(file: &NamedFile) -> Result<Vec<u8>, String> {
    file.read(MAX_LIST as u64 + 1)
}

/// What stands in a list that comes behind other peers, with all mistakes up to some.
pub fn of_file(file: &NamedFile, before: &[Address]) -> Lines {
    match read(file) {
        Ok(bytes) => lines(&bytes, &file.name, &file.path.display().to_string(), before),
        Err(mistake) => Lines {
            peers: Vec::new(),
            mistakes: vec![mistake],
        },
    }
}

fn lines(bytes: &[u8], name: &str, shown: &str, before: &[Address]) -> Lines {
    let mut found = Lines::default();
    if bytes.len() > MAX_LIST {
        found.mistakes.push(format!(
            "{name}: '{shown}' is larger than 64KiB: give a list with one peer in a line"
        ));
        return found;
    }
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let text = String::from_utf8_lossy(line);
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        // What somebody else has written is not shown if it is no address by far.
        let peer = match text.len() > MAX_LINE || text.contains(char::is_control) {
            true => Err("not an address: give wss://HOST[:PORT]".to_owned()),
            false => Address::parse(text),
        };
        match peer {
            Err(mistake) if found.mistakes.len() == MISTAKES_MAX => {
                drop(mistake);
                found
                    .mistakes
                    .push(format!("{name}: '{shown}', line {number}: and so on"));
                break;
            }
            Err(mistake) => found
                .mistakes
                .push(format!("{name}: '{shown}', line {number}: {mistake}")),
            Ok(peer) if found.peers.iter().any(|(_, known)| *known == peer) => {}
            Ok(peer) => found.peers.push((number, peer)),
        }
    }
    let new = found.peers.iter().filter(|(_, it)| !before.contains(it));
    let count = before.len() + new.count();
    if count > PEERS_MAX {
        found.mistakes.push(format!(
            "{name}: with '{shown}' {count} peers are too many: give at most {PEERS_MAX}"
        ));
    }
    found
}

/// Bytes of a list of peers: for [`PEERS_MAX`] of the longest addresses, and comments.
pub const MAX_LIST: usize = 1 << 16;

/// The longest line that is shown: no host's name is longer than 253 bytes.
const MAX_LINE: usize = 512;

/// Mistakes that are told one by one.
const MISTAKES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;
    use std::time::Duration;

    fn addresses(urls: &[&str]) -> Vec<Address> {
        let parsed = urls.iter().map(|url| Address::parse(url).unwrap());
        parsed.collect()
    }

    fn peering(file: Option<NamedFile>, url: bool) -> Peering {
        let address = Address::parse_https("https://lists.example/peers?token=hush").unwrap();
        Peering {
            peers: addresses(&["wss://a"]),
            file,
            url: url.then(|| NamedUrl::new("--peers-url", address)),
            url_interval: Duration::from_secs(1),
            key: crate::config::KeySource::None,
            open: false,
            ca: None,
            fingerprints: Vec::new(),
            bridges: Vec::new(),
        }
    }

    #[test]
    fn a_list_that_changes() {
        let dir = TestDir::new();
        let write = |text: &str| dir.file("peers", text);
        let path = write("# ours\n\nwss://b # the second\r\nwss://a\n  wss://[::1]:1  \n");
        let file = NamedFile::new("--peers-file", path.clone());
        let mut list = PeersList::load(&peering(Some(file.clone()), false)).unwrap();
        let mut check = |asked| {
            let (changed, remarks) = list.take_in(Place::File, read(&file), asked);
            (changed, remarks, list.peers().to_vec())
        };
        let first = addresses(&["wss://a", "wss://b", "wss://[::1]:1"]);
        assert_eq!(check(false), (false, Vec::new(), first.clone()));
        let (changed, remarks, _) = check(true);
        assert!(!changed && matches!(&remarks[..], [Remark::Info(it)] if it.contains("nothing")));
        for (text, what) in [
            ("wss://b\nws://c\n", "line 2: 'ws://c'"),
            ("\u{0}", "line 1: "),
            (&format!("\n{}", "x".repeat(600)), "line 2: not an address"),
            (&"#\n".repeat((1 << 15) + 1), "64KiB"),
            (
                &(0..64).map(|n| format!("wss://p{n}\n")).collect::<String>(),
                "65 peers",
            ),
        ] {
            write(text);
            let (changed, remarks, _) = check(false);
            let told = matches!(&remarks[..], [Remark::Warning(line)]
                if line.starts_with("--peers-file: ") && line.contains(what) && !line.contains('\n'));
            assert!(!changed && told, "{what}: {remarks:?}");
            let same = (false, Vec::new(), first.clone());
            assert_eq!(check(false), same, "told once");
        }
        // As large as may be.
        write(&format!("{}wss://b\n", "#\n".repeat((1 << 15) - 4)));
        assert_eq!(check(false).2, addresses(&["wss://a", "wss://b"]));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(&check(false).1[..], [Remark::Warning(_)]));
        write("wss://c");
        let (changed, remarks, peers) = check(false);
        assert!(changed && matches!(&remarks[..], [Remark::Info(it)] if it.contains("2 peers")));
        assert_eq!(peers, addresses(&["wss://a", "wss://c"]));
    }

    #[test]
    fn a_page_comes_last_and_may_be_away() {
        let dir = TestDir::new();
        let file = NamedFile::new("--peers-file", dir.file("peers", "wss://b\nwss://c"));
        let mut list = PeersList::load(&peering(Some(file.clone()), true)).unwrap();
        let first = addresses(&["wss://a", "wss://b", "wss://c"]);
        assert_eq!(list.peers(), first);
        let away = || Err("--peers-url: away".to_owned());
        let (changed, remarks) = list.take_in(Place::Url, away(), false);
        let line = "--peers-url: away; until it can be read there are no peers from there";
        assert_eq!(
            (changed, remarks),
            (false, vec![Remark::Warning(line.to_owned())])
        );
        assert_eq!(
            list.take_in(Place::Url, away(), false),
            (false, vec![]),
            "told once"
        );
        let page = |text: &str| Ok(text.as_bytes().to_vec());
        let (changed, remarks) =
            list.take_in(Place::Url, page("wss://d\nwss://b\n# e\nwss://f"), false);
        let line = "took in 'https://lists.example:443/peers?…': 5 peers";
        assert_eq!(
            (changed, remarks),
            (true, vec![Remark::Info(line.to_owned())])
        );
        let all = addresses(&["wss://a", "wss://b", "wss://c", "wss://d", "wss://f"]);
        assert_eq!(list.peers(), all);
        // What is no list leaves all as it is.
        for (text, what) in [
            ("<html>", "line 1: '<html>'"),
            ("wss://d\nwss//e", "line 2: "),
        ] {
            let (changed, remarks) = list.take_in(Place::Url, page(text), false);
            let told = matches!(&remarks[..], [Remark::Warning(line)]
                if line.contains(what) && line.ends_with("the list from before stays in use"));
            assert!(!changed && told, "{remarks:?}");
            assert_eq!(list.peers(), all);
        }
        // The file grows: its peers come before those of the page, which has room for fewer.
        let many: String = (0..62).map(|n| format!("wss://p{n}\n")).collect();
        dir.file("peers", many);
        let (changed, remarks) = list.take_in(Place::File, read(&file), false);
        let told = matches!(&remarks[..], [Remark::Info(line)]
            if line.ends_with("64 peers, and 2 more than a list can have"));
        assert!(changed && told, "{remarks:?}");
        let (last, rest) = list.peers().split_last().unwrap();
        assert_eq!((last, rest.len()), (&addresses(&["wss://d"])[0], 63));
        assert_eq!(rest[62], addresses(&["wss://p61"])[0]);
    }

    #[test]
    fn a_start_needs_a_good_file() {
        let dir = TestDir::new();
        let load =
            |path| PeersList::load(&peering(Some(NamedFile::new("--peers-file", path)), true));
        let error = load(dir.file("peers", "peer")).unwrap_err();
        assert!(error.contains("line 1: 'peer': not a WebSocket address"));
        assert!(
            load(dir.path().join("missing"))
                .unwrap_err()
                .contains("can't read")
        );
        let none = load(dir.file("none", "")).unwrap();
        assert_eq!(none.peers(), addresses(&["wss://a"]));
    }

    #[test]
    fn all_mistakes_of_a_file_are_found() {
        let dir = TestDir::new();
        let file = |text: String| NamedFile::new("--peers-file", dir.file("peers", text));
        let found = of_file(&file("wss://b\nx\n\nwss://c\ny\n".to_owned()), &[]);
        let numbers: Vec<usize> = found.peers.iter().map(|(number, _)| *number).collect();
        assert_eq!((numbers, found.mistakes.len()), (vec![1, 4], 2));
        assert!(found.mistakes[1].contains("line 5: 'y'"));
        let found = of_file(&file("x\n".repeat(100)), &[]);
        assert_eq!(found.mistakes.len(), 17);
        assert!(found.mistakes[16].ends_with("line 17: and so on"));
    }
}
