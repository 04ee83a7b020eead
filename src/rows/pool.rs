//! Working space that threads take in turn, so that it is made once for each of them.

use std::sync::{Mutex, PoisonError};

/// Spare working space.
#[derive(Debug, Default)]
pub struct Pool<T>(Mutex<Vec<T>>);

impl<T: Default> Pool<T> {
    /// Lends working space: used before or new, with whatever its last user left in it.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut space = self.take().unwrap_or_default();
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
