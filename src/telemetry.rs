//! What a process tells of itself: logs (one line an event on stderr, as text for people or JSON for collectors), metric
//! families ([`metrics`]: how a part registers its own is told there), and how an error is put in words.

pub mod metrics;

use std::error::Error;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For log collectors: one JSON object a line.
    Json,
}

/// Starts logging to stderr. `filter` is a level (`info`) or directives (`gpu_capgate=debug,kube=warn`).
///
/// # Errors
/// The filter is malformed.
pub fn start(
    format: LogFormat,
    filter: &str,
) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => registry
            .with(lines.with_ansi(std::io::stderr().is_terminal()))
            .init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// A panic as one line of the log, like all that goes wrong. `RUST_BACKTRACE` adds where it came from.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    let text = payload.downcast_ref::<&str>().copied().or(owned);
    let place = panic.location().map(ToString::to_string);
    let trace = std::backtrace::Backtrace::capture();
    let trace = (trace.status() == std::backtrace::BacktraceStatus::Captured)
        .then(|| trace.to_string().replace('\n', " "));
    tracing::error!(panic = text, place, trace, "a bug: please report it");
}

/// An error with its causes; a cause that the text before it tells already is not told again.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    for cause in causes.map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot label: {0}")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot connect")]
    struct Inner(#[source] std::io::Error);

    #[test]
    fn every_cause_is_told_once() {
        let error = Outer(Inner(std::io::ErrorKind::ConnectionRefused.into()));
        assert_eq!(
            with_causes(&error),
            "cannot label: cannot connect: connection refused"
        );
    }
}
