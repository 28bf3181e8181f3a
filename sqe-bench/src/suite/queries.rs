use super::Scale;

/// The texts of a suite's queries, and what is put into them.
#[derive(Debug, Clone, Copy)]
pub struct Queries {
    texts: &'static [&'static str],
    parameters: Parameters,
}

/// The parameters of a query, by its number, at a scale: `{name}` in its text is replaced by the value.
pub type Parameters = fn(u32, Scale) -> Vec<(&'static str, String)>;

impl Queries {
    /// Queries numbered from 1 in the order of their texts.
    #[must_use]
    pub const fn new(texts: &'static [&'static str], parameters: Parameters) -> Self {
        Self { texts, parameters }
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.texts.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn text(&self, id: u32, scale: Scale) -> Option<String> {
        let index = usize::try_from(id).ok()?.checked_sub(1)?;
        let text = self.texts.get(index)?.trim_end().to_owned();
        let parameters = (self.parameters)(id, scale);
        Some(parameters.iter().fold(text, |text, (name, value)| text.replace(&format!("{{{name}}}"), value)))
    }
}
