//! Reads one document: its value, and where its images are written.
//!
//! YAML 1.2 by serde-saphyr, which reads JSON as well and tells where a value stands. Only the values of fields named
//! `image` and `kind` are asked for their places, since asking costs time.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::granit_parser::ErrorKind;
use serde_saphyr::{Error, ExternalMessageSource, Options, Spanned};

use super::split::Chunk;
use super::{Limits, MAX_DEPTH, Position, Problem};
use crate::cluster::workload::{FieldPath, Step};

/// Longest complaint of the parser that is repeated, in characters: it may quote the document.
const REASON_LIMIT: usize = 200;

/// Places of a document, in its order.
pub(super) type Places = Vec<(FieldPath, Position)>;

/// What a document holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    /// Where it begins, if its `kind` does not say better.
    start: Position,
    /// The value.
    pub(super) value: Value,
    /// Where values of fields named `image`, and `kind`, are written.
    pub(super) images: Places,
}

impl Content {
    /// Where a person would say that it begins.
    pub(super) fn position(&self) -> Position {
        let kind = FieldPath::root().field("kind");
        let found = self.images.iter().find(|(path, _)| *path == kind);
        found.map_or(self.start, |(_, position)| *position)
    }

    /// The items of a list, each with its own places.
    pub(super) fn into_items(self) -> Vec<Self> {
        let start = self.position();
        let mut places: BTreeMap<usize, Places> = BTreeMap::new();
        for (path, position) in self.images {
            if let Some((index, path)) = item_of(&path) {
                places.entry(index).or_default().push((path, position));
            }
        }
        let items = match self.value {
            Value::Object(mut fields) => fields.remove("items"),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => None,
        };
        let items = match items {
            Some(Value::Array(items)) => items,
            Some(_) | None => Vec::new(),
        };
        let item = |(index, value)| Self {
            start,
            value,
            images: places.remove(&index).unwrap_or_default(),
        };
        items.into_iter().enumerate().map(item).collect()
    }
}

/// The item of a list in which a place is, and the place within it.
fn item_of(path: &FieldPath) -> Option<(usize, FieldPath)> {
    match path.steps() {
        [Step::Field(items), Step::Index(index), rest @ ..] if items.as_ref() == "items" => {
            Some((*index, FieldPath::from(rest.to_vec())))
        }
        _ => None,
    }
}

/// What a document holds; `None` if it is empty.
pub(super) fn content(
    chunk: &Chunk<'_>,
    limits: &Limits,
) -> Result<Option<Content>, (Position, Problem)> {
    let text = std::str::from_utf8(chunk.bytes).map_err(|error| {
        let good = chunk.bytes.get(..error.valid_up_to()).unwrap_or_default();
        (super::split::after(chunk.start, good), Problem::NotUtf8)
    })?;
    let mut state = State {
        path: Vec::new(),
        places: Vec::new(),
        start: chunk.start,
        limits,
        problem: None,
    };
    let read = serde_saphyr::with_deserializer_from_str_with_options(
        text,
        options(limits),
        |deserializer| Node { state: &mut state }.deserialize(deserializer),
    );
    match read {
        Ok(Value::Null) => Ok(None),
        Ok(value) => Ok(Some(Content {
            start: chunk.start,
            value,
            images: state.places,
        })),
        Err(error) => Err(fault(text, chunk, &error, state)),
    }
}

/// What made reading fail, and where.
fn fault(text: &str, chunk: &Chunk<'_>, error: &Error, state: State<'_>) -> (Position, Problem) {
    let told = error.location().map_or(chunk.start, |location| {
        moved(chunk.start, location.line(), location.column())
    });
    match state.problem {
        Some((position, problem)) => (position.unwrap_or(told), problem),
        None => (told, problem(text, error.without_snippet(), state.limits)),
    }
}

fn options(limits: &Limits) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: limits.nodes.saturating_mul(3),
            max_nodes: limits.nodes,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_total_scalar_bytes: limits.bytes,
            max_recorded_anchor_events: limits.alias_nodes,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: limits.alias_nodes,
        },
        // In YAML 1.2, which Kubernetes' own parser follows here, `y` and `on` are words.
        strict_booleans: true,
        null_as_string: true,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    }
}

