//! What is sent of a finding: the reply, the replies by the age of the owner, the audit annotations, and the word to the
//! owner.
//!
//! Decides nothing.

use super::envelope::{Request, Response, Status, StatusCause};
use super::{Bypass, Finding, Judged, Lenient, Reply, words};
use crate::admission::answer::{Answer, CauseLine};
use crate::admission::decision::Decision;
use crate::admission::events::{Notice, Run};
use crate::admission::message;
use crate::admission::policy::{Existing, Policy};
use crate::cluster::demand::Workload;

/// Most warnings that one review sends.
const WARNING_COUNT: usize = 10;
/// Why a refusal only warns: for the user, and for the audit log.
const OLDER: (&str, &str) = (
    "; admitted, for its owner is older than this check (enforceExisting refuses it)",
    "older than the installation",
);
const NOT_KNOWN: (&str, &str) = (
    "; admitted, for the age of its owner is not known now (enforceExisting refuses it)",
    "of unknown age",
);

/// A review with everything that is to be sent of it.
pub(super) fn judged(
    request: &Request<'_>,
    workload: &Workload,
    finding: &Finding,
    policy: &Policy,
) -> Judged {
    let owned = workload.owner.is_some() && policy.existing == Existing::Warned;
    let lenient = (owned && finding.answer.decision == Decision::Deny).then(|| Lenient {
        older: lenient(&request.uid, finding, OLDER),
        unknown: lenient(&request.uid, finding, NOT_KNOWN),
    });
    Judged {
        lenient,
        notice: notice(request, workload, &finding.answer),
        bypasses: bypasses(finding),
        reply: reply(&request.uid, finding),
    }
}

fn bypasses(finding: &Finding) -> Vec<Bypass> {
    let exempt = finding.exemption.as_ref().map(|_| Bypass::Exemption);
    let declared = finding.declared.as_ref().map(|_| Bypass::Declaration);
    let found = exempt.into_iter().chain(finding.mode.by).chain(declared);
    found.collect()
}

fn reply(uid: &str, finding: &Finding) -> Reply {
    let answer = &finding.answer;
    let mut response = Response::admitted(uid);
    annotate(&mut response, finding);
    if answer.decision == Decision::Deny {
        let causes = answer.causes.iter().map(status_cause).collect();
        response.allowed = false;
        response.status = Some(Status::forbidden(answer.text.clone(), causes));
    }
    let warnings = answer.warnings().take(WARNING_COUNT);
    response.warnings = warnings.map(str::to_owned).collect();
    response.into_reply()
}

/// The same as a warning, for a reason that lies in the owner.
fn lenient(uid: &str, finding: &Finding, (reason, owner): (&str, &str)) -> Reply {
    let answer = &finding.answer;
    let mut response = Response::admitted(uid);
    annotate(&mut response, finding);
    let annotations = &mut response.audit_annotations;
    annotations.insert("decision", Decision::Warn.to_string());
    annotations.insert("owner", owner.to_owned());
    let causes = answer.causes.iter();
    let lines = causes.map(|cause| message::complaint(&format!("{}{reason}", cause.line)));
    response.warnings = lines.chain(answer.advice.iter().cloned()).collect();
    response.warnings.truncate(WARNING_COUNT);
    response.into_reply()
}

fn annotate(response: &mut Response, finding: &Finding) {
    let (answer, mode) = (&finding.answer, finding.mode);
    let mut annotate = |key, text: String| {
        if !text.is_empty() {
            response.audit_annotations.insert(key, text);
        }
    };
    annotate("decision", answer.decision.to_string());
    annotate("codes", words(&answer.codes));
    annotate(
        "cause",
        answer.text.lines().next().unwrap_or_default().to_owned(),
    );
    annotate("image", answer.image.clone());
    annotate("evidence", answer.evidence.clone());
    if answer.verdict != answer.decision {
        annotate("verdict", answer.verdict.to_string());
    }
    if let Some(by) = mode.by {
        annotate("mode", format!("{} ({})", mode.mode.word(), by.word()));
    }
    annotate("exemption", finding.exemption.clone().unwrap_or_default());
    annotate("declared", finding.declared.clone().unwrap_or_default());
}

fn status_cause(cause: &CauseLine) -> StatusCause {
    StatusCause {
        reason: cause.code.map(|code| code.to_string()).unwrap_or_default(),
        message: cause.line.clone(),
        field: cause.field.to_string(),
    }
}

/// What the owner is to be told of a refusal or a warning.
fn notice(request: &Request<'_>, workload: &Workload, answer: &Answer) -> Option<Notice> {
    let owner = workload.owner.clone()?;
    let text = match answer.decision {
        Decision::Deny => answer.text.as_str(),
        Decision::Warn => answer.warnings().next()?,
        Decision::Allow | Decision::Undecided => return None,
    };
    Some(Notice {
        namespace: request.namespace.as_deref()?.to_owned(),
        owner,
        code: *answer.codes.first()?,
        text: text.to_owned(),
        run: if request.dry_run { Run::Dry } else { Run::Real },
    })
}
