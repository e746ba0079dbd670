use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    // A clock before 1970 is as good as one that stands there.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| (time.as_secs_f64() * 1000.0).round() / 1000.0)
}
