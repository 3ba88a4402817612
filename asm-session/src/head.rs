//! What the session layer knows about a session, beside what the application put into it.

use std::time::Duration;

use asm_core::{Epoch, Error, ErrorKind, Proofs, Result, Stamp, Subject, Timestamp};

use crate::{
    ClientKind, Profile,
    id::SecretHash,
    wire::{Reader, corrupt, put_option, put_u64},
};

/// What the session layer knows about a session.
///
/// It is changed by [`HeadChange`](crate::rotation::HeadChange)s only, so that in a merge the
/// changes of one request are applied to the head that another one wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) created: Timestamp,
    pub(crate) authenticated: Option<Timestamp>,
    /// When the newest secret was made.
    pub(crate) rotated: Timestamp,
    pub(crate) epoch: Epoch,
    pub(crate) current: SecretHash,
    pub(crate) pending: Option<Pending>,
    /// The oldest first.
    pub(crate) former: Vec<Former>,
    /// Whether the client came back at least once.
    pub(crate) returned: bool,
    /// What this session has instead of the usual idle time.
    pub(crate) lifetime: Option<Duration>,
    pub(crate) membership: Option<Membership>,
    /// The oldest first.
    pub(crate) profiles: Vec<Profile>,
    pub(crate) kind: ClientKind,
}

/// A secret that was handed out and not presented yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) hash: SecretHash,
    /// How long the current secret still opens the session once this one was presented.
    pub(crate) grace: Duration,
}

/// A secret that is not the session's any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Former {
    pub(crate) hash: SecretHash,
    pub(crate) fate: Fate,
}

/// What a former secret is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was replaced at `since` and opens the session before `until`.
    Replaced { since: Timestamp, until: Timestamp },
    /// It was handed out, then another one was, and none of them was presented yet: its holder may
    /// be the client, so it is as good as a pending one.
    HandedOut { grace: Duration },
}

impl Former {
    pub(crate) fn lives(&self, now: Timestamp) -> bool {
        match self.fate {
            Fate::Replaced { until, .. } => now < until,
            Fate::HandedOut { .. } => true,
        }
    }
}

/// Whose session it is, and under which generation of that subject's sessions it was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) subject: Subject,
    pub(crate) generation: u64,
}

impl Head {
    /// The most bytes that a head is stored in.
    pub(crate) const MAX: usize = 4096;

    /// How many former secrets are remembered.
    pub(crate) const FORMER: usize = 8;

    /// The head of a session that begins now.
    pub(crate) const fn new(
        current: SecretHash,
        epoch: Epoch,
        kind: ClientKind,
        now: Timestamp,
    ) -> Self {
        Self {
            created: now,
            authenticated: None,
            rotated: now,
            epoch,
            current,
            pending: None,
            former: Vec::new(),
            returned: false,
            lifetime: None,
            membership: None,
            profiles: Vec::new(),
            kind,
        }
    }

