//! Sealed values of cookies. Without the feature `sealed-cookie` they are the ids themselves.

use zeroize::Zeroizing;

use crate::Result;

/// How the id is put into a cookie.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sealing {
    #[cfg(feature = "sealed-cookie")]
    pub(crate) seal: Option<asm_crypt::CookieSeal>,
}

/// What was in a cookie.
pub(crate) struct Unsealed {
    /// An id, or what claims to be one.
    pub(crate) id: Zeroizing<String>,
    /// Whether it is to be sealed anew, before its key ends.
    pub(crate) again: bool,
}

#[cfg(not(feature = "sealed-cookie"))]
#[expect(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "with the feature it is otherwise"
)]
impl Sealing {
    pub(crate) fn seal(&self, _: &str, id: &str) -> Result<Zeroizing<String>> {
        Ok(Zeroizing::new(id.to_owned()))
    }

    pub(crate) fn open(&self, _: &str, value: &str) -> Result<Option<Unsealed>> {
        let id = Zeroizing::new(value.to_owned());
        Ok(Some(Unsealed { id, again: false }))
    }
}

#[cfg(feature = "sealed-cookie")]
impl Sealing {
    pub(crate) fn seal(&self, name: &str, id: &str) -> Result<Zeroizing<String>> {
        let value = match &self.seal {
            Some(seal) => seal
                .seal(name, id.as_bytes())
                .map_err(crate::SessionError::Seal)?,
            None => id.to_owned(),
        };
        Ok(Zeroizing::new(value))
    }

    /// `None` for what is none of ours. A key that this process does not know is not the client's
    /// fault: that is an error, and its cookie stays.
    pub(crate) fn open(&self, name: &str, value: &str) -> Result<Option<Unsealed>> {
        let Some(seal) = &self.seal else {
            let id = Zeroizing::new(value.to_owned());
            return Ok(Some(Unsealed { id, again: false }));
        };
        let opened = match seal.open(name, value) {
            Ok(opened) => opened,
            Err(error @ asm_crypt::CookieError::UnknownKey(_)) => {
                return Err(crate::SessionError::Seal(error));
            }
            Err(_) => return Ok(None),
        };
        let id = std::str::from_utf8(opened.content()).ok();
        Ok(id.map(|id| Unsealed {
            id: Zeroizing::new(id.to_owned()),
            again: !opened.is_current(),
        }))
    }
}
