//! What can be wrong with lists of what is stored.

use std::{collections::BTreeSet, num::NonZeroUsize, time::Duration};

use asm_core::{
    Create, Created, Cursor, FieldFound, FieldName, FieldRead, FieldValue, FieldWrite,
    FieldWritten, Inventory, Key, ListStep, Listed, LocklessFields, Open, Opened, Result,
    SessionStore, Touch,
};

use super::mutants;

mutants! {
    /// What is over is listed, too.
    list_shows_the_dead notes BTreeSet<Key> {
        kills: [inventory::lists_what_lives_and_nothing_else],
        wrong: {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                self.notes.with(|notes| notes.insert(*key));
                self.base.create(key, req).await
            }

            async fn list_sessions(&self, step: ListStep) -> Result<Listed> {
                let mut listed = self.base.list_sessions(step).await?;
                if listed.next.is_none() {
                    self.notes.with(|notes| listed.keys.extend(&*notes));
                }
                Ok(listed)
            }
        },
    }

    /// The last one of each batch is left out.
    list_leaves_one_out {
        kills: [
            inventory::lists_what_lives_and_nothing_else,
            inventory::lists_in_batches,
            inventory::lists_what_stays_while_others_come_and_go,
        ],
        wrong: {
            async fn list_sessions(&self, step: ListStep) -> Result<Listed> {
                let mut listed = self.base.list_sessions(step).await?;
                listed.keys.pop();
                Ok(listed)
            }
        },
    }

    /// There is one batch.
    list_in_one_batch {
        kills: [inventory::lists_in_batches],
        wrong: {
            async fn list_sessions(&self, step: ListStep) -> Result<Listed> {
                let batch = NonZeroUsize::MAX;
                self.base.list_sessions(ListStep { batch, ..step }).await
            }
        },
    }

    /// It ends after the first batch.
    list_ends_early {
        kills: [inventory::lists_in_batches],
        wrong: {
            async fn list_sessions(&self, step: ListStep) -> Result<Listed> {
                let listed = self.base.list_sessions(step).await?;
                Ok(Listed { next: None, ..listed })
            }
        },
    }

    /// A cursor counts what was listed, whatever has gone since.
    list_counts_on {
        kills: [inventory::lists_what_stays_while_others_come_and_go],
        wrong: {
            async fn list_sessions(&self, step: ListStep) -> Result<Listed> {
                let whole = ListStep { from: None, batch: NonZeroUsize::MAX };
                let mut all = self.base.list_sessions(whole).await?.keys;
                let count = |Cursor(bytes): &Cursor| bytes[..].try_into().map(usize::from_be_bytes);
                let first = match step.from.as_ref().map(count).transpose() {
                    Ok(first) => first.unwrap_or(0).min(all.len()),
                    Err(_) => return self.base.list_sessions(step).await,
                };
                let mut keys = all.split_off(first);
                let more = keys.len() > step.batch.get();
                keys.truncate(step.batch.get());
                let next = (first + keys.len()).to_be_bytes().to_vec();
                Ok(Listed {
                    keys,
                    failed: 0,
                    next: more.then(|| Cursor(next.into())),
                })
            }
        },
    }

    /// To be listed is to be used.
    list_touches {
        kills: [inventory::lists_without_a_change],
        wrong: {
            async fn list_sessions(&self, step: ListStep) -> Result<Listed> {
                let listed = self.base.list_sessions(step).await?;
                for key in &listed.keys {
                    let opened = self.base.open(key, Open { lock: None }).await?;
                    if let Opened::Found { snapshot, .. } = opened {
                        let epoch = snapshot.stamp.epoch;
                        let ttl = Duration::from_secs(3600);
                        self.base.touch(key, Touch { epoch, ttl }).await?;
                    }
                }
                Ok(listed)
            }
        },
    }

    /// Any cursor will do.
    list_takes_any_cursor {
        kills: [inventory::refuses_a_foreign_cursor_of_a_list],
        wrong: {
            async fn list_sessions(&self, step: ListStep) -> Result<Listed> {
                let from = step.from.filter(|Cursor(bytes)| bytes.len() == Key::LEN);
                self.base.list_sessions(ListStep { from, ..step }).await
            }
        },
    }

    /// Numbers are no fields.
    list_of_fields_without_numbers {
        kills: [
            inventory::names_the_fields_of_a_session,
            inventory::names_no_fields_of_what_is_over,
        ],
        wrong: {
            async fn field_names(&self, key: &Key) -> Result<Vec<FieldName>> {
                let opened = self.base.open(key, Open { lock: None }).await?;
                let Opened::Found { snapshot, .. } = opened else {
                    return Ok(Vec::new());
                };
                let mut names = Vec::new();
                for name in self.base.field_names(key).await? {
                    let read = FieldRead {
                        name: name.clone(),
                        epoch: snapshot.stamp.epoch,
                        items: None,
                    };
                    let found = self.base.read_field(key, read).await?;
                    if !matches!(found, FieldFound::Value(FieldValue::Number(_))) {
                        names.push(name);
                    }
                }
                Ok(names)
            }
        },
    }

    /// A name that was there once is named for ever.
    list_of_fields_forgets_nothing notes BTreeSet<(Key, FieldName)> {
        kills: [
            inventory::names_the_fields_of_a_session,
            inventory::names_no_fields_of_what_is_over,
        ],
        wrong: {
            async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
                self.notes.with(|notes| notes.insert((*key, req.name.clone())));
                self.base.write_field(key, req).await
            }

            async fn field_names(&self, key: &Key) -> Result<Vec<FieldName>> {
                let named = |(of, name): &(Key, FieldName)| (of == key).then(|| name.clone());
                Ok(self.notes.with(|notes| notes.iter().filter_map(named).collect()))
            }
        },
    }
}
