//! The proof that a medium holds what was written to it.

/// A medium that was read back, past the caches, and holds what was written. Only the comparisons of this room make one.
#[derive(Debug)]
#[must_use]
pub(crate) struct Kept(pub(super) ());

impl Kept {
    /// Both hold what was written.
    pub(crate) fn and(self, _other: Self) -> Self {
        self
    }
}
