use super::{Event, Observer};

/// Several observers, told in order.
#[derive(Default)]
pub struct Together<'a>(Vec<&'a mut dyn Observer>);

impl<'a> Together<'a> {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, observer: &'a mut dyn Observer) -> Self {
        self.0.push(observer);
        self
    }
}

impl Observer for Together<'_> {
    fn observe(&mut self, event: &Event<'_>) {
        for observer in &mut self.0 {
            observer.observe(event);
        }
    }
}
