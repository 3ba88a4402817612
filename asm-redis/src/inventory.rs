//! What is stored, for operators.

use asm_core::{Cursor, Error, ErrorKind, FieldName, Inventory, Key, ListStep, Listed, Result};
use async_trait::async_trait;
use redis::{Pipeline, Value, from_redis_value};

use crate::{RedisDriver, driver::during, keys::SLOTS, scripts::strange};

/// The list goes by `SCAN`, from master to master. It promises what `SCAN` does: while the slots of
/// a cluster move, or a replica takes over, sessions may be missed.
///
/// It needs `+scan` and `+hscan` of an ACL.
#[async_trait]
impl Inventory for RedisDriver {
    async fn list_sessions(&self, step: ListStep) -> Result<Listed> {
        self.scan(step).await.map_err(during("list_sessions"))
    }

    async fn field_names(&self, key: &Key) -> Result<Vec<FieldName>> {
        self.names(key).await.map_err(during("field_names"))
    }

    fn progress(&self, at: &Cursor) -> Option<f64> {
        let place = Place::at(at)?;
        place.part_before(&self.inner.links.known_masters())
    }
}

/// Where a list goes on: which master, by its first slot, and the cursor there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    slot: u16,
    cursor: u64,
}

/// The most places that the server looks at in one go: nobody else is served meanwhile.
const MAX_BATCH: usize = 10_000;

impl RedisDriver {
    async fn scan(&self, step: ListStep) -> Result<Listed> {
        let ListStep { from, batch } = step;
        let foreign = || Error::new(ErrorKind::Invalid, "this cursor is not of the redis driver");
        let place = match &from {
            Some(cursor) => Place::at(cursor).ok_or_else(foreign)?,
            None => Place::default(),
        };
        let prefix = &self.inner.settings.prefix;
        let pattern = prefix.pattern_of_records();
        let pack = |_| {
            let mut scan = redis::cmd("SCAN");
            scan.arg(place.cursor).arg("MATCH").arg(&pattern);
            scan.arg("COUNT").arg(batch.get().min(MAX_BATCH));
            one(scan)
        };
        let links = &self.inner.links;
        let end = links.end();
        let answer = links.call_at(place.slot, end, pack).await?.pop();
        let (cursor, names) = page(answer)?;
        let next = match cursor {
            0 => {
                let masters = links.masters(end).await?;
                let next = masters.into_iter().find(|slot| *slot > place.slot);
                next.map(|slot| Place { slot, cursor: 0 })
            }
            cursor => Some(Place { cursor, ..place }),
        };
        let keys = names.iter().filter_map(|name| prefix.key_of_record(name));
        Ok(Listed {
            keys: keys.collect(),
            failed: 0,
            next: next.map(Place::cursor),
        })
    }

    async fn names(&self, key: &Key) -> Result<Vec<FieldName>> {
        let keys = self.keys(key);
        let fields = keys.fields();
        let end = self.inner.links.end();
        let (mut names, mut cursor) = (Vec::new(), 0);
        loop {
            let pack = |_| {
                let mut scan = redis::cmd("HSCAN");
                scan.arg(&fields).arg(cursor);
                scan.arg("MATCH").arg("m*").arg("COUNT").arg(PAGE);
                let mut pipeline = one(scan);
                pipeline.cmd("EXISTS").arg(keys.record());
                pipeline
            };
            let mut values = self.inner.links.call(keys.record(), end, pack).await?;
            let is_there = values.pop().ok_or_else(strange)?;
            if !from_redis_value::<bool>(is_there).map_err(|_| strange())? {
                return Ok(Vec::new());
            }
            let (next, pairs) = page(values.pop())?;
            for name in pairs.into_iter().step_by(2) {
                let name = name.strip_prefix(b"m").ok_or_else(strange)?;
                let name = str::from_utf8(name).map_err(|_| strange())?;
                names.push(FieldName::new(name)?);
            }
            if next == 0 {
                // A table that grows meanwhile is shown twice in part.
                names.sort();
                names.dedup();
                return Ok(names);
            }
            cursor = next;
        }
    }
}

/// How many entries of a hash one step looks at, about.
const PAGE: usize = 1000;

fn one(cmd: redis::Cmd) -> Pipeline {
    let mut pipeline = Pipeline::new();
    pipeline.add_command(cmd);
    pipeline
}

/// A cursor, and what was found.
fn page(value: Option<Value>) -> Result<(u64, Vec<Vec<u8>>)> {
    let (cursor, found): (Vec<u8>, Vec<Vec<u8>>) = value
        .map(from_redis_value)
        .ok_or_else(strange)?
        .map_err(|_| strange())?;
    let cursor = std::str::from_utf8(&cursor).ok();
    let cursor = cursor.and_then(|cursor| cursor.parse().ok());
    Ok((cursor.ok_or_else(strange)?, found))
}

impl Place {
    fn cursor(self) -> Cursor {
        let mut bytes = self.slot.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.cursor.to_be_bytes());
        Cursor(bytes.into())
    }

    fn at(Cursor(bytes): &Cursor) -> Option<Self> {
        let (slot, cursor) = bytes.split_first_chunk()?;
        let slot = u16::from_be_bytes(*slot);
        let cursor = u64::from_be_bytes(cursor.try_into().ok()?);
        (slot < SLOTS).then_some(Self { slot, cursor })
    }

    /// How much of all lies before it, as a part of 1.
    fn part_before(self, masters: &[u16]) -> Option<f64> {
        let node = masters.iter().position(|slot| *slot == self.slot)?;
        // The server walks its table in the order of reversed places.
        let within = self.cursor.reverse_bits() as f64 / u64::MAX as f64;
        Some((node as f64 + within) / masters.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_nothing_else_does() {
        let place = Place {
            slot: 5461,
            cursor: 0x00ff_0000_0000_0001,
        };
        assert_eq!(Place::at(&place.cursor()), Some(place));
        let behind_all = Place {
            slot: SLOTS,
            cursor: 0,
        };
        let behind_all = behind_all.cursor().0;
        for foreign in [
            &b""[..],
            b"\0\0",
            b"\xff\xff\0\0\0\0\0\0\0\0",
            &[0; 11],
            &behind_all,
        ] {
            let foreign = Cursor(foreign.to_vec().into());
            assert_eq!(Place::at(&foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn a_list_is_half_over_in_the_middle_of_the_second_of_three_masters() {
        let masters = [0, 5461, 10923];
        let part = |slot, cursor| Place { slot, cursor }.part_before(&masters);
        let rounded = |part: Option<f64>| part.map(|part| (part * 1e6).round());
        assert_eq!(rounded(part(0, 0)), Some(0.0));
        assert_eq!(rounded(part(5461, 1)), Some(500_000.0));
        assert_eq!(rounded(part(10923, 0)), Some(666_667.0));
        assert_eq!(part(7, 0), None);
    }

    /// It asks no server: one that is asked for nothing else need not be there.
    #[tokio::test]
    async fn a_driver_tells_how_far_a_list_has_come() {
        let driver = RedisDriver::builder().without_check().connect().await;
        let driver = driver.expect("a driver");
        let half = Place { slot: 0, cursor: 1 };
        assert_eq!(driver.progress(&half.cursor()), Some(0.5));
        assert_eq!(driver.progress(&Cursor(Vec::new().into())), None);
    }
}
