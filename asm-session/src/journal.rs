//! Changes over the loaded base, what was read of it, and how both meet a newer version.
//!
//! A session never writes its base back: it keeps a *journal* of what it changed, key by key, and
//! remembers what it saw of each key it read. When somebody else has saved meanwhile, the base is
//! replaced by the newer one ([`Journal::rebase`]), and the journal is laid over that
//! ([`Journal::resolve`]). A key whose *seen* value is not the present one, and that is now
//! overwritten, is a true conflict. It does not matter how the base moved: by a refused save, an
//! earlier merge, or the read that came with a lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::{Conflict, OnConflict, Result, entries::Entries};

/// A change of one value by what is there: run again when that is something newer.
pub(crate) type Update = Box<dyn FnMut(Option<&Bytes>) -> Result<Option<Bytes>> + Send>;

/// A point in a journal: all changes made so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(u64);

/// Changes over a base.
#[derive(Default)]
pub(crate) struct Journal {
    base: Arc<Entries>,
    changes: BTreeMap<String, Change>,
    cleared: Option<Mark>,
    seen: Mutex<Seen>,
    now: Mark,
    /// Changes up to here are in a save whose answer is not known. They are kept as they are.
    sealed: Mark,
}

impl Journal {
    pub(crate) fn over(base: Arc<Entries>) -> Self {
        Self {
            base,
            ..Self::default()
        }
    }

    /// Sets or removes a value, whatever is there.
    pub(crate) fn put(&mut self, key: &str, value: Option<Bytes>) {
        let back = self.puts_back(key, value.as_ref());
        let mark = self.advance();
        let sealed = self.sealed;
        let change = self.change(key);
        change.back = back;
        change.steps.retain(|(made, _)| *made <= sealed);
        change.steps.push((mark, Step::Put(value.clone())));
        change.value = value;
    }

    /// Changes a value by what is there. Answers what it is now.
    ///
    /// The answer shows the base, so it counts as read, unless the key was read before.
    pub(crate) fn update(&mut self, key: &str, mut update: Update) -> Result<Option<Bytes>> {
        let value = update(self.view(key))?;
        if self.depends_on_base(key) {
            // What was asked for before stays what it was: who knows which of the two is used.
            self.glance(key, |old| match old {
                Some(asked @ Glance::Value { direct: true, .. }) => asked,
                _ => Glance::Value {
                    direct: false,
                    value: self.base.get(key).cloned(),
                },
            });
        }
        let mark = self.advance();
        let sealed = self.sealed;
        let cleared = self.cleared.is_some_and(|made| made > sealed);
        let change = self.change(key);
        change.back = false;
        change.value.clone_from(&value);
        if change.is_put(cleared) && change.steps.iter().all(|(made, _)| *made > sealed) {
            // Nothing of the base is in it: the value will do instead of the steps.
            change.steps.clear();
            change.steps.push((mark, Step::Put(value.clone())));
        } else {
            change.steps.push((mark, Step::Update(Mutex::new(update))));
        }
        Ok(value)
    }

    /// Removes everything, whatever is there.
    pub(crate) fn clear(&mut self) {
        let mark = self.advance();
        let sealed = self.sealed;
        self.changes.retain(|_, change| {
            change.steps.retain(|(made, _)| *made <= sealed);
            if change.steps.is_empty() {
                return false;
            }
            change.steps.push((mark, Step::Put(None)));
            change.value = None;
            true
        });
        self.cleared = Some(mark);
    }

    /// Forgets all changes and all that was read.
    pub(crate) fn discard(&mut self) {
        *self = Self::over(Arc::clone(&self.base));
    }

    /// The value, as this session left it. Counts as read, as far as it shows the base.
    pub(crate) fn read(&self, key: &str) -> Option<&Bytes> {
        if self.depends_on_base(key) {
            self.glance(key, |_| Glance::Value {
                direct: true,
                value: self.base.get(key).cloned(),
            });
        }
        self.view(key)
    }

    /// Whether there is a value. That alone counts as read.
    pub(crate) fn contains(&self, key: &str) -> bool {
        if self.depends_on_base(key) {
            self.glance(key, |old| match old {
                Some(value @ Glance::Value { .. }) => value,
                _ => Glance::Presence(self.base.contains_key(key)),
            });
        }
        self.view(key).is_some()
    }

