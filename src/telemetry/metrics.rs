//! Metric families: counted with atomics, written as text in the Prometheus format, version 0.0.4.
//!
//! A part that has something to count is handed the [`Registry`] of its process, asks it for its families when it is
//! made, and keeps the handles: nothing here is global, and nothing here knows what is counted. What is known elsewhere
//! already (an age, a size) is not copied: [`Registry::measured`] takes a function that is asked at each scrape.
//!
//! ```
//! use gpu_capgate::telemetry::metrics::Registry;
//!
//! let registry = Registry::default();
//! let restarts = registry.counter("gpu_capgate_watch_restarts_total", "Watches that were opened again.");
//! restarts.add();
//! registry.measured("gpu_capgate_fleet_nodes", "Nodes that are known.", || Some(3.0));
//! assert!(registry.page().contains("gpu_capgate_watch_restarts_total 1\n"));
//! ```
//!
//! A label has the values of an enum ([`Label`]), so the number of series is bounded by its type, and every series is
//! there from the start: a rate over one that has not counted yet is zero, not absent.
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>)

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// `Content-Type` of [`Registry::page`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What every metric of ours begins with.
const PREFIX: &str = "gpu_capgate_";

/// Upper bounds of a [`Histogram`]'s buckets, in seconds: from half a millisecond to the longest that the API server
/// waits in practice.
const BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// The values of one label.
pub trait Label: Copy + PartialEq + Send + Sync + 'static {
    /// The label's name.
    const KEY: &'static str;
    /// All of its values.
    const ALL: &'static [Self];

    /// How the value is written: lower case, words joined by `-`.
    fn value(self) -> &'static str;
}

/// All families of a process. Clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Vec<Family>>>);

struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    samples: Box<dyn Fn(&mut Samples<'_>) + Send + Sync>,
}

/// Takes the samples of one family while a page is written.
pub struct Samples<'a> {
    name: &'static str,
    page: &'a mut String,
}

/// A number that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

/// A counter for each value of a label.
#[derive(Debug, Clone)]
pub struct Counters<L> {
    counts: Arc<[AtomicU64]>,
    label: std::marker::PhantomData<L>,
}

/// A number that goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

/// One of what a [`Gauge`] counts; dropping it takes it away again.
#[derive(Debug)]
pub struct Held(Gauge);

/// How long something took, in buckets.
#[derive(Debug, Clone, Default)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    /// Durations that no smaller bucket holds; the last is for those that none does.
    counts: [AtomicU64; BUCKETS.len() + 1],
    /// In microseconds.
    sum: AtomicU64,
}

impl Registry {
    /// Tells the version that runs.
    pub fn version(&self) {
        self.gauges(
            "gpu_capgate_build_info",
            "The version that runs; always 1.",
            |samples| samples.gauge(&[("version", env!("CARGO_PKG_VERSION"))], 1),
        );
    }

