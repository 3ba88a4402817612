//! Changes of a session's head that are not saved.

use std::time::Duration;

use crate::{SessionId, head::Membership, rotation::HeadChange};

/// Changes of the head that are not saved.
#[derive(Default)]
pub(crate) struct HeadJournal {
    changes: Vec<HeadChange>,
    /// How many of them, from the first, are in a save without an answer.
    sealed: usize,
    /// The id that the rotation among them makes.
    pub(crate) next: Option<SessionId>,
    /// Whether a renewal was asked for that a former id is not given.
    pub(crate) already_rotated: bool,
}

impl HeadJournal {
    pub(crate) fn of(changes: impl IntoIterator<Item = HeadChange>) -> Self {
        Self {
            changes: changes.into_iter().collect(),
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, change: HeadChange) {
        self.changes.push(change);
    }

    /// The session is to have this lifetime, over the one that is stored.
    pub(crate) fn set_lifetime(&mut self, stored: Option<Duration>, lifetime: Option<Duration>) {
        let mut place = 0;
        self.changes.retain(|change| {
            place += 1;
            place <= self.sealed || !matches!(change, HeadChange::Lifetime(_))
        });
        if lifetime != self.lifetime(stored) {
            self.changes.push(HeadChange::Lifetime(lifetime));
        }
    }

    /// The lifetime that the session is to have, over the one that is stored.
    pub(crate) fn lifetime(&self, stored: Option<Duration>) -> Option<Duration> {
        let mut wishes = self.changes.iter().filter_map(|change| match change {
            HeadChange::Lifetime(lifetime) => Some(*lifetime),
            _ => None,
        });
        wishes.next_back().unwrap_or(stored)
    }

    /// All of them are in a save from now on. Answers how many there are.
    pub(crate) fn seal(&mut self) -> usize {
        self.sealed = self.changes.len();
        self.sealed
    }

    /// Those that follow from the open alone: they stand first.
    pub(crate) fn of_the_open(&self) -> impl Iterator<Item = &HeadChange> {
        self.changes
            .iter()
            .take_while(|change| !is_modification(change))
    }

    /// Only those of the open are in a save from now on. Answers how many there are.
    pub(crate) fn seal_those_of_the_open(&mut self) -> usize {
        self.sealed = self.of_the_open().count();
        self.sealed
    }

    /// The save was refused: they are pending again.
    pub(crate) fn unseal(&mut self) {
        self.sealed = 0;
    }

    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &HeadChange> {
        self.changes.iter()
    }

    /// All but rotations that no save carries yet: a new one takes their place.
    pub(crate) fn before_rotation(&self) -> impl Iterator<Item = &HeadChange> {
        let (sealed, pending) = self.changes.split_at(self.sealed);
        let pending = pending.iter().filter(|change| !is_rotation(change));
        sealed.iter().chain(pending)
    }

    /// Forgets the profile that was accepted.
    pub(crate) fn forget_profile(&mut self) {
        self.changes
            .retain(|change| !matches!(change, HeadChange::Profile(_)));
    }

    /// Whether a subject is among them.
    pub(crate) fn binds(&self) -> bool {
        self.changes
            .iter()
            .any(|change| matches!(change, HeadChange::Membership(_)))
    }

    /// The subject among them.
    pub(crate) fn membership_mut(&mut self) -> Option<&mut Membership> {
        self.changes
            .iter_mut()
            .rev()
            .find_map(|change| match change {
                HeadChange::Membership(membership) => membership.as_mut(),
                _ => None,
            })
    }

    /// Whether the application asked for any of them.
    pub(crate) fn is_modified(&self) -> bool {
        self.changes.iter().any(is_modification)
    }

    /// Whether any of them is to be saved also when nothing else is.
    pub(crate) fn is_due(&self) -> bool {
        let is_due = |change: &HeadChange| {
            matches!(
                change,
                HeadChange::Confirm(_) | HeadChange::Profile(_) | HeadChange::Created(_)
            )
        };
        self.changes.iter().any(is_due)
    }

    /// Forgets what the application asked for.
    pub(crate) fn forget_modifications(&mut self) {
        self.changes.retain(|change| !is_modification(change));
        self.next = None;
        self.sealed = 0;
    }

    fn rotates(&self) -> bool {
        self.changes.iter().any(is_rotation)
    }

    pub(crate) fn authenticates(&self) -> bool {
        self.changes
            .iter()
            .any(|change| matches!(change, HeadChange::Authenticate { .. }))
    }

    pub(crate) fn rotate(&mut self, change: HeadChange, id: SessionId) {
        self.changes = self.before_rotation().cloned().collect();
        self.changes.push(change);
        self.next = Some(id);
    }

    /// These are stored, or must never be stored again.
    pub(crate) fn drop_first(&mut self, count: usize) {
        self.changes.drain(..count.min(self.changes.len()));
        self.sealed = 0;
        if !self.rotates() {
            self.next = None;
        }
    }
}

fn is_modification(change: &HeadChange) -> bool {
    is_rotation(change) || matches!(change, HeadChange::Lifetime(_) | HeadChange::Membership(_))
}

fn is_rotation(change: &HeadChange) -> bool {
    matches!(
        change,
        HeadChange::Renew { .. } | HeadChange::Authenticate { .. }
    )
}
