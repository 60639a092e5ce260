//! Where `{{ tb_secret("NAME") }}` gets its value from.

use connector_core::secret::Secret;

/// Looks secrets up by name. Any `Fn(&str) -> Option<Secret>` is one.
pub trait Secrets {
    /// The secret of this name, or `None` if there is none.
    fn lookup(&self, name: &str) -> Option<Secret>;
}

impl<F: Fn(&str) -> Option<Secret>> Secrets for F {
    fn lookup(&self, name: &str) -> Option<Secret> {
        self(name)
    }
}
