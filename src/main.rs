//! Parses the command line, hands over, and decides the exit code.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use gpu_capgate::admission::WebhookError;
use gpu_capgate::cli::{Cli, Command, LogArguments};
use gpu_capgate::command::UNUSABLE_INPUT;
use gpu_capgate::node::AgentError;
use gpu_capgate::{admission, command, node, telemetry};

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!(
                "gpu-capgate: error: {}",
                telemetry::with_causes(error.as_ref())
            );
            exit_code(&error)
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Agent(arguments) => {
            let runtime = start(&arguments.log)?;
            runtime.block_on(node::run(arguments.settings()))?;
        }
        Command::Webhook(arguments) => {
            let runtime = start(&arguments.log)?;
            runtime.block_on(admission::run(arguments.settings()))?;
        }
        Command::Check(arguments) => return command::check::check(&arguments),
        Command::Nodes(arguments) => return command::nodes::nodes(&arguments),
        Command::Snapshot(arguments) => return command::snapshot::snapshot(&arguments),
        Command::Explain(arguments) => return command::explain::explain(&arguments),
        Command::Catalog(arguments) => return command::catalog::catalog(&arguments),
        Command::Completion(arguments) => return command::shell::completion(&arguments),
        Command::Man(arguments) => return command::shell::man(&arguments),
        Command::Version(arguments) => return command::shell::version(&arguments),
    }
    Ok(ExitCode::SUCCESS)
}

/// What both roles need before they run: logs, one TLS provider, threads.
fn start(log: &LogArguments) -> anyhow::Result<tokio::runtime::Runtime> {
    telemetry::start(log.log_format, &log.log).with_context(|| format!("--log {:?}", log.log))?;
    // Fails only if a provider is there already, which is just as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    let unusable = matches!(
        error.downcast_ref(),
        Some(
            AgentError::Read { .. }
                | AgentError::TooLarge { .. }
                | AgentError::NotText { .. }
                | AgentError::Inventory { .. }
        )
    ) || matches!(error.downcast_ref(), Some(WebhookError::Configuration(_)))
        || error.is::<tracing_subscriber::filter::ParseError>();
    if unusable {
        ExitCode::from(UNUSABLE_INPUT)
    } else {
        ExitCode::FAILURE
    }
}