    /// It is stored for the first time now, and not older than that.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        (self.created, self.rotated) = (now, now);
        self.authenticated = self.authenticated.map(|_| now);
    }

    /// What a driver is shown of it.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            epoch: self.epoch,
            proofs: Proofs {
                current: self.current.proof(),
                pending: self.pending.map(|pending| pending.hash.proof()),
            },
        }
    }

    /// From when its absolute lifetime counts.
    pub(crate) fn begun(&self) -> Timestamp {
        self.authenticated.unwrap_or(self.created)
    }

    /// Forgets as much as it must to stay within its limits: of the former secrets the oldest dead
    /// one, then the oldest; then of the profiles the oldest.
    pub(crate) fn fit(&mut self, now: Timestamp) {
        while self.former.len() > Self::FORMER {
            let dead = self.former.iter().position(|former| !former.lives(now));
            self.former.remove(dead.unwrap_or(0));
        }
        while self.profiles.len() > Profile::KEPT || self.encoded_len() > Self::MAX {
            self.profiles.remove(0);
        }
    }

    /// Its stored form, of at most [`Head::MAX`] bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len());
        out.push(VERSION);
        put_u64(&mut out, self.created.as_micros());
        put_option(&mut out, self.authenticated, |out, at| {
            put_u64(out, at.as_micros());
        });
        put_u64(&mut out, self.rotated.as_micros());
        put_u64(&mut out, self.epoch.get());
        out.extend_from_slice(self.current.as_bytes());
        put_option(&mut out, self.pending, |out, pending| {
            out.extend_from_slice(pending.hash.as_bytes());
            put_duration(out, pending.grace);
        });
        out.push(self.former.len() as u8);
        for former in &self.former {
            former.encode(&mut out);
        }
        out.push(u8::from(self.returned));
        put_option(&mut out, self.lifetime, put_duration);
        put_option(&mut out, self.membership, |out, membership| {
            out.extend_from_slice(membership.subject.as_bytes());
            put_u64(out, membership.generation);
        });
        out.push(kind_code(self.kind));
        out.push(self.profiles.len() as u8);
        for profile in &self.profiles {
            profile.encode(&mut out);
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// `Corrupt` for anything else, `Unreadable` for a newer version's head.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > Self::MAX {
            return Err(corrupt("the head is too long"));
        }
        let mut from = Reader::new(bytes);
        if from.u8()? != VERSION {
            return Err(Error::new(
                ErrorKind::Unreadable,
                "the head is of a version that is not known here",
            ));
        }
        let head = Self {
            created: timestamp(&mut from)?,
            authenticated: from.option(timestamp)?,
            rotated: timestamp(&mut from)?,
            epoch: Epoch::new(from.u64()?),
            current: secret_hash(&mut from)?,
            pending: from.option(|from| {
                Ok(Pending {
                    hash: secret_hash(from)?,
                    grace: duration(from)?,
                })
            })?,
            former: list(&mut from, Self::FORMER, Former::decode)?,
            returned: from.flag()?,
            lifetime: from.option(duration)?,
            membership: from.option(|from| {
                Ok(Membership {
                    subject: Subject::from_bytes(from.array()?),
                    generation: from.u64()?,
                })
            })?,
            kind: kind(from.u8()?)?,
            profiles: list(&mut from, Profile::KEPT, Profile::decode)?,
        };
        from.end()?;
        Ok(head)
    }

    fn encoded_len(&self) -> usize {
        const HASH: usize = SecretHash::LEN;
        let numbers = 1 + 8 + 8 + 8 + HASH + 1 + 1 + 1 + 1;
        let options = [
            self.authenticated.map_or(1, |_| 1 + 8),
            self.pending.map_or(1, |_| 1 + HASH + 8),
            self.lifetime.map_or(1, |_| 1 + 8),
            self.membership.map_or(1, |_| 1 + Subject::LEN + 8),
        ];
        let former: usize = self.former.iter().map(Former::encoded_len).sum();
        let profiles: usize = self.profiles.iter().map(Profile::encoded_len).sum();
        numbers + options.iter().sum::<usize>() + former + profiles
    }
}

/// Of the head's own layout; the envelope has another.
const VERSION: u8 = 1;

