//! The shape of a review and of its answer, as far as both matter here
//! (`AdmissionReview` in k8s.io/api/admission/v1/types.go). Objects stay plain JSON: they are read once, by `demand`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::object::Object;
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};

/// The only version there is.
const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// A body that is no review. The API server shows the text to the user.
#[derive(Debug, thiserror::Error)]
pub enum BadReview {
    /// Not JSON, or not of the shape of an AdmissionReview.
    #[error("the body is no AdmissionReview: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A review of another version.
    #[error("apiVersion and kind must be admission.k8s.io/v1 AdmissionReview")]
    WrongKind,
    /// A review without a request.
    #[error("the AdmissionReview has no request")]
    NoRequest,
}

/// What the API server asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    pub(super) uid: Cow<'a, str>,
    pub(super) operation: Operation,
    #[serde(default)]
    pub(super) sub_resource: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) namespace: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) dry_run: bool,
    #[serde(default)]
    pub(super) object: Option<Object>,
    #[serde(default)]
    pub(super) old_object: Option<Object>,
}

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    request: Option<Request<'a>>,
}

impl<'a> Request<'a> {
    /// The request of a review.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, BadReview> {
        let review: Review<'a> = serde_json::from_slice(body)?;
        if review.api_version != API_VERSION || review.kind != KIND {
            return Err(BadReview::WrongKind);
        }
        review.request.ok_or(BadReview::NoRequest)
    }
}

/// The answer to a review, ready to be sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    api_version: &'static str,
    kind: &'static str,
    response: Response,
}

impl Reply {
    /// What became of the object; `None` if it was none of our business.
    #[must_use]
    pub fn decision(&self) -> Option<&str> {
        let decision = self.response.audit_annotations.get("decision");
        decision.map(String::as_str)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    pub(super) uid: String,
    pub(super) allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<Status>,
    /// Base64 of a JSON Patch; the answer to a validating webhook's question has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) patch: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) audit_annotations: BTreeMap<&'static str, String>,
}

/// Why something is refused (`metav1.Status`).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Status {
    #[serde(rename = "status")]
    outcome: &'static str,
    code: u16,
    reason: &'static str,
    message: String,
    details: Details,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Details {
    causes: Vec<StatusCause>,
}

/// One cause of a refusal (`metav1.StatusCause`).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct StatusCause {
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) field: String,
}

impl Response {
    /// An object that is admitted without a word.
    pub(super) fn admitted(uid: &str) -> Self {
        Self {
            uid: uid.to_owned(),
            allowed: true,
            status: None,
            patch: None,
            patch_type: None,
            warnings: Vec::new(),
            audit_annotations: BTreeMap::new(),
        }
    }

    pub(super) fn into_reply(self) -> Reply {
        Reply {
            api_version: API_VERSION,
            kind: KIND,
            response: self,
        }
    }
}

impl Status {
    /// A refusal: code 403, reason Forbidden.
    pub(super) fn forbidden(message: String, causes: Vec<StatusCause>) -> Self {
        Self {
            outcome: "Failure",
            code: 403,
            reason: "Forbidden",
            message,
            details: Details { causes },
        }
    }
}
