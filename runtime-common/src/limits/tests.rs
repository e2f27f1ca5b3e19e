//! Who is let in, who gives way, and that no count ever leaks: against a model that just looks at everything.

use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::from_secs(1);

fn v4(last: u8) -> Source {
    Source::of([192, 0, 2, last].into())
}

fn loopback() -> Source {
    Source::of(Ipv4Addr::LOCALHOST.into())
}

fn limits(filelimit: u32, max_sessions: u32, per_ip_limit: u32) -> Limits {
    Limits {
        filelimit,
        max_sessions,
        per_ip_limit: NonZeroU32::new(per_ip_limit),
        rate_limit: None,
    }
}

fn gatekeeper(limits: Limits) -> Gatekeeper {
    Gatekeeper::new(limits, RandomState::new())
}

const FINE: Result<Admitted, Refused> = Ok(Admitted { evict: None });

fn evicts(connection: u64) -> Result<Admitted, Refused> {
    Ok(Admitted {
        evict: Some(connection),
    })
}

#[test]
fn sources() {
    let of = |text: &str| Source::of(text.parse().unwrap());
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    for (text, shown, is_loopback) in [
        ("192.0.2.1", "192.0.2.1", false),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64", false),
        ("127.0.0.1", "127.0.0.1", true),
        ("127.9.9.9", "127.9.9.9", true),
        ("::ffff:127.0.0.1", "127.0.0.1", true),
        ("::1", "::1", true),
        ("::2", "::/64", false),
    ] {
        assert_eq!(
            (of(text).to_string().as_str(), of(text).is_loopback()),
            (shown, is_loopback)
        );
        assert_eq!(Source::of_key(of(text).key()), of(text), "{text}");
    }
}

#[test]
fn concurrent_connections_of_a_source() {
    let mut gate = gatekeeper(limits(100, 100, 2));
    assert_eq!(gate.admit(1, v4(1), NOW), FINE);
    assert_eq!(gate.admit(2, v4(1), NOW), FINE);
    assert_eq!(gate.admit(3, v4(1), NOW), Err(Refused::PerIp));
    assert_eq!(gate.admit(3, v4(2), NOW), FINE);
    // A session counts like a pending connection.
    assert_eq!(gate.became_session(1), Ok(()));
    assert_eq!(gate.admit(4, v4(1), NOW), Err(Refused::PerIp));
    gate.closed(1);
    assert_eq!(gate.admit(4, v4(1), NOW), FINE);
    for connection in 10..30 {
        assert_eq!(gate.admit(connection, loopback(), NOW), FINE);
    }
}

#[test]
fn rate_of_a_source() {
    let mut gate = gatekeeper(Limits {
        rate_limit: NonZeroU32::new(2),
        ..limits(100, 100, 0)
    });
    for source in [v4(1), loopback()] {
        let base = if source.is_loopback() { 10 } else { 0 };
        assert_eq!(gate.admit(base + 1, source, NOW), FINE);
        assert_eq!(gate.admit(base + 2, source, NOW), FINE);
        assert_eq!(gate.admit(base + 3, source, NOW), Err(Refused::Rate));
        gate.closed(base + 1);
        assert_eq!(gate.admit(base + 3, source, NOW), Err(Refused::Rate));
        assert_eq!(
            gate.admit(base + 3, source, NOW + Duration::from_secs(30)),
            FINE
        );
    }
    assert_eq!(gate.pending(), 4);
}

#[test]
fn sessions_are_bounded() {
    let mut gate = gatekeeper(limits(100, 1, 0));
    assert_eq!(
        (gate.admit(1, v4(1), NOW), gate.admit(2, v4(2), NOW)),
        (FINE, FINE)
    );
    assert_eq!(gate.became_session(1), Ok(()));
    assert_eq!(gate.became_session(1), Err(Refused::NotPending));
    assert_eq!(gate.became_session(2), Err(Refused::Sessions));
    assert_eq!((gate.pending(), gate.sessions()), (1, 1));
    gate.closed(1);
    assert_eq!(gate.became_session(2), Ok(()));
    assert_eq!((gate.pending(), gate.sessions()), (0, 1));
}

#[test]
fn a_flood_displaces_only_itself() {
    let mut gate = gatekeeper(limits(4, 100, 0));
    assert_eq!(gate.admit(1, v4(1), NOW), FINE);
    for connection in 2..=4 {
        assert_eq!(gate.admit(connection, v4(9), NOW), FINE);
    }
    for connection in 5..50 {
        assert_eq!(gate.admit(connection, v4(9), NOW), evicts(connection - 3));
    }
    // Others take from the flood, down to an equal share.
    assert_eq!(gate.admit(50, v4(2), NOW), evicts(47));
    assert_eq!(gate.admit(51, v4(1), NOW), evicts(48));
    assert_eq!(gate.admit(52, v4(9), NOW), evicts(1));
    assert_eq!(gate.became_session(48), Err(Refused::NotPending));
    gate.closed(48);
    assert_eq!(gate.became_session(50), Ok(()));
    assert_eq!((gate.pending(), gate.sessions()), (3, 1));
}

