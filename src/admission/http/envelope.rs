//! Reads no more of a review than it takes to admit it unchecked: whether it is one, and its uid. Also from the beginning
//! of a body alone.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

/// The uid of a review, if this is the beginning of one.
pub(super) fn uid(body: &[u8]) -> Option<String> {
    let mut found = Found::default();
    // It ends in an error where the body is cut off; what was found before that stands.
    let _ = Review(&mut found).deserialize(&mut serde_json::Deserializer::from_slice(body));
    let is_review = found.api_version.as_deref() == Some("admission.k8s.io/v1")
        && found.kind.as_deref() == Some("AdmissionReview");
    found.uid.filter(|_| is_review)
}

/// The answer that admits an object and says in the audit log that nobody looked at it, and why.
pub(super) fn unchecked(uid: &str, reason: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {
            "uid": uid, "allowed": true,
            "auditAnnotations": {"decision": "unchecked", "reason": reason},
        },
    })
}

#[derive(Default)]
struct Found {
    api_version: Option<String>,
    kind: Option<String>,
    uid: Option<String>,
}

struct Review<'a>(&'a mut Found);
struct Request<'a>(&'a mut Found);

impl<'de> DeserializeSeed<'de> for Review<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Review<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an AdmissionReview")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "apiVersion" => self.0.api_version = Some(map.next_value()?),
                "kind" => self.0.kind = Some(map.next_value()?),
                "request" => map.next_value_seed(Request(&mut *self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Request<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Request<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the request of an AdmissionReview")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "uid" => self.0.uid = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the API server writes it (`AdmissionReview` in k8s.io/api/admission/v1/types.go, in the order of its fields).
    const REVIEW: &str = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u-1","kind":{"group":"","version":"v1","kind":"Pod"},"object":{"kind":"Pod"}}}"#;

    #[test]
    fn the_beginning_of_a_review_is_enough() {
        let end_of_uid = REVIEW.find("u-1").unwrap() + "u-1\"".len();
        for length in 0..REVIEW.len() {
            let expected = (length >= end_of_uid).then(|| "u-1".to_owned());
            assert_eq!(uid(&REVIEW.as_bytes()[..length]), expected, "{length}");
        }
    }

    #[test]
    fn what_is_no_review_has_no_uid() {
        for other in [
            "",
            "[]",
            "{}",
            r#"{"request":{"uid":"u-1"}}"#,
            r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"u-1"}}"#,
            r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":1}}"#,
            r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","uid":"u-1"}"#,
        ] {
            assert_eq!(uid(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn nesting_that_no_parser_follows_does_not_hide_the_uid() {
        let deep = format!("\"object\":{}", "[".repeat(100_000));
        let review = REVIEW.replace(r#""object":{"kind":"Pod"}}}"#, &deep);
        assert_eq!(uid(review.as_bytes()), Some("u-1".to_owned()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(start in 0..REVIEW.len(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut body = REVIEW.as_bytes()[..start].to_vec();
            body.extend(bytes);
            let _ = uid(&body);
        }
    }
}