    /// Whether there is a value, for somebody who does not go by it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.view(key).is_some()
    }

    /// The keys, in order. Which there are counts as read.
    pub(crate) fn keys(&self) -> Vec<&str> {
        if self.cleared.is_none() {
            self.seen().all = Some(Arc::clone(&self.base));
        }
        self.present().collect()
    }

    /// Whether a save would write anything.
    pub(crate) fn is_modified(&self) -> bool {
        let seen = self.seen();
        let mut kept = self
            .base
            .keys()
            .filter(|key| !self.changes.contains_key(*key));
        let clears = self.cleared.is_some()
            && (kept.next().is_some() || self.cleared_unknown(&seen).next().is_some());
        clears
            || self.changes.iter().any(|(key, change)| {
                change.value.as_ref() != self.base.get(key) || self.is_overtaken(&seen, key, change)
            })
    }

    /// All changes made so far. They are in a save from now on, and stay as they are until it is
    /// answered.
    pub(crate) fn seal(&mut self) -> Mark {
        self.sealed = self.now;
        self.sealed
    }

    /// The save was refused: its changes are pending again.
    pub(crate) fn unseal(&mut self) {
        self.sealed = Mark::default();
    }

    /// The save of the changes up to this mark made this version.
    pub(crate) fn acknowledge(&mut self, mark: Mark, saved: Arc<Entries>) {
        let old = mem::replace(&mut self.base, saved);
        let base = Arc::clone(&self.base);
        self.seen_mut().follow(&old, &base);
        self.forget(mark);
        self.unseal();
    }

    /// Drops the changes up to this mark: they are stored, or must never be stored again.
    pub(crate) fn forget(&mut self, mark: Mark) {
        let base = Arc::clone(&self.base);
        self.changes.retain(|key, change| {
            change.steps.retain(|(made, _)| *made > mark);
            change.existed = base.contains_key(key);
            !change.steps.is_empty()
        });
        self.cleared.take_if(|made| *made <= mark);
    }

    /// Replaces the base by a newer one, and runs the updates again.
    ///
    /// # Errors
    /// Those of the updates; then nothing has changed.
    pub(crate) fn rebase(&mut self, base: Arc<Entries>) -> Result<()> {
        self.changes.retain(|_, change| !change.back);
        let cleared = self.cleared.is_some();
        let mut values = Vec::with_capacity(self.changes.len());
        for (key, change) in &mut self.changes {
            let start = if cleared { None } else { base.get(key) };
            values.push(change.run(start)?);
        }
        for (change, value) in self.changes.values_mut().zip(values) {
            change.value = value;
        }
        self.base = base;
        Ok(())
    }

    /// The entries that a save is to write: the changes laid over the base.
    ///
    /// # Errors
    /// With [`OnConflict::Fail`] the keys that were read, then changed by somebody else, then
    /// written; that were written, and removed by somebody else; and, if `strict`, that were read
    /// and changed by somebody else.
    pub(crate) fn resolve(&self, policy: OnConflict, strict: bool) -> Result<Entries, Conflict> {
        let mut conflicts = self.overtaken();
        if policy == OnConflict::Fail {
            if strict {
                conflicts.extend(self.stale());
            }
            if !conflicts.is_empty() {
                return Err(Conflict::on(conflicts));
            }
        }
        let theirs = |key: &str| policy == OnConflict::Theirs && conflicts.contains(key);
        let mut entries = self.overwrite();
        for key in conflicts.iter().filter(|key| theirs(key)) {
            entries.remove(key);
            if let Some(value) = self.base.get(key) {
                entries.insert(key.clone(), value.clone());
            }
        }
        Ok(entries)
    }

    /// The entries as this session sees them, whatever others did.
    pub(crate) fn overwrite(&self) -> Entries {
        let mut entries = match self.cleared {
            Some(_) => Entries::new(),
            None => Entries::clone(&self.base),
        };
        for (key, change) in &self.changes {
            match &change.value {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
        entries
    }

    /// Whether everything that was read is still so.
    ///
    /// # Errors
    /// The keys of which it is not.
    pub(crate) fn check_reads(&self) -> Result<(), Conflict> {
        let stale: BTreeSet<_> = self.stale().collect();
        if stale.is_empty() {
            Ok(())
        } else {
            Err(Conflict::on(stale))
        }
    }

    /// Whether this key has a change that is not saved.
    pub(crate) fn is_changed(&self, key: &str) -> bool {
        self.cleared.is_some() || self.changes.get(key).is_some_and(|change| !change.back)
    }

    /// One value of the base is about to be taken, by a save of its own. That it was set back is
    /// forgotten: it goes with the value, and nothing is built on it.
    pub(crate) fn is_being_taken(&mut self, key: &str) {
        if self.changes.get(key).is_some_and(|change| change.back) {
            self.changes.remove(key);
        }
    }

    /// One value of the base is gone, by a save of its own. What was done to the key since that was
    /// sent stands, on what is left.
    ///
    /// # Errors
    /// Those of updates made since; they are in no state to be saved, and the base must be read
    /// again.
    pub(crate) fn taken(&mut self, key: &str) -> Result<()> {
        let mut rest = Entries::clone(&self.base);
        rest.remove(key);
        let old = mem::replace(&mut self.base, Arc::new(rest));
        let base = Arc::clone(&self.base);
        self.seen_mut().follow(&old, &base);
        let Some(change) = self.changes.get_mut(key) else {
            return Ok(());
        };
        (change.back, change.existed) = (false, false);
        change.value = change.run(None)?;
        Ok(())
    }

    fn view(&self, key: &str) -> Option<&Bytes> {
        match self.changes.get(key) {
            Some(change) => change.value.as_ref(),
            None if self.cleared.is_some() => None,
            None => self.base.get(key),
        }
    }

    fn present(&self) -> impl Iterator<Item = &str> {
        let untouched = self
            .base
            .keys()
            .filter(|key| self.cleared.is_none() && !self.changes.contains_key(*key));
        let changed = self.changes.iter();
        let changed = changed.filter_map(|(key, change)| change.value.as_ref().map(|_| key));
        let keys: BTreeSet<&str> = untouched.chain(changed).map(String::as_str).collect();
        keys.into_iter()
    }

    /// Whether what a reader of this key is shown comes from the base.
    fn depends_on_base(&self, key: &str) -> bool {
        let cleared = self.cleared.is_some();
        match self.changes.get(key) {
            Some(change) => !change.is_put(cleared),
            None => !cleared,
        }
    }

    /// An equal value set back is no change. One that is equal to what somebody else made of it is:
    /// two may have counted from 1 to 2.
    fn puts_back(&self, key: &str, value: Option<&Bytes>) -> bool {
        self.cleared.is_none()
            && self.base.get(key) == value
            && !self.seen().is_stale(key, &self.base)
            && self
                .changes
                .get(key)
                .is_none_or(|change| change.steps.iter().all(|(made, _)| *made > self.sealed))
    }

    /// The keys whose change would overwrite something that this session does not know.
    fn overtaken(&self) -> BTreeSet<String> {
        let seen = self.seen();
        let changed = self.changes.iter();
        let changed = changed.filter(|(key, change)| self.is_overtaken(&seen, key, change));
        let cleared = self
            .cleared
            .iter()
            .flat_map(|_| self.cleared_unknown(&seen));
        changed
            .map(|(key, _)| key)
            .chain(cleared)
            .cloned()
            .collect()
    }

    /// The keys that a clear removes, and of which this session knows something else.
    fn cleared_unknown<'a>(&'a self, seen: &'a Seen) -> impl Iterator<Item = &'a String> {
        let known = seen.keys.keys();
        let listed = seen.all.iter().flat_map(|all| all.keys());
        let keys = known.chain(listed).chain(self.base.keys());
        keys.filter(|key| !self.changes.contains_key(*key) && seen.is_stale(key, &self.base))
    }

    fn is_overtaken(&self, seen: &Seen, key: &str, change: &Change) -> bool {
        if !change.is_put(self.cleared.is_some()) {
            return false;
        }
        let revives = change.existed && change.value.is_some() && !self.base.contains_key(key);
        seen.is_stale(key, &self.base) || (revives && !seen.knows(key))
    }

    /// The keys that were read and are not any more what they were.
    fn stale(&self) -> impl Iterator<Item = String> + use<> {
        self.seen().stale(&self.base).into_iter()
    }

    fn change(&mut self, key: &str) -> &mut Change {
        let existed = self.base.contains_key(key);
        self.changes
            .entry(key.to_owned())
            .or_insert_with(|| Change {
                steps: Vec::new(),
                value: None,
                back: false,
                existed,
            })
    }

    fn advance(&mut self) -> Mark {
        self.now.0 += 1;
        self.now
    }

    fn glance(&self, key: &str, new: impl FnOnce(Option<Glance>) -> Glance) {
        let mut seen = self.seen();
        let old = seen.keys.remove(key);
        seen.keys.insert(key.to_owned(), new(old));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen_mut(&mut self) -> &mut Seen {
        self.seen.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was done to one key.
struct Change {
    steps: Vec<(Mark, Step)>,
    /// What came of it.
    value: Option<Bytes>,
    /// Whether it sets back what is there: no change, unless something is built on it.
    back: bool,
    /// Whether the base had the key before.
    existed: bool,
}

enum Step {
    Put(Option<Bytes>),
    /// Behind a mutex only so that a session can be shared; nobody ever waits for it.
    Update(Mutex<Update>),
}

impl Change {
    /// Whether it says what the value is, and not only how it changes.
    fn is_put(&self, cleared: bool) -> bool {
        cleared
            || self
                .steps
                .iter()
                .any(|(_, step)| matches!(step, Step::Put(_)))
    }

    fn run(&mut self, start: Option<&Bytes>) -> Result<Option<Bytes>> {
        let mut value = start.cloned();
        for (_, step) in &mut self.steps {
            value = match step {
                Step::Put(value) => value.clone(),
                Step::Update(update) => {
                    let update = update.get_mut().unwrap_or_else(PoisonError::into_inner);
                    update(value.as_ref())?
                }
            };
        }
        Ok(value)
    }
}

/// What was seen of the base.
#[derive(Default)]
struct Seen {
    keys: BTreeMap<String, Glance>,
    /// The base of which all keys were seen.
    all: Option<Arc<Entries>>,
}

/// What was seen of one key.
enum Glance {
    Value {
        value: Option<Bytes>,
        /// Whether it was asked for, and not only shown by an update.
        direct: bool,
    },
    Presence(bool),
}

impl Glance {
    fn fits(&self, base: Option<&Bytes>) -> bool {
        match self {
            Self::Value { value, .. } => value.as_ref() == base,
            Self::Presence(present) => *present == base.is_some(),
        }
    }
}

impl Seen {
    fn knows(&self, key: &str) -> bool {
        self.keys.contains_key(key) || self.all.is_some()
    }

    fn is_stale(&self, key: &str, base: &Entries) -> bool {
        let value = base.get(key);
        match (self.keys.get(key), &self.all) {
            (Some(glance), _) => !glance.fits(value),
            (None, Some(all)) => all.contains_key(key) != value.is_some(),
            (None, None) => false,
        }
    }

    /// The keys that were asked for and are different now.
    fn stale(&self, base: &Entries) -> Vec<String> {
        let asked = self.keys.iter().filter(|(key, glance)| {
            let shown_only = matches!(glance, Glance::Value { direct: false, .. });
            !shown_only && !glance.fits(base.get(*key))
        });
        let all = self
            .all
            .iter()
            .flat_map(|all| all.keys().chain(base.keys()));
        let listed = all.filter(|key| !self.keys.contains_key(*key) && self.is_stale(key, base));
        asked.map(|(key, _)| key).chain(listed).cloned().collect()
    }

    /// An own save turned one base into another: whoever knew the one knows the other. What was
    /// stale before stays so.
    fn follow(&mut self, old: &Arc<Entries>, new: &Arc<Entries>) {
        for (key, glance) in &mut self.keys {
            if glance.fits(old.get(key)) {
                match glance {
                    Glance::Value { value, .. } => *value = new.get(key).cloned(),
                    Glance::Presence(present) => *present = new.contains_key(key),
                }
            }
        }
        if let Some(all) = &mut self.all {
            let stale = |key: &String| all.contains_key(key) != old.contains_key(key);
            let stale: BTreeSet<_> = all
                .keys()
                .chain(old.keys())
                .filter(|key| stale(key))
                .collect();
            if stale.is_empty() {
                *all = Arc::clone(new);
                return;
            }
            let mut known = Entries::clone(new);
            for key in stale {
                match all.get(key) {
                    Some(value) => known.insert(key.clone(), value.clone()),
                    None => known.remove(key),
                };
            }
            *all = Arc::new(known);
        }
    }
}

#[cfg(test)]
mod tests;
