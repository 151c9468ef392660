//! The grammar of one requirement: spaces are OR, commas are AND, a condition is `property operator value`.

use std::fmt;
use std::sync::Arc;

use crate::compat::host::Brand;
use crate::compat::target::ComputeCapability;
use crate::compat::version::{CudaVersion, DottedVersion, DriverVersion};

/// What a condition asks about. Names are case-insensitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Property {
    /// CUDA version that the host's driver offers; forward-compatibility libraries do not count.
    Cuda,
    /// The host's driver.
    Driver,
    /// The GPU's compute capability.
    Arch,
    /// The GPU's brand.
    Brand,
}

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`, of which the runtime also takes a lone `!`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// One comparison, or text that the runtime cannot read and refuses when it comes to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Condition {
    /// A comparison of versions.
    Version(Property, Operator, DottedVersion),
    /// A comparison of the brand; compared in lower case.
    Brand(Operator, Arc<str>),
    /// Not readable; the text as written.
    Invalid(Arc<str>),
}

/// Conditions that must hold together (joined by commas).
pub type Term = Box<[Condition]>;

/// Alternatives of which one must hold (joined by spaces); none at all is satisfied.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Expression(pub Box<[Term]>);

/// What is known about the host when a requirement is evaluated.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostProperties<'a> {
    /// CUDA version that the driver offers.
    pub cuda: Option<CudaVersion>,
    /// The driver.
    pub driver: Option<DriverVersion>,
    /// The GPU's capability.
    pub capability: Option<ComputeCapability>,
    /// The GPU's brand.
    pub brand: Option<&'a Brand>,
}

/// What an evaluation gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The container starts.
    Satisfied,
    /// It does not.
    Unsatisfied,
    /// The runtime meets something it cannot read, and the container does not start.
    Invalid,
    /// It depends on something that is not known about the host.
    Unknown,
}

impl Expression {
    /// Reads a requirement. Any text has a meaning; what the runtime could not read is [`Condition::Invalid`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let terms = text.split(' ').filter(|term| !term.is_empty());
        let conditions = |term: &str| {
            term.split(',')
                .filter(|part| !part.is_empty())
                .map(Condition::parse)
                .collect()
        };
        Self(
            terms
                .map(conditions)
                .filter(|term: &Term| !term.is_empty())
                .collect(),
        )
    }

    /// Evaluates it as the legacy runtime does: left to right, no further than needed.
    #[must_use]
    pub fn evaluate(&self, host: &HostProperties<'_>) -> Answer {
        let mut answer = if self.0.is_empty() {
            Answer::Satisfied
        } else {
            Answer::Unsatisfied
        };
        for term in &self.0 {
            match (evaluate_term(term, host), answer) {
                (Answer::Satisfied, _) => return Answer::Satisfied,
                // After an open alternative the runtime may or may not get here.
                (Answer::Invalid, Answer::Unknown) => return Answer::Unknown,
                (Answer::Invalid, _) => return Answer::Invalid,
                (Answer::Unknown, _) => answer = Answer::Unknown,
                (Answer::Unsatisfied, _) => {}
            }
        }
        answer
    }

    /// The first alternative, which is all that the runtime prints.
    #[must_use]
    pub fn first_alternative(&self) -> String {
        self.0.first().map_or_else(String::new, print_term)
    }
}

fn evaluate_term(term: &Term, host: &HostProperties<'_>) -> Answer {
    let mut answer = Answer::Satisfied;
    for condition in term {
        match (condition.evaluate(host), answer) {
            (Answer::Unsatisfied, _) => return Answer::Unsatisfied,
            (Answer::Invalid, Answer::Unknown) => return Answer::Unknown,
            (Answer::Invalid, _) => return Answer::Invalid,
            (Answer::Unknown, _) => answer = Answer::Unknown,
            (Answer::Satisfied, _) => {}
        }
    }
    answer
}

impl Condition {
    fn parse(text: &str) -> Self {
        Self::read(text).unwrap_or_else(|| Self::Invalid(text.into()))
    }

    fn read(text: &str) -> Option<Self> {
        let at = text.find(['=', '!', '<', '>'])?;
        let (name, rest) = text.split_at_checked(at)?;
        let property = Property::read(name)?;
        let (operator, value) = Operator::read(rest)?;
        match property {
            Property::Brand => {
                let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
                (equality && !value.is_empty())
                    .then(|| Self::Brand(operator, value.to_ascii_lowercase().into()))
            }
            Property::Cuda | Property::Driver | Property::Arch => {
                Some(Self::Version(property, operator, value.parse().ok()?))
            }
        }
    }

    fn evaluate(&self, host: &HostProperties<'_>) -> Answer {
        match self {
            Self::Invalid(_) => Answer::Invalid,
            Self::Brand(operator, wanted) => {
                let same = host.brand.map(|brand| brand.as_str() == &**wanted);
                same.map_or(Answer::Unknown, |same| {
                    answer(same == (*operator == Operator::Equal))
                })
            }
            Self::Version(property, operator, wanted) => {
                let has = property.of(host);
                has.map_or(Answer::Unknown, |has| {
                    answer(operator.holds(has.cmp(wanted)))
                })
            }
        }
    }
}

fn answer(holds: bool) -> Answer {
    if holds {
        Answer::Satisfied
    } else {
        Answer::Unsatisfied
    }
}

impl Property {
    fn read(name: &str) -> Option<Self> {
        let all = [Self::Cuda, Self::Driver, Self::Arch, Self::Brand];
        all.into_iter()
            .find(|property| property.word().eq_ignore_ascii_case(name))
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Driver => "driver",
            Self::Arch => "arch",
            Self::Brand => "brand",
        }
    }

    fn of(self, host: &HostProperties<'_>) -> Option<DottedVersion> {
        match self {
            Self::Cuda => host
                .cuda
                .map(|cuda| DottedVersion::new(&[cuda.major.into(), cuda.minor.into()])),
            Self::Driver => host.driver.map(DriverVersion::dotted),
            Self::Arch => host
                .capability
                .map(|is| DottedVersion::new(&[is.major().into(), is.minor().into()])),
            Self::Brand => None,
        }
    }
}

impl Operator {
    /// Splits the operator off; the rest may not start with another one (`==` is not an operator).
    fn read(text: &str) -> Option<(Self, &str)> {
        let operators = [
            ("!=", Self::NotEqual),
            ("<=", Self::LessOrEqual),
            (">=", Self::GreaterOrEqual),
            ("!", Self::NotEqual),
            ("=", Self::Equal),
            ("<", Self::Less),
            (">", Self::Greater),
        ];
        let found = operators
            .into_iter()
            .find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)));
        found.filter(|(_, value)| !value.starts_with(['=', '!', '<', '>']))
    }

    const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(property, operator, value) => {
                write!(formatter, "{}{}{value}", property.word(), operator.sign())
            }
            Self::Brand(operator, brand) => write!(formatter, "brand{}{brand}", operator.sign()),
            Self::Invalid(text) => formatter.write_str(text),
        }
    }
}

fn print_term(term: &Term) -> String {
    let conditions: Vec<String> = term.iter().map(ToString::to_string).collect();
    conditions.join(",")
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms: Vec<String> = self.0.iter().map(print_term).collect();
        formatter.write_str(&terms.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn evaluate(text: &str, cuda: &str, driver: &str, brand: &str) -> Answer {
        let brand: Brand = brand.parse().unwrap();
        let host = HostProperties {
            cuda: cuda.parse().ok(),
            driver: driver.parse().ok(),
            capability: "8.0".parse().ok(),
            brand: Some(&brand),
        };
        Expression::parse(text).evaluate(&host)
    }

    /// The value that CUDA 12.4 base images carry, cut to two brands.
    const BASE_12_4: &str = "cuda>=12.4 brand=tesla,driver>=470,driver<471 brand=nvidia,driver>=470,driver<471 \
                             brand=tesla,driver>=525,driver<526 brand=nvidia,driver>=535,driver<536";

    #[test]
    fn a_base_image_accepts_the_listed_branches_by_brand() {
        assert_eq!(
            evaluate(BASE_12_4, "12.4", "550.54.15", "geforce"),
            Answer::Satisfied
        );
        assert_eq!(
            evaluate(BASE_12_4, "11.4", "470.57.02", "tesla"),
            Answer::Satisfied
        );
        assert_eq!(
            evaluate(BASE_12_4, "12.2", "535", "nvidia"),
            Answer::Satisfied
        );
        assert_eq!(
            evaluate(BASE_12_4, "12.2", "535.104.05", "geforce"),
            Answer::Unsatisfied
        );
        assert_eq!(
            evaluate(BASE_12_4, "12.3", "545.23.06", "nvidia"),
            Answer::Unsatisfied
        );
    }

    #[test]
    fn names_and_brands_ignore_case_and_missing_fields_count_as_zero() {
        assert_eq!(
            evaluate("CUDA>=12.4.0", "12.4", "550.54.14", "nvidia"),
            Answer::Satisfied
        );
        assert_eq!(
            evaluate("brand=TESLA", "12.4", "550.54.14", "Tesla"),
            Answer::Satisfied
        );
    }

    #[test]
    fn a_doubled_equals_sign_and_unknown_names_are_invalid() {
        for text in [
            "cuda==12.4",
            "gpu>=1",
            "cuda>=abc",
            "brand>tesla",
            "cuda",
            "=12",
        ] {
            assert_eq!(
                evaluate(text, "12.4", "550.54.14", "nvidia"),
                Answer::Invalid,
                "{text}"
            );
        }
        assert_eq!(
            evaluate("cuda!11.0", "12.4", "550.54.14", "nvidia"),
            Answer::Satisfied
        );
    }

    #[test]
    fn what_stands_after_a_satisfied_alternative_is_never_read() {
        assert_eq!(
            evaluate("cuda>=11.0 nonsense", "12.4", "550.54.14", "nvidia"),
            Answer::Satisfied
        );
        assert_eq!(
            evaluate("nonsense cuda>=11.0", "12.4", "550.54.14", "nvidia"),
            Answer::Invalid
        );
        assert_eq!(
            evaluate("cuda>=13.0,nonsense", "12.4", "550.54.14", "nvidia"),
            Answer::Unsatisfied
        );
    }

    #[test]
    fn an_empty_requirement_is_satisfied() {
        for text in ["", "  ", ",", " , "] {
            assert_eq!(
                evaluate(text, "12.4", "550.54.14", "nvidia"),
                Answer::Satisfied,
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_we_do_not_know_is_unknown_unless_it_does_not_matter() {
        let host = HostProperties {
            cuda: "12.2".parse().ok(),
            ..HostProperties::default()
        };
        assert_eq!(
            Expression::parse("cuda>=12.4 brand=tesla").evaluate(&host),
            Answer::Unknown
        );
        assert_eq!(
            Expression::parse("brand=tesla cuda>=12.0").evaluate(&host),
            Answer::Satisfied
        );
        assert_eq!(
            Expression::parse("brand=tesla,cuda>=12.4").evaluate(&host),
            Answer::Unsatisfied
        );
    }

    proptest! {
        #[test]
        fn any_text_parses_and_evaluates(text in ".{0,200}") {
            let host = HostProperties::default();
            let _ = Expression::parse(&text).evaluate(&host);
        }

        #[test]
        fn printing_and_parsing_is_stable(text in "(((cuda|driver|arch)(=|!=|<|<=|>|>=)[0-9]{1,3}(\\.[0-9]{1,2}){0,2}|brand=[a-z]{1,8}|x[a-z]{0,3})[, ]{0,2}){0,6}") {
            let once = Expression::parse(&text);
            prop_assert_eq!(Expression::parse(&once.to_string()), once);
        }
    }
}