    /// A new counter; its name ends in `_total`.
    #[must_use]
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        let counter = Counter::default();
        let read = counter.clone();
        self.family(name, help, "counter", move |samples| {
            samples.add("", &[], read.value());
        });
        counter
    }

    /// A new counter for each value of a label; its name ends in `_total`.
    #[must_use]
    pub fn counters<L: Label>(&self, name: &'static str, help: &'static str) -> Counters<L> {
        let counters = Counters {
            counts: L::ALL.iter().map(|_| AtomicU64::default()).collect(),
            label: std::marker::PhantomData::<L>,
        };
        let read = counters.clone();
        self.family(name, help, "counter", move |samples| {
            for label in L::ALL {
                samples.add("", &[(L::KEY, label.value())], read.value(*label));
            }
        });
        counters
    }

    /// A new gauge.
    #[must_use]
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        let read = gauge.clone();
        self.family(name, help, "gauge", move |samples| {
            samples.add("", &[], read.value());
        });
        gauge
    }

    /// A gauge that is asked for at each scrape, and left out while there is nothing to tell.
    pub fn measured(
        &self,
        name: &'static str,
        help: &'static str,
        measure: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        self.gauges(name, help, move |samples| {
            if let Some(value) = measure() {
                samples.add("", &[], value);
            }
        });
    }

    /// Gauges with labels that are asked for at each scrape, as [`Samples::gauge`] takes them.
    pub fn gauges(
        &self,
        name: &'static str,
        help: &'static str,
        samples: impl Fn(&mut Samples<'_>) + Send + Sync + 'static,
    ) {
        self.family(name, help, "gauge", samples);
    }

    /// A new histogram of durations; its name ends in `_seconds`.
    #[must_use]
    pub fn histogram(&self, name: &'static str, help: &'static str) -> Histogram {
        let histogram = Histogram::default();
        let read = histogram.clone();
        self.family(name, help, "histogram", move |samples| read.write(samples));
        histogram
    }

    /// All families, as a scrape gets them.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        for family in self.families().iter() {
            let Family {
                name, help, kind, ..
            } = family;
            // Writing to a String does not fail.
            let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            (family.samples)(&mut Samples {
                name,
                page: &mut page,
            });
        }
        page
    }

    fn family(
        &self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
        samples: impl Fn(&mut Samples<'_>) + Send + Sync + 'static,
    ) {
        debug_assert!(name.starts_with(PREFIX), "{name} begins with {PREFIX}");
        debug_assert!(!help.contains('\n'), "the help of {name} is one line");
        let mut families = self.families();
        let known = families.iter().any(|family| family.name == name);
        debug_assert!(!known, "{name} is registered once");
        families.push(Family {
            name,
            help,
            kind,
            samples: Box::new(samples),
        });
    }

    fn families(&self) -> std::sync::MutexGuard<'_, Vec<Family>> {
        // A push either happened or did not, so a panic elsewhere leaves nothing half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Samples<'_> {
    /// One gauge, told from the others of its family by labels; values of labels may be any text.
    pub fn gauge(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.add("", labels, value);
    }

    fn add(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        self.page.push_str(self.name);
        self.page.push_str(suffix);
        for (number, (key, text)) in labels.iter().enumerate() {
            let open = if number == 0 { '{' } else { ',' };
            let _ = write!(self.page, "{open}{key}=\"{}\"", escaped(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.page, "{close} {value}");
    }
}

/// The text of a label as the format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

impl Counter {
    /// Counts one more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were counted.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<L: Label> Counters<L> {
    /// Counts one more of that value.
    pub fn add(&self, label: L) {
        if let Some(count) = self.count(label) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many of that value were counted.
    #[must_use]
    pub fn value(&self, label: L) -> u64 {
        self.count(label)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn count(&self, label: L) -> Option<&AtomicU64> {
        let index = L::ALL.iter().position(|known| *known == label)?;
        self.counts.get(index)
    }
}

impl Gauge {
    /// Replaces the number.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Counts one more for as long as the result is held.
    #[must_use]
    pub fn hold(&self) -> Held {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(self.clone())
    }

    /// The number.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.0.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0.sum.fetch_add(microseconds, Ordering::Relaxed);
    }

    fn write(&self, samples: &mut Samples<'_>) {
        let bounds = BUCKETS.iter().map(ToString::to_string);
        let bounds = bounds.chain(["+Inf".to_owned()]);
        let mut total = 0;
        for (bound, count) in bounds.zip(&self.0.counts) {
            total += count.load(Ordering::Relaxed);
            samples.add("_bucket", &[("le", &bound)], total);
        }
        let sum = Duration::from_micros(self.0.sum.load(Ordering::Relaxed));
        samples.add("_sum", &[], sum.as_secs_f64());
        samples.add("_count", &[], total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq)]
    enum Fruit {
        Apple,
        Pear,
    }

    impl Label for Fruit {
        const KEY: &'static str = "fruit";
        const ALL: &'static [Self] = &[Self::Apple, Self::Pear];

        fn value(self) -> &'static str {
            match self {
                Self::Apple => "apple",
                Self::Pear => "pear",
            }
        }
    }

    #[test]
    fn every_value_of_a_label_is_there_from_the_start() {
        let registry = Registry::default();
        let fruit = registry.counters("gpu_capgate_fruit_total", "Fruit by kind.");
        fruit.add(Fruit::Pear);
        let expected = "# HELP gpu_capgate_fruit_total Fruit by kind.\n\
                        # TYPE gpu_capgate_fruit_total counter\n\
                        gpu_capgate_fruit_total{fruit=\"apple\"} 0\n\
                        gpu_capgate_fruit_total{fruit=\"pear\"} 1\n";
        assert_eq!(registry.page(), expected);
    }

    #[test]
    fn what_is_held_is_counted_until_it_is_dropped() {
        let registry = Registry::default();
        let gauge = registry.gauge("gpu_capgate_open", "Open.");
        let held = (gauge.hold(), gauge.hold());
        assert!(registry.page().ends_with("gpu_capgate_open 2\n"));
        drop(held);
        assert_eq!(gauge.value(), 0);
    }

    #[test]
    fn buckets_are_cumulative_and_a_bound_is_inside() {
        let registry = Registry::default();
        let took = registry.histogram("gpu_capgate_took_seconds", "Took.");
        for milliseconds in [1, 2, 9000] {
            took.observe(Duration::from_millis(milliseconds));
        }
        let page = registry.page();
        for line in [
            "gpu_capgate_took_seconds_bucket{le=\"0.0005\"} 0\n",
            "gpu_capgate_took_seconds_bucket{le=\"0.001\"} 1\n",
            "gpu_capgate_took_seconds_bucket{le=\"0.0025\"} 2\n",
            "gpu_capgate_took_seconds_bucket{le=\"5\"} 2\n",
            "gpu_capgate_took_seconds_bucket{le=\"+Inf\"} 3\n",
            "gpu_capgate_took_seconds_sum 9.003\n",
            "gpu_capgate_took_seconds_count 3\n",
        ] {
            assert!(page.contains(line), "{line}{page}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let registry = Registry::default();
        registry.measured("gpu_capgate_age_seconds", "Age.", || None);
        let page = registry.page();
        assert!(page.lines().all(|line| line.starts_with('#')), "{page}");
    }

    #[test]
    fn the_text_of_a_label_cannot_break_out() {
        let registry = Registry::default();
        registry.gauges("gpu_capgate_info", "Info.", |samples| {
            samples.gauge(&[("text", "a\"} 1\n\\"), ("other", "b")], 1.0);
        });
        let line = "gpu_capgate_info{text=\"a\\\"} 1\\n\\\\\",other=\"b\"} 1\n";
        assert!(registry.page().ends_with(line), "{}", registry.page());
    }
}