impl Former {
    const fn encoded_len(&self) -> usize {
        SecretHash::LEN
            + match self.fate {
                Fate::Replaced { .. } => 1 + 16,
                Fate::HandedOut { .. } => 1 + 8,
            }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.hash.as_bytes());
        match self.fate {
            Fate::Replaced { since, until } => {
                out.push(0);
                put_u64(out, since.as_micros());
                put_u64(out, until.as_micros());
            }
            Fate::HandedOut { grace } => {
                out.push(1);
                put_duration(out, grace);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self> {
        let hash = secret_hash(from)?;
        let fate = if from.flag()? {
            Fate::HandedOut {
                grace: duration(from)?,
            }
        } else {
            Fate::Replaced {
                since: timestamp(from)?,
                until: timestamp(from)?,
            }
        };
        Ok(Self { hash, fate })
    }
}

fn kind_code(kind: ClientKind) -> u8 {
    match kind {
        ClientKind::Unknown => 0,
        ClientKind::Human => 1,
        ClientKind::Bot => 2,
    }
}

fn kind(code: u8) -> Result<ClientKind> {
    match code {
        0 => Ok(ClientKind::Unknown),
        1 => Ok(ClientKind::Human),
        2 => Ok(ClientKind::Bot),
        _ => Err(corrupt("the client is of no known kind")),
    }
}

fn timestamp(from: &mut Reader<'_>) -> Result<Timestamp> {
    from.u64().map(Timestamp::from_micros)
}

fn secret_hash(from: &mut Reader<'_>) -> Result<SecretHash> {
    from.array().map(SecretHash::from_bytes)
}

fn duration(from: &mut Reader<'_>) -> Result<Duration> {
    from.u64().map(Duration::from_micros)
}

/// Whole microseconds; what is longer than 584,000 years is that long.
fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    put_u64(out, u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
}

fn list<T>(
    from: &mut Reader<'_>,
    most: usize,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = usize::from(from.u8()?);
    if count > most {
        return Err(corrupt("a list of the head is too long"));
    }
    (0..count).map(|_| item(from)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::Client;

    /// Any head that can be stored.
    pub(crate) fn any_head() -> impl Strategy<Value = Head> {
        let identity = (
            any_hash(),
            option::of((any_hash(), any_duration())),
            vec(any_former(), 0..=8),
        );
        let times = (any_time(), option::of(any_time()), any_time(), any::<u64>());
        let rest = (
            any::<bool>(),
            option::of(any_duration()),
            option::of((any::<[u8; 32]>(), any::<u64>())),
            vec(any_profile(), 0..=Profile::KEPT),
            prop_oneof![
                Just(ClientKind::Unknown),
                Just(ClientKind::Human),
                Just(ClientKind::Bot)
            ],
        );
        (identity, times, rest).prop_map(|(identity, times, rest)| {
            let (current, pending, former) = identity;
            let (created, authenticated, rotated, epoch) = times;
            let (returned, lifetime, membership, profiles, kind) = rest;
            let mut head = Head {
                created,
                authenticated,
                rotated,
                epoch: Epoch::new(epoch),
                current,
                pending: pending.map(|(hash, grace)| Pending { hash, grace }),
                former,
                returned,
                lifetime,
                membership: membership.map(|(subject, generation)| Membership {
                    subject: Subject::from_bytes(subject),
                    generation,
                }),
                profiles,
                kind,
            };
            head.fit(created);
            head
        })
    }

    fn any_hash() -> impl Strategy<Value = SecretHash> {
        any::<[u8; 32]>().prop_map(SecretHash::from_bytes)
    }

    fn any_time() -> impl Strategy<Value = Timestamp> {
        any::<u64>().prop_map(Timestamp::from_micros)
    }

    fn any_duration() -> impl Strategy<Value = Duration> {
        any::<u64>().prop_map(Duration::from_micros)
    }

    fn any_former() -> impl Strategy<Value = Former> {
        let replaced = (any_time(), any_time());
        let fate = prop_oneof![
            replaced.prop_map(|(since, until)| Fate::Replaced { since, until }),
            any_duration().prop_map(|grace| Fate::HandedOut { grace }),
        ];
        (any_hash(), fate).prop_map(|(hash, fate)| Former { hash, fate })
    }

    fn any_profile() -> impl Strategy<Value = Profile> {
        let text = || option::of("[ -~é]{0,400}");
        (any::<Option<std::net::IpAddr>>(), text(), text()).prop_map(|(ip, user_agent, extra)| {
            Profile::of(&Client {
                ip,
                user_agent,
                extra,
                ..Client::default()
            })
        })
    }

    fn full_head() -> Head {
        let hash = |byte| SecretHash::from_bytes([byte; 32]);
        let now = Timestamp::from_micros(1);
        let mut head = Head::new(hash(1), Epoch::new(2), ClientKind::Human, now);
        let grace = Duration::from_secs(3);
        head.pending = Some(Pending {
            hash: hash(4),
            grace,
        });
        head.former = vec![
            Former {
                hash: hash(5),
                fate: Fate::HandedOut { grace },
            },
            Former {
                hash: hash(6),
                fate: Fate::Replaced {
                    since: now,
                    until: now + grace,
                },
            },
        ];
        head.authenticated = Some(now);
        head.lifetime = Some(grace);
        head.membership = Some(Membership {
            subject: Subject::from_bytes([7; 32]),
            generation: 8,
        });
        head.profiles = vec![Profile::of(&Client {
            ip: Some([192, 0, 2, 1].into()),
            user_agent: Some("agent".into()),
            extra: Some("extra".into()),
            ..Client::default()
        })];
        head
    }

    #[test]
    fn a_driver_is_shown_the_epoch_and_the_proofs() {
        let head = full_head();
        let stamp = head.stamp();
        assert_eq!(stamp.epoch, Epoch::new(2));
        assert_eq!(stamp.proofs.current, head.current.proof());
        assert!(
            stamp
                .proofs
                .accept(&SecretHash::from_bytes([4; 32]).proof())
        );
        assert!(
            !stamp
                .proofs
                .accept(&SecretHash::from_bytes([5; 32]).proof())
        );
    }

    #[test]
    fn a_head_that_is_cut_anywhere_is_corrupt() {
        let bytes = full_head().encode();
        assert_eq!(Head::decode(&bytes).unwrap(), full_head());
        for end in 0..bytes.len() {
            let error = Head::decode(&bytes[..end]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "cut to {end}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(
            Head::decode(&longer).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
        let longest = vec![1; Head::MAX + 1];
        assert_eq!(
            Head::decode(&longest).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }

    #[test]
    fn a_head_has_one_stored_form() {
        let bytes = full_head().encode();
        let mut read = 0;
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(head) = Head::decode(&bytes) {
                assert_eq!(head.encode(), bytes, "bit {bit}");
                assert_ne!(head, full_head(), "bit {bit}");
                read += 1;
            }
        }
        // Most bits are of hashes and times, which can be anything.
        assert!(read > 0);
    }

    /// A head with profiles whose texts have together so many bytes, each another one.
    fn visited_by(texts: &[usize]) -> Head {
        let profile = |(at, len): (usize, &usize)| {
            let text = format!("{at}{}", "x".repeat(len - 1));
            let (user_agent, extra) = text.split_at(text.len().min(Profile::LONGEST));
            Profile::of(&Client {
                user_agent: Some(user_agent.to_owned()),
                extra: Some(extra.to_owned()),
                ..Client::default()
            })
        };
        Head {
            profiles: texts.iter().enumerate().map(profile).collect(),
            ..full_head()
        }
    }

    /// The profiles that are left, of how many.
    fn fitted(head: &mut Head) -> (usize, usize) {
        let all = head.profiles.clone();
        head.fit(head.created);
        assert!(all.ends_with(&head.profiles));
        (head.profiles.len(), all.len())
    }

    #[test]
    fn of_too_many_profiles_the_oldest_are_forgotten() {
        assert_eq!(fitted(&mut visited_by(&[10; 8])), (8, 8));
        assert_eq!(fitted(&mut visited_by(&[10; 9])), (8, 9));
    }

    #[test]
    fn profiles_fill_a_head_up_to_its_limit_and_no_further() {
        let longest = [2 * Profile::LONGEST; 7];
        let rest = Head::MAX - visited_by(&longest).encoded_len();
        let with = |text| visited_by(&[&longest[..], &[text]].concat());
        // Beside its texts a profile needs 5 bytes.
        let mut full = with(rest - 5);
        assert_eq!(fitted(&mut full), (8, 8));
        assert_eq!(full.encode().len(), Head::MAX);
        assert_eq!(Head::decode(&full.encode()).unwrap(), full);
        assert_eq!(fitted(&mut with(rest - 4)), (7, 8));
    }

    #[test]
    fn a_newer_head_is_unreadable() {
        let mut bytes = full_head().encode();
        bytes[0] += 1;
        assert_eq!(
            Head::decode(&bytes).unwrap_err().kind(),
            ErrorKind::Unreadable
        );
    }

    proptest! {
        #[test]
        fn any_head_is_stored_within_its_limit_and_reads_back(head in any_head()) {
            let bytes = head.encode();
            prop_assert!(bytes.len() <= Head::MAX);
            prop_assert_eq!(bytes.len(), head.encoded_len());
            prop_assert_eq!(Head::decode(&bytes).unwrap(), head);
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in vec(any::<u8>(), 0..600)) {
            if let Some(version) = bytes.first_mut() {
                *version = VERSION;
            }
            if let Ok(head) = Head::decode(&bytes) {
                prop_assert_eq!(head.encode(), bytes);
            }
        }
    }
}
