//! A list of peers in a file, which may change while the server runs.
//!
//! It is small, so that it is read as a whole each time somebody looks: whatever replaced it, and on whichever
//! machine, is seen.

use crate::address::Address;
use crate::certificates::Remark;
use crate::config::PEERS_MAX;
use crate::file::NamedFile;

/// The list, as it was last good.
#[derive(Debug)]
pub struct PeersFile {
    file: NamedFile,
    /// What the file's are put behind.
    before: Vec<Address>,
    peers: Vec<Address>,
    /// What is wrong with the file now, as it was told.
    mistake: Option<String>,
}

impl PeersFile {
    /// The peers of this file, behind those that are named elsewhere.
    ///
    /// # Errors
    /// One line that says what to do: the file can't be read, or a line of it is no peer.
    pub fn load(file: NamedFile, before: Vec<Address>) -> Result<Self, String> {
        let mut list = Self {
            file,
            before,
            peers: Vec::new(),
            mistake: None,
        };
        list.peers = list.read()?;
        Ok(list)
    }

    /// All peers, in order of preference.
    pub fn peers(&self) -> &[Address] {
        &self.peers
    }

    /// Takes in what has changed since the last call, and says whether the list is another one. A file that can't be
    /// used is told of once, and the list before stays. When the operator has `asked` for it, there is an answer.
    pub fn check(&mut self, asked: bool) -> (bool, Vec<Remark>) {
        let shown = self.file.path.display().to_string();
        match self.read() {
            Err(mistake) => {
                let known = self.mistake.as_ref() == Some(&mistake);
                self.mistake = Some(mistake.clone());
                let told = !known || asked;
                let line = format!("{mistake}; the list from before stays in use");
                (
                    false,
                    told.then_some(Remark::Warning(line)).into_iter().collect(),
                )
            }
            Ok(peers) => {
                let recovered = self.mistake.take().is_some();
                let changed = peers != self.peers;
                self.peers = peers;
                let count = self.peers.len();
                let line = match (changed, recovered || asked) {
                    (true, _) => Some(format!("took in '{shown}': {count} peers")),
                    (false, true) => Some(format!("nothing new in '{shown}': {count} peers")),
                    (false, false) => None,
                };
                (changed, line.map(Remark::Info).into_iter().collect())
            }
        }
    }

    fn read(&self) -> Result<Vec<Address>, String> {
        let (name, shown) = (&self.file.name, self.file.path.display());
        let bytes = self.file.read(MAX_FILE + 1)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(format!(
                "{name}: '{shown}' is larger than 64KiB: give a file with one peer in a line"
            ));
        }
        let mut peers = self.before.clone();
        for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
            let text = String::from_utf8_lossy(line);
            let text = text.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            let peer = Address::parse(text)
                .map_err(|mistake| format!("{name}: '{shown}', line {number}: {mistake}"))?;
            if !peers.contains(&peer) {
                peers.push(peer);
            }
        }
        if peers.len() > PEERS_MAX {
            let count = peers.len();
            return Err(format!(
                "{name}: with '{shown}' {count} peers are too many: give at most {PEERS_MAX}"
            ));
        }
        Ok(peers)
    }
}

/// Bytes of a list of peers: for [`PEERS_MAX`] of the longest addresses, and comments.
const MAX_FILE: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    fn addresses(urls: &[&str]) -> Vec<Address> {
        let parsed = urls.iter().map(|url| Address::parse(url).unwrap());
        parsed.collect()
    }

    #[test]
    fn a_list_that_changes() {
        let dir = TestDir::new();
        let write = |text: &str| dir.file("peers", text);
        let path = write("# ours\n\nwss://b # the second\r\nwss://a\n  wss://[::1]:1  \n");
        let file = NamedFile::new("--peers-file", path.clone());
        let mut list = PeersFile::load(file, addresses(&["wss://a"])).unwrap();
        let first = addresses(&["wss://a", "wss://b", "wss://[::1]:1"]);
        assert_eq!(list.peers(), first);
        assert_eq!(list.check(false), (false, Vec::new()));
        let (changed, remarks) = list.check(true);
        assert!(!changed && matches!(&remarks[..], [Remark::Info(it)] if it.contains("nothing")));
        for (text, what) in [
            ("wss://b\nws://c\n", "line 2: 'ws://c'"),
            ("\u{0}", "line 1: "),
            (&"#\n".repeat(1 << 15), "no"),
            (&"#\n".repeat((1 << 15) + 1), "64KiB"),
            (
                &(0..64).map(|n| format!("wss://p{n}\n")).collect::<String>(),
                "65 peers",
            ),
        ] {
            write(text);
            if what == "no" {
                continue;
            }
            let (changed, remarks) = list.check(false);
            let told = matches!(&remarks[..], [Remark::Warning(line)]
                if line.starts_with("--peers-file: ") && line.contains(what) && !line.contains('\n'));
            assert!(!changed && told, "{what}: {remarks:?}");
            assert_eq!(list.check(false), (false, Vec::new()), "told once");
            assert_eq!(list.peers(), first);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(&list.check(false).1[..], [Remark::Warning(_)]));
        write("wss://c");
        let (changed, remarks) = list.check(false);
        assert!(changed && matches!(&remarks[..], [Remark::Info(it)] if it.contains("2 peers")));
        assert_eq!(list.peers(), addresses(&["wss://a", "wss://c"]));
    }

    #[test]
    fn a_start_needs_a_good_one() {
        let dir = TestDir::new();
        let load = |path| PeersFile::load(NamedFile::new("--peers-file", path), Vec::new());
        let error = load(dir.file("peers", "peer")).unwrap_err();
        assert!(error.contains("line 1: 'peer': not a WebSocket address"));
        assert!(
            load(dir.path().join("missing"))
                .unwrap_err()
                .contains("can't read")
        );
        assert!(load(dir.file("none", "")).unwrap().peers().is_empty());
    }
}
