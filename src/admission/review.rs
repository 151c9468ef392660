//! One review: JSON in, an answer out, with what `hearing` needs to end it. `moment` judges, `envelope` is the shape of
//! what comes and goes.

mod envelope;
mod moment;

use self::envelope::{Request, Response, Status, StatusCause};
use self::moment::{Finding, Moment};
use super::answer::{Answer, CauseLine};
use super::decision::Decision;
use super::events::{Notice, Run};
use super::message;
use super::policy::{Existing, Policy};
use super::reload::SharedConfiguration;
use crate::cluster::demand::Workload;
use crate::cluster::watch::SharedCluster;
use crate::compat::Code;
use crate::image::repositories::Repositories;
pub use envelope::{BadReview, Reply};

/// Most warnings that one review sends.
const WARNING_COUNT: usize = 10;
/// What becomes of an object that is not understood, and why.
const UNCHECKED: &str = "unchecked";
const NOT_UNDERSTOOD: &str = "bad-body";
/// What is added to a refusal that only warns.
const LENIENT: &str =
    "; admitted, for its owner is older than this check (enforceExisting refuses it)";

/// Answers reviews.
pub struct Reviewer {
    /// What is known of the cluster.
    pub cluster: SharedCluster,
    /// What the administrator chose.
    pub configuration: SharedConfiguration,
    /// Families of images.
    pub repositories: Repositories,
}

/// What a review came to, before anybody outside is asked.
#[derive(Debug)]
pub struct Judged {
    /// The answer.
    pub reply: Reply,
    /// The answer if the object's owner turns out to be older than the installation; none where that changes nothing.
    pub lenient: Option<Reply>,
    /// What the object's owner is to be told, if there is an owner and something to say.
    pub notice: Option<Notice>,
    /// By what it got past a refusal, or past being looked at.
    pub bypass: Option<Bypass>,
}

/// By whose word something is not refused, or not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bypass {
    /// The Pod's annotation.
    Pod,
    /// The Namespace's label.
    Namespace,
    /// An exemption of the configuration.
    Exemption,
}

impl Judged {
    fn silent(uid: &str) -> Self {
        Self {
            reply: Response::admitted(uid).into_reply(),
            lenient: None,
            notice: None,
            bypass: None,
        }
    }

    /// An object that cannot be read: it is admitted, and the answer says so.
    fn not_understood(uid: &str) -> Self {
        let mut response = Response::admitted(uid);
        let annotations = &mut response.audit_annotations;
        annotations.insert("decision", UNCHECKED.to_owned());
        annotations.insert("reason", NOT_UNDERSTOOD.to_owned());
        Self {
            reply: response.into_reply(),
            ..Self::silent(uid)
        }
    }
}

impl Reviewer {
    /// What a review in JSON comes to.
    ///
    /// # Errors
    /// The body is no review at all. An object that is not understood is admitted.
    pub fn answer(&self, body: &[u8]) -> Result<Judged, BadReview> {
        let request = Request::read(body)?;
        let (cluster, configuration) = (self.cluster.load(), self.configuration.load());
        let moment = Moment {
            cluster: &cluster,
            configuration: &configuration,
            repositories: &self.repositories,
            namespace: request.namespace.as_deref().unwrap_or_default(),
        };
        let workload = match moment.workload(&request) {
            Ok(Some(workload)) => workload,
            Ok(None) => return Ok(Judged::silent(&request.uid)),
            Err(error) => {
                tracing::warn!(%error, uid = %request.uid, "an object that is not understood is admitted");
                return Ok(Judged::not_understood(&request.uid));
            }
        };
        let finding = moment.review(workload.groups.iter().map(|group| &group.demand));
        log(&request, &workload, &finding);
        Ok(judged(&request, &workload, &finding, &configuration.policy))
    }
}

impl Bypass {
    /// Where it is written.
    const fn place(self) -> &'static str {
        match self {
            Self::Pod => "annotation",
            Self::Namespace => "the namespace's label",
            Self::Exemption => "exemption",
        }
    }

    /// The word for it in metrics and audit annotations.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Namespace => "namespace",
            Self::Exemption => "exemption",
        }
    }
}

fn log(request: &Request<'_>, workload: &Workload, finding: &Finding) {
    tracing::info!(
        uid = %request.uid,
        namespace = request.namespace.as_deref(),
        kind = workload.kind.kind,
        decision = %finding.answer.decision,
        verdict = %finding.answer.verdict,
        mode = finding.mode.mode.word(),
        codes = words(&finding.answer.codes),
        "reviewed"
    );
}

fn words(codes: &[Code]) -> String {
    let words: Vec<&str> = codes.iter().map(|code| code.word()).collect();
    words.join(",")
}

fn judged(
    request: &Request<'_>,
    workload: &Workload,
    finding: &Finding,
    policy: &Policy,
) -> Judged {
    let bypass = match (&finding.exemption, finding.mode.by) {
        (Some(_), _) => Some(Bypass::Exemption),
        (None, by) => by,
    };
    let owned = workload.owner.is_some() && policy.existing == Existing::Warned;
    let lenient = (owned && finding.answer.decision == Decision::Deny)
        .then(|| lenient(&request.uid, finding));
    Judged {
        lenient,
        notice: notice(request, workload, &finding.answer),
        bypass,
        reply: reply(&request.uid, finding),
    }
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
    response.warnings = answer.clone().warnings();
    response.warnings.truncate(WARNING_COUNT);
    response.into_reply()
}

/// The same as a warning, for an owner that is older than the installation.
fn lenient(uid: &str, finding: &Finding) -> Reply {
    let answer = &finding.answer;
    let mut response = Response::admitted(uid);
    annotate(&mut response, finding);
    let annotations = &mut response.audit_annotations;
    annotations.insert("decision", Decision::Warn.to_string());
    annotations.insert("owner", "older than the installation".to_owned());
    let causes = answer.causes.iter();
    let lines = causes.map(|cause| message::complaint(&format!("{}{LENIENT}", cause.line)));
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
    let text = match answer.decision {
        Decision::Deny => answer.text.clone(),
        Decision::Warn => answer.clone().warnings().into_iter().next()?,
        Decision::Allow | Decision::Undecided => return None,
    };
    Some(Notice {
        namespace: request.namespace.as_deref()?.to_owned(),
        owner: workload.owner.clone()?,
        code: *answer.codes.first()?,
        text,
        run: if request.dry_run { Run::Dry } else { Run::Real },
    })
}
