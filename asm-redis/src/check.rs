//! The look at the servers when a driver is connected.

use asm_core::{Error, ErrorKind, Key, LockStore, Result};
use redis::{Pipeline, Value};

use crate::{RedisDriver, errors, scripts};

/// The oldest version that is good for it.
const OLDEST: (u64, u64) = (6, 2);

/// The policy that drops nothing that was stored.
const KEEPING: &str = "noeviction";

impl RedisDriver {
    /// Loads the scripts and looks at every master.
    pub(crate) async fn check(&self) -> Result<()> {
        let pack = || {
            let mut pipeline = Pipeline::new();
            pipeline.cmd("INFO");
            pipeline
        };
        for values in self.inner.links.on_each(pack).await? {
            if let Some(Value::BulkString(info)) = values.into_iter().next().map(plain) {
                let info = String::from_utf8_lossy(&info);
                check_info(&info)?;
                if !self.inner.links.is_cluster() && field(&info, "cluster_enabled") == Some("1") {
                    return Err(errors::is_a_node());
                }
            }
        }
        // Whoever may not load may still run: the source goes along then.
        if let Err(error) = self.inner.links.on_each(scripts::load).await
            && error.kind() != ErrorKind::Denied
        {
            return Err(error);
        }
        // On a key that nobody has: it shows whether scripts may run, and on which keys.
        let mut nobody = [0; Key::LEN];
        getrandom::fill(&mut nobody).map_err(|error| {
            Error::new(ErrorKind::Other, "the system gives no random bytes").because(error)
        })?;
        self.inspect(&Key::from_bytes(nobody)).await?;
        self.check_channels().await
    }

    /// Scripts go on when they may not publish, so nobody would be told.
    async fn check_channels(&self) -> Result<()> {
        let hub = &self.inner.hub;
        if !hub.is_enabled() {
            return Ok(());
        }
        let pack = || {
            let mut pipeline = Pipeline::new();
            pipeline.cmd("PUBLISH").arg(hub.channel()).arg("");
            pipeline
        };
        self.inner.links.on_each(pack).await.map(drop)
    }
}

/// RESP3 sends texts in a form of their own.
fn plain(value: Value) -> Value {
    match value {
        Value::VerbatimString { text, .. } => Value::BulkString(text.into_bytes()),
        value => value,
    }
}

fn check_info(info: &str) -> Result<()> {
    let version = field(info, "redis_version").map(version);
    if version.is_some_and(|version| version < OLDEST) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the server is older than Redis 6.2",
        ));
    }
    match field(info, "maxmemory_policy") {
        Some(policy) if policy != KEEPING => tracing::warn!(
            policy,
            "this server drops sessions when it is short of memory; \
             set maxmemory-policy to noeviction"
        ),
        _ => {}
    }
    Ok(())
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = info.lines().filter_map(|line| line.split_once(':'));
    lines.find_map(|(key, value)| (key == name).then(|| value.trim()))
}

fn version(text: &str) -> (u64, u64) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_must_be_new_enough() {
        assert!(check_info("# Server\r\nredis_version:7.0.15\r\n").is_ok());
        assert!(check_info("redis_version:6.2.0\r\nmaxmemory_policy:allkeys-lru\r\n").is_ok());
        let error = check_info("redis_version:6.0.16\r\n").expect_err("too old");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(check_info("").is_ok());
    }
}