#[test]
fn among_equals_the_oldest_gives_way() {
    let mut gate = gatekeeper(limits(3, 100, 0));
    for connection in 1..=3 {
        assert_eq!(gate.admit(connection, v4(10 - connection as u8), NOW), FINE);
    }
    assert_eq!(gate.admit(4, v4(100), NOW), evicts(1));
    assert_eq!(gate.admit(5, v4(50), NOW), evicts(2));
    let mut gate = gatekeeper(limits(0, 100, 0));
    assert_eq!(gate.admit(1, v4(1), NOW), FINE);
    assert_eq!(gate.admit(2, v4(1), NOW), evicts(1));
    assert_eq!(gate.admit(3, v4(2), NOW), evicts(2));
}

#[test]
fn a_flood_from_many_sources_is_cheap() {
    let most: u32 = 200_000;
    let mut gate = gatekeeper(limits(most, 100, 32));
    let source = |n: u32| Source::of(Ipv4Addr::from_bits(n).into());
    for n in 0..most {
        assert_eq!(gate.admit(n.into(), source(n), NOW), FINE);
    }
    // A scan of the table at each of these would take hours.
    for n in most..2 * most {
        assert_eq!(
            gate.admit(n.into(), source(n), NOW),
            evicts(u64::from(n - most))
        );
    }
}

/// What a test does; numbers name connections and sources.
#[derive(Clone, Debug)]
enum Step {
    Admit(u8),
    Upgrade(usize),
    Close(usize),
}

/// All connections in the order of their admission: number, source, session.
#[derive(Default)]
struct Model(Vec<(u64, Source, bool)>);

impl Model {
    fn count(&self, source: Source, session: bool) -> usize {
        self.0
            .iter()
            .filter(|it| it.1 == source && it.2 == session)
            .count()
    }

    fn pending(&self) -> usize {
        self.0.iter().filter(|it| !it.2).count()
    }

    fn admit(
        &mut self,
        connection: u64,
        source: Source,
        limits: &Limits,
    ) -> Result<Admitted, Refused> {
        let held = self.count(source, false) + self.count(source, true);
        if limits
            .per_ip_limit
            .is_some_and(|limit| !source.is_loopback() && held >= limit.get() as usize)
        {
            return Err(Refused::PerIp);
        }
        let evict = (self.pending() >= limits.filelimit as usize).then(|| {
            let with_newcomer = |it: Source| self.count(it, false) + usize::from(it == source);
            // Among sources with as many, the newcomer's goes last; among the others the oldest goes.
            let pending = self.0.iter().enumerate().filter(|(_, it)| !it.2);
            let place = |(index, it): (usize, &(u64, Source, bool))| {
                (
                    with_newcomer(it.1),
                    it.1 != source,
                    std::cmp::Reverse(index),
                )
            };
            pending.max_by_key(|it| place(*it)).unwrap().1.0
        });
        self.0.retain(|it| Some(it.0) != evict);
        self.0.push((connection, source, false));
        Ok(Admitted { evict })
    }

    fn upgrade(&mut self, connection: u64, limits: &Limits) -> Result<(), Refused> {
        let sessions = self.0.len() - self.pending();
        match self.0.iter_mut().find(|it| it.0 == connection && !it.2) {
            None => Err(Refused::NotPending),
            Some(_) if sessions >= limits.max_sessions as usize => Err(Refused::Sessions),
            Some(it) => {
                it.2 = true;
                Ok(())
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..6).prop_map(Step::Admit),
        2 => any::<usize>().prop_map(Step::Upgrade),
        2 => any::<usize>().prop_map(Step::Close),
    ]
}

proptest! {
    #[test]
    fn agrees_with_the_model_and_never_leaks(
        filelimit in 1u32..8,
        max_sessions in 0u32..6,
        per_ip_limit in 0u32..5,
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let limits = limits(filelimit, max_sessions, per_ip_limit);
        let mut gate = gatekeeper(limits);
        let mut model = Model::default();
        let mut minted = 0;
        for step in steps {
            // Any number that was ever minted: also one that was refused, evicted or closed.
            let named = |any: usize| any as u64 % (minted + 1);
            match step {
                Step::Admit(source) => {
                    let source = if source == 0 { loopback() } else { v4(source) };
                    minted += 1;
                    prop_assert_eq!(gate.admit(minted, source, NOW), model.admit(minted, source, &limits));
                }
                Step::Upgrade(any) => {
                    prop_assert_eq!(gate.became_session(named(any)), model.upgrade(named(any), &limits));
                }
                Step::Close(any) => {
                    gate.closed(named(any));
                    model.0.retain(|it| it.0 != named(any));
                }
            }
            prop_assert_eq!(gate.pending() as usize, model.pending());
            prop_assert_eq!(gate.sessions() as usize, model.0.len() - model.pending());
            prop_assert!(gate.pending() <= filelimit && gate.sessions() <= max_sessions);
            // The memory is that of what exists.
            let sources: BTreeSet<Source> = model.0.iter().map(|it| it.1).collect();
            let waiting: BTreeSet<Source> = model.0.iter().filter(|it| !it.2).map(|it| it.1).collect();
            prop_assert_eq!(gate.sources.len(), sources.len());
            prop_assert_eq!(gate.ranking.iter().map(|it| it.source).collect::<BTreeSet<_>>(), waiting);
        }
        for connection in 0..=minted {
            gate.closed(connection);
        }
        prop_assert_eq!((gate.pending(), gate.sessions()), (0, 0));
        prop_assert!(gate.connections.is_empty() && gate.sources.is_empty() && gate.ranking.is_empty());
    }
}
