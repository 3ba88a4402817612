//! An entry with a type.

use std::{fmt, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Result, Session};

/// A value that is an entry of sessions.
///
/// ```
/// use asm_tower::{Entry, Result, Typed};
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Cart(Vec<String>);
///
/// impl Entry for Cart {
///     const KEY: &'static str = "cart";
/// }
///
/// async fn add(cart: Typed<Cart>) -> Result<String> {
///     let cart = cart.update(|cart| {
///         let mut cart = cart.unwrap_or_default();
///         cart.0.push("book".into());
///         Some(cart)
///     })?;
///     Ok(format!("{} in your cart", cart.unwrap_or_default().0.len()))
/// }
/// ```
pub trait Entry: Serialize + DeserializeOwned {
    /// The key of the entry.
    const KEY: &'static str;
}

/// One entry of the session of a request, by its type. As an extractor it opens the session as
/// [`Session`] does.
pub struct Typed<T> {
    session: Session,
    entry: PhantomData<fn() -> T>,
}

impl<T: Entry> Typed<T> {
    /// That entry of this session.
    #[must_use]
    pub const fn of(session: Session) -> Self {
        Self {
            session,
            entry: PhantomData,
        }
    }

    /// The value. It counts as read.
    ///
    /// # Errors
    /// `Value` when it is not a `T`.
    pub fn get(&self) -> Result<Option<T>> {
        self.session.get(T::KEY)
    }

    /// The value, or the default one when there is none. It counts as read.
    ///
    /// # Errors
    /// `Value` when it is not a `T`.
    pub fn get_or_default(&self) -> Result<T>
    where
        T: Default,
    {
        Ok(self.get()?.unwrap_or_default())
    }

    /// Sets the value, whatever it was.
    ///
    /// # Errors
    /// As [`Session::insert`].
    pub fn set(&self, value: &T) -> Result<()> {
        self.session.insert(T::KEY, value)
    }

    /// Removes the value. Answers whether there was one.
    ///
    /// # Errors
    /// As [`Session::insert`].
    pub fn remove(&self) -> Result<bool> {
        self.session.remove(T::KEY)
    }

    /// Changes the value; the closure runs again when somebody else changed it meanwhile. Answers
    /// what it is now.
    ///
    /// # Errors
    /// As [`Session::update`].
    pub fn update<F>(&self, change: F) -> Result<Option<T>>
    where
        F: FnMut(Option<T>) -> Option<T> + Send + 'static,
    {
        self.session.update(T::KEY, change)
    }

    /// Takes the value out: of all requests that take it at the same time, exactly one gets it.
    ///
    /// # Errors
    /// As [`Session::take`].
    pub async fn take(&self) -> Result<Option<T>> {
        self.session.take(T::KEY).await
    }

    /// The whole session.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        Self {
            session: self.session.clone(),
            entry: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Typed").field(&self.session).finish()
    }
}
