//! The clock of the server beside ours, from the `Date` of each of its answers, whether it agrees or refuses.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use connector_core::clock::Clock;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};

/// Looks at the dates of answers. Clones share what they saw.
#[derive(Clone)]
pub(crate) struct ClockWatch {
    clock: Arc<dyn Clock>,
    off: Arc<Mutex<Option<SignedDuration>>>,
}

impl ClockWatch {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, off: Arc::default() }
    }

    /// By how much our clock was ahead at the last answer.
    pub fn off(&self) -> Option<SignedDuration> {
        *self.off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, date: &str) {
        if let Some(theirs) = parse(date) {
            let off = self.clock.now().duration_since(theirs);
            *self.off.lock().unwrap_or_else(PoisonError::into_inner) = Some(off);
        }
    }
}

/// `Sun, 01 Mar 2026 12:00:00 GMT`.
fn parse(date: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}

impl std::fmt::Debug for ClockWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClockWatch")
    }
}

impl Intercept for ClockWatch {
    fn name(&self) -> &'static str {
        "ClockWatch"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.saw(date);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_read() {
        let noon = "2026-03-01T12:00:00Z".parse().ok();
        assert_eq!(parse("Sun, 01 Mar 2026 12:00:00 GMT"), noon);
        assert_eq!(parse("yesterday"), None);
    }
}
