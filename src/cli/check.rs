//! Arguments of `check`: does this run there?

use std::ffi::OsStr;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, ColorChoice, Command, ValueEnum};

use super::SourceArguments;
use crate::compat::{
    ComputeCapability, CpuArchitecture, DottedVersion, DriverVersion, RuntimeMode, TorchVersion,
};
use crate::image::reference::Reference;
use crate::image::requires::Requires;

/// Longest GPU name that is looked at, in bytes.
const GPU_NAME_LIMIT: usize = 128;
/// Longest part of a wrong value that an error repeats, in characters.
const SHOWN: usize = 64;

const USAGE: &str = "\
gpu-capgate check (--image IMAGE | --torch VERSION | --requires DECLARATION) --gpu NAME[,NAME...]
       gpu-capgate check -f FILE... (--nodes FILE | --context NAME | --gpu NAME[,NAME...])
       gpu-capgate check --all --context NAME";

const AFTER_HELP: &str = "\
Exit status:
  0  it runs, also on some of the GPUs only (unless --strict)
  1  it does not run; of several objects, one of them
  2  the command line or a file cannot be used
  3  it is not known, with --on-unknown=fail

Examples:
  gpu-capgate check --image pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime --gpu \"RTX 4090\"
  gpu-capgate check --torch 2.8.0+cu126 --gpu P100,V100,B200
  gpu-capgate check --requires \"cuda=13.2; ptx=90\" --gpu H100 --driver 580 -o json
  kubectl get nodes -o json > nodes.json; gpu-capgate check -f train.yaml --nodes nodes.json
  helm template . | gpu-capgate check -f - --context production
  gpu-capgate check --all --context production
  kubectl -n gpu-capgate get configmap gpu-capgate-webhook -o yaml > webhook.yaml
  gpu-capgate check --all --context production --config webhook.yaml";