/// The place in the source of a place in a document.
fn moved(start: Position, line: u64, column: u64) -> Position {
    match line {
        0 => start,
        1 => Position {
            line: start.line,
            column: start.column + column.saturating_sub(1),
        },
        line => Position {
            line: start.line + line - 1,
            column,
        },
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all other errors of the parser are its own words"
)]
fn problem(text: &str, error: &Error, limits: &Limits) -> Problem {
    let depth = Problem::TooDeep { limit: MAX_DEPTH };
    let aliases = Problem::Aliases {
        limit: limits.alias_nodes,
    };
    match error {
        Error::AliasError { error, .. } => problem(text, error, limits),
        Error::Budget {
            breach: BudgetBreach::Depth { .. },
            ..
        } => depth,
        Error::Budget {
            breach: BudgetBreach::RecordedAnchorEvents { .. } | BudgetBreach::Aliases { .. },
            ..
        }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => aliases,
        Error::Budget { .. } => Problem::TooManyNodes {
            limit: limits.nodes,
        },
        error if parser_error(error) == Some(&ErrorKind::RecursionLimitExceeded) => depth,
        _ if text.contains("{{") && text.contains("}}") => Problem::Unrendered,
        error => Problem::Malformed {
            reason: reason(error),
        },
    }
}

/// What the parser underneath complains of, if it is its complaint.
fn parser_error(error: &Error) -> Option<&ErrorKind> {
    let Error::ExternalMessage { source, .. } = error else {
        return None;
    };
    let ExternalMessageSource::Parser(error) = source.as_ref() else {
        return None;
    };
    Some(error.kind())
}

/// The complaint without its place, which stands before it.
fn reason(error: &Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    reason
        .chars()
        .take(REASON_LIMIT)
        .filter(|letter| !letter.is_control())
        .collect()
}

/// What is wanted of a field.
enum Wanted {
    /// Its value and its place.
    Place,
    /// Its value.
    Value,
}

struct State<'a> {
    path: Vec<Step>,
    places: Places,
    start: Position,
    limits: &'a Limits,
    problem: Option<(Option<Position>, Problem)>,
}

impl State<'_> {
    /// Notes where the field in which reading stands is written.
    fn place(&mut self, position: Position) {
        self.places
            .push((FieldPath::from(self.path.clone()), position));
    }

    /// What is wanted of a field of the mapping in which reading stands.
    fn wants(&self, name: &str) -> Wanted {
        match (name, self.path.as_slice()) {
            ("image", _) | ("kind", [] | [Step::Field(_), Step::Index(_)]) => Wanted::Place,
            _ => Wanted::Value,
        }
    }

    /// Refuses a text that is too long. `position` is where it stands, if that is known better here than to the parser.
    fn text<E: serde::de::Error>(
        &mut self,
        text: &str,
        position: Option<Position>,
    ) -> Result<(), E> {
        let limit = self.limits.scalar_bytes;
        if text.len() <= limit {
            return Ok(());
        }
        let problem = Problem::ScalarTooLong {
            length: text.len(),
            limit,
        };
        let error = E::custom(&problem);
        self.problem = Some((position, problem));
        Err(error)
    }
}

/// A value at the state's path.
struct Node<'a, 's> {
    state: &'a mut State<'s>,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.state.text(value, None)?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            self.state.path.push(Step::Index(values.len()));
            let value = list.next_element_seed(Node {
                state: &mut *self.state,
            })?;
            self.state.path.pop();
            match value {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let wanted = self.state.wants(&name);
            self.state.path.push(Step::Field(name.as_str().into()));
            let value = match wanted {
                Wanted::Place => self.placed(&mut fields)?,
                Wanted::Value => fields.next_value_seed(Node {
                    state: &mut *self.state,
                })?,
            };
            self.state.path.pop();
            values.insert(name, value);
        }
        Ok(Value::Object(values))
    }
}

impl Node<'_, '_> {
    /// The value of the field at the state's path, whose place is noted.
    fn placed<'de, A: MapAccess<'de>>(&mut self, fields: &mut A) -> Result<Value, A::Error> {
        let spanned: Spanned<Value> = fields.next_value()?;
        // Of what stands under an alias, the place of the text itself: that is what a person would change.
        let written = spanned.defined;
        let position = moved(self.state.start, written.line(), written.column());
        if let Some(text) = spanned.value.as_str() {
            self.state.text(text, Some(position))?;
        }
        self.state.place(position);
        Ok(spanned.value)
    }
}
