//! How long a review may take: what the API server says in the address of its call, less a margin of ours.

use std::time::Duration;

/// `timeoutSeconds` of a webhook that does not set it (k8s.io/api/admissionregistration/v1/types.go).
const DEFAULT: Duration = Duration::from_secs(10);
/// Longest `timeoutSeconds` (same source).
const LONGEST: Duration = Duration::from_secs(30);
/// For the way back, and for the API server to read the answer.
const MARGIN: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(500);

/// The time for a review, from the query of its address (`timeout=5s`): one second less than the API server waits, and
/// half a second at least.
pub(super) fn budget(query: Option<&str>) -> Duration {
    let given = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .find_map(|pair| pair.strip_prefix("timeout="));
    let timeout = given.and_then(duration).unwrap_or(DEFAULT).min(LONGEST);
    timeout.saturating_sub(MARGIN).max(SHORTEST)
}

/// A whole number of seconds or milliseconds, as Go writes them up to a minute.
fn duration(text: &str) -> Option<Duration> {
    let digits = |text: &str| text.parse::<u32>().ok().map(u64::from);
    match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(text), _) => digits(text).map(Duration::from_millis),
        (None, Some(text)) => digits(text).map(Duration::from_secs),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_left_to_the_api_server_and_half_a_second_to_us() {
        for (query, milliseconds) in [
            (Some("timeout=5s"), 4000),
            (Some("a=b&timeout=30s"), 29_000),
            (Some("timeout=1s"), 500),
            (Some("timeout=2500ms"), 1500),
            (None, 9000),
            (Some("timeout="), 9000),
            (Some("timeout=-5s"), 9000),
            (Some("timeout=never"), 9000),
            (Some("timeout=0s"), 500),
            (Some("timeout=4294967295s"), 29_000),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(budget(query), expected, "{query:?}");
        }
    }
}