/// Options of the command.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, override_usage = USAGE)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub struct CheckArguments {
    /// Image, judged by its name: nothing is downloaded.
    #[arg(long, value_name = "IMAGE", value_parser = Checked::<Reference>::new(),
          group = "judged", conflicts_with = "torch", required_unless_present_any = ["torch", "requires", "filename", "all"],
          help_heading = "What runs")]
    pub image: Option<Reference>,
    /// Torch as pip installs it on that architecture: 2.6.0 from PyPI, 2.6.0+cu126 from PyTorch's own index.
    #[arg(long, value_name = "VERSION[+VARIANT]", value_parser = Checked::<TorchVersion>::new(),
          conflicts_with_all = ["nodes", "context", "kubeconfig"], help_heading = "What runs")]
    pub torch: Option<TorchVersion>,
    /// What its author declares, as "cuda=12.6; sm=80,90; ptx=90; driver=560"; with an image it fills gaps only.
    #[arg(long, value_name = "DECLARATION", value_parser = Checked::<Requires>::new(),
          help_heading = "What runs")]
    pub requires: Option<Requires>,
    /// Manifests, judged as "kubectl apply" would be answered: files, folders, - for standard input (YAML or JSON).
    #[arg(short, long, value_name = "PATH", group = "judged", conflicts_with_all = ["image", "torch", "requires"],
          help_heading = "What runs")]
    pub filename: Vec<PathBuf>,
    /// Everything that runs in the cluster of --context.
    #[arg(long, group = "judged", conflicts_with_all = ["image", "torch", "requires", "filename", "nodes", "gpu", "compute_capability"],
          help_heading = "What runs")]
    pub all: bool,
    /// GPUs by any usual name, as "RTX 4090" or NVIDIA-A100-SXM4-80GB; several with commas between.
    #[arg(long, value_name = "NAME", value_parser = Checked::<GpuName>::new(), value_delimiter = ',',
          required_unless_present_any = ["compute_capability", "nodes", "context", "kubeconfig", "all"],
          conflicts_with_all = ["nodes", "context", "kubeconfig"], help_heading = "Where")]
    pub gpu: Vec<GpuName>,
    /// Compute capability of GPUs that are not listed, as 8.6; alone, of any such GPU.
    #[arg(long, value_name = "X.Y", value_parser = Checked::<ComputeCapability>::new(),
          help_heading = "Where")]
    pub compute_capability: Option<ComputeCapability>,
    /// NVIDIA driver, as 550.54.15; a bare branch is its newest release. Left out: the newest that drives the GPU.
    #[arg(long, value_name = "VERSION", value_parser = Checked::<DriverVersion>::new(),
          conflicts_with = "jetpack", help_heading = "Where")]
    pub driver: Option<DriverVersion>,
    /// `JetPack` of a Jetson, as 6.2.
    #[arg(long, value_name = "VERSION", value_parser = Checked::<DottedVersion>::new(),
          help = "JetPack of a Jetson, as 6.2", help_heading = "Where")]
    pub jetpack: Option<DottedVersion>,
    /// CPU architecture. Left out: arm64 for Grace, GB10 and Jetson, amd64 for all others.
    #[arg(long, value_name = "ARCH", value_parser = Checked::<CpuArchitecture>::of(&["amd64", "arm64", "ppc64le"]),
          help_heading = "Where")]
    pub arch: Option<CpuArchitecture>,
    /// GPUs that one container asks for.
    #[arg(long, value_name = "N", default_value = "1", value_parser = Checked::<NonZeroU16>::new(),
          help_heading = "Where")]
    pub count: NonZeroU16,
    /// How the node gives GPUs to containers; only legacy enforces `NVIDIA_REQUIRE_*`.
    #[arg(long, value_name = "MODE", value_parser = Checked::<RuntimeMode>::of(&["legacy", "cdi"]),
          help = "How the node gives GPUs to containers; only legacy enforces NVIDIA_REQUIRE_*",
          help_heading = "Where")]
    pub runtime: Option<RuntimeMode>,
    /// Nodes of a file or of a cluster.
    #[command(flatten)]
    pub source: SourceArguments,
    /// The webhook's configuration file, or the ConfigMap that holds it (- for standard input): objects and images are
    /// answered as the webhook would answer them with it. It takes the place of --overlay, --resource, --autoscaled and
    /// --strict.
    #[arg(long, value_name = "FILE", requires = "judged",
          conflicts_with_all = ["torch", "overlay", "resource", "autoscaled", "strict"], help_heading = "How")]
    pub config: Option<PathBuf>,
    /// Namespace of objects that name none. Left out: that of the context, else default.
    #[arg(short, long, value_name = "NAME", help_heading = "How")]
    pub namespace: Option<String>,
    /// Facts and aliases of your own, laid over the built-in ones (TOML).
    #[arg(long, value_name = "FILE", help_heading = "How")]
    pub overlay: Option<PathBuf>,
    /// Exit 1 where it fails on any of the GPUs, whatever the evidence.
    #[arg(long, help_heading = "How")]
    pub strict: bool,
    /// Exit status where it is not known whether it runs: ok is 0, fail is 3.
    #[arg(long, value_name = "WHAT", default_value = "ok", value_parser = Choice::<OnUnknown>::new(),
          help_heading = "How")]
    pub on_unknown: OnUnknown,
    /// Form of the answer; name is the GPUs that it runs on, one a line.
    #[arg(short, long, value_name = "FORM", default_value = "table", value_parser = Choice::<CheckOutput>::new(),
          help_heading = "How")]
    pub output: CheckOutput,
    /// Leave out the headers of tables.
    #[arg(long, help_heading = "How")]
    pub no_headers: bool,
    /// Colours: auto is on a terminal, unless `NO_COLOR` is set.
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = Choice::<ColorChoice>::new(),
          help = "Colours: auto is on a terminal, unless NO_COLOR is set",
          help_heading = "How")]
    pub color: ColorChoice,
    /// Nothing on stderr but errors.
    #[arg(short, long, help_heading = "How")]
    pub quiet: bool,
}

impl CheckArguments {
    /// Whether objects on nodes are asked about, and not one image on GPUs.
    #[must_use]
    pub fn is_about_objects(&self) -> bool {
        self.all || !self.filename.is_empty() || self.source.is_given() || self.config.is_some()
    }
}

