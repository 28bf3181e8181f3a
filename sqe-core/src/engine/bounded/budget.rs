//! What the functions of one statement may answer with while it is planned. Plans keep such answers, and a short text
//! has room for many.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use datafusion::{
    common::config::{ConfigEntry, ConfigExtension, ExtensionOptions},
    error::{DataFusionError, Result as DataFusionResult},
};

/// Of all answers together, in bytes.
const LIMIT: u64 = 64 << 20;

/// What is left. That of a template is not counted: a statement copies the template's options to set some of its own,
/// and so gets a budget, which all further copies share.
#[derive(Debug, Default)]
pub(super) struct Budget(Option<Arc<AtomicU64>>);

impl Budget {
    /// Whether there was as much left, which is now spent.
    pub(super) fn spend(&self, bytes: u64) -> bool {
        let Some(left) = &self.0 else { return true };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

impl ConfigExtension for Budget {
    const PREFIX: &'static str = "sqe_bounded";
}

impl ExtensionOptions for Budget {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        let left = self.0.as_ref().map_or_else(|| Arc::new(AtomicU64::new(LIMIT)), Arc::clone);
        Box::new(Self(Some(left)))
    }

    fn set(&mut self, key: &str, _: &str) -> DataFusionResult<()> {
        Err(DataFusionError::Configuration(format!("there is no setting {key}")))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_spends_nothing_and_the_copies_of_a_copy_share() {
        let template = Budget::default();
        assert!(template.spend(u64::MAX));
        let copy = |of: &Budget| of.cloned();
        let (one, other) = (copy(&template), copy(&template));
        let one = one.as_any().downcast_ref::<Budget>().unwrap();
        let shared = copy(one);
        let shared = shared.as_any().downcast_ref::<Budget>().unwrap();
        assert!(one.spend(LIMIT));
        assert!(!shared.spend(1));
        assert!(other.as_any().downcast_ref::<Budget>().unwrap().spend(LIMIT));
    }
}
