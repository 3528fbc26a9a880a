//! A page or a Node process is never forked.

/// A value for each process: there is one.
pub(crate) struct PerProcess<T>(T);

impl<T> PerProcess<T> {
    pub(crate) const fn holding(value: T) -> Self {
        Self(value)
    }

    pub(crate) fn get<E>(&self, _: impl Fn(Option<&T>) -> Result<T, E>) -> Result<&T, E> {
        Ok(&self.0)
    }
}