/// Form of the answer of `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckOutput {
    /// A table, and the reason for all that does not simply run.
    Table,
    /// The same with every fact and where it was read.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// The GPUs that it runs on, one a line; of manifests, the objects that are not refused.
    Name,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    #[value(help = "JUnit XML, for test reports")]
    /// `JUnit` XML, for test reports.
    Junit,
    /// Workflow commands of GitHub Actions: annotations beside the lines.
    Github,
    /// A table for a comment.
    Markdown,
}

/// What becomes of an answer that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnUnknown {
    /// Exit 0, and a line on stderr.
    Ok,
    /// Exit 3.
    Fail,
}

/// A GPU as a person calls it: not empty, and not absurdly long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuName(String);

/// A text that is no name of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuNameError {
    /// Nothing.
    #[error("a GPU name is empty: write one such as \"RTX 4090\"")]
    Empty,
    /// Longer than any name.
    #[error(
        "a GPU name is {0} bytes long (at most {GPU_NAME_LIMIT}): write one such as \"RTX 4090\""
    )]
    TooLong(usize),
}

impl GpuName {
    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GpuName {
    type Err = GpuNameError;

    fn from_str(text: &str) -> Result<Self, GpuNameError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(GpuNameError::Empty);
        }
        if text.len() > GPU_NAME_LIMIT {
            return Err(GpuNameError::TooLong(text.len()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for GpuName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Reads a value by its `FromStr`. Unlike clap's own parser, it never repeats a value of absurd length.
#[derive(Debug)]
struct Checked<T> {
    words: &'static [&'static str],
    value: PhantomData<fn() -> T>,
}

impl<T> Checked<T> {
    const fn new() -> Self {
        Self::of(&[])
    }

    /// With the words that completion offers.
    const fn of(words: &'static [&'static str]) -> Self {
        Self {
            words,
            value: PhantomData,
        }
    }
}

impl<T> Clone for Checked<T> {
    fn clone(&self) -> Self {
        Self::of(self.words)
    }
}

impl<T> TypedValueParser for Checked<T>
where
    T: FromStr<Err: fmt::Display> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let text = utf8(command, argument, value)?;
        text.parse().map_err(|error: T::Err| {
            let told = error.to_string();
            let shown = shown(text);
            // Most errors of the engine name the value themselves.
            let reason = if told.contains(&shown) || told.len() > SHOWN * 4 {
                told
            } else {
                format!("\"{shown}\": {told}")
            };
            refused(command, argument, &reason)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let words = self.words.iter().map(|word| PossibleValue::new(*word));
        (!self.words.is_empty()).then(|| Box::new(words) as Box<dyn Iterator<Item = _>>)
    }
}

/// Reads one of a few words, with the same care.
#[derive(Debug)]
struct Choice<T>(PhantomData<fn() -> T>);

impl<T> Choice<T> {
    const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Choice<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T: ValueEnum + Clone + Send + Sync + 'static> TypedValueParser for Choice<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let text = utf8(command, argument, value)?;
        T::from_str(text, false).map_err(|_| {
            let words = T::value_variants()
                .iter()
                .filter_map(ValueEnum::to_possible_value);
            let words: Vec<String> = words.map(|word| word.get_name().to_owned()).collect();
            let reason = format!("\"{}\" is none of {}", shown(text), words.join(", "));
            refused(command, argument, &reason)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let words = T::value_variants()
            .iter()
            .filter_map(ValueEnum::to_possible_value);
        Some(Box::new(words))
    }
}

fn utf8<'a>(
    command: &Command,
    argument: Option<&Arg>,
    value: &'a OsStr,
) -> Result<&'a str, clap::Error> {
    value.to_str().ok_or_else(|| {
        let lossy = value.to_string_lossy();
        let reason = format!(
            "\"{}\" is not UTF-8: write it in plain letters",
            shown(&lossy)
        );
        refused(command, argument, &reason)
    })
}

/// The beginning of a value, without control characters.
fn shown(text: &str) -> String {
    let cut: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_default)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        format!("{cut}...")
    } else {
        cut
    }
}

fn refused(command: &Command, argument: Option<&Arg>, reason: &str) -> clap::Error {
    let place = argument.map_or_else(String::new, |argument| format!("{argument}: "));
    let text = format!("{place}{reason}\n");
    clap::Error::raw(ErrorKind::ValueValidation, text).with_cmd(command)
}
