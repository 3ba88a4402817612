//! Sessions in files, each sealed: who reads the disk reads nothing.

use std::path::Path;

use asm_crypt::{KeyId, KeyRing, Seal, SecretKey};
use asm_file::FileDriver;
use asm_session::{Client, Result, Sessions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    // Kept outside of the store: a file of the deployment, say.
    let key = SecretKey::from_env("SESSION_KEY").or_else(|_| SecretKey::generate())?;
    let sessions = sealed(Path::new("sessions"), &key)?;
    let mut session = sessions.create(&Client::default())?;
    session.insert("card", "4111")?;
    session.close().await?;
    println!("stored as {}", session.handle());
    Ok(())
}

fn sealed(root: &Path, key: &SecretKey) -> Result<Sessions> {
    let seal = Seal::xchacha(KeyRing::new(KeyId::new(1), key));
    Sessions::builder(FileDriver::open(root)?)
        .codec(seal)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_key_opens_nothing() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let root = tempfile::tempdir()?;
        let sessions = sealed(&root.path().join("sessions"), &SecretKey::generate()?)?;
        let mut session = sessions.create(&Client::default())?;
        session.insert("card", "4111")?;
        session.close().await?;
        let handle = session.handle();
        assert!(sessions.by_handle(handle).info().await?.is_some());
        let others = sealed(&root.path().join("sessions"), &SecretKey::generate()?)?;
        assert!(others.by_handle(handle).info().await.is_err());
        Ok(())
    }
}
