//! Working space that threads take in turn, so that it is made once for each of them.

use std::sync::{Mutex, PoisonError};

/// Spare working space.
#[derive(Debug)]
pub struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Pool(Mutex::default())
    }
}

impl<T> Pool<T> {
    /// Lends working space: used before, with whatever its last user left in it, or `new`.
    pub fn with<R>(&self, new: impl FnOnce() -> T, work: impl FnOnce(&mut T) -> R) -> R {
        let mut space = self.take().unwrap_or_else(new);
        let result = work(&mut space);
        self.put(space);
        result
    }

    /// A spare one, if there is any.
    pub fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Keeps a spare one.
    pub fn put(&self, space: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(space);
    }
}
