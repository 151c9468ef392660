//! The real program, as a child process: what it says, how it ends.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::within;

/// `gpu-capgate` with those arguments, an empty environment and no home, so that only the test tells where the API
/// server is.
pub(crate) fn gpu_capgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-capgate"));
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs to the end; the exit code and what stood on stderr. Nothing of this belongs on stdout.
pub(crate) async fn failure(command: &mut Command) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = within("the end of the program", command.output())
        .await
        .unwrap();
    assert_eq!(String::from_utf8(stdout).unwrap(), "", "stdout is for data");
    let code = status.code().expect("it ends by itself");
    (code, String::from_utf8(stderr).unwrap())
}

/// A program that runs until it is told to stop. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next log line that holds all of those words.
    pub(crate) async fn says(&mut self, words: &[&str]) -> String {
        let mut before = Vec::new();
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if words.iter().all(|word| line.contains(word)) {
                    return line;
                }
                before.push(line);
            }
            panic!(
                "it ended without a line with {words:?}:\n{}",
                before.join("\n")
            );
        };
        within(&format!("a line with {words:?}"), found).await
    }

    /// The address that an option's listener got.
    pub(crate) async fn listens(&mut self, option: &str) -> String {
        let line = self.says(&["listening", option]).await;
        let (_, address) = line.split_once("address=").unwrap();
        address.split(' ').next().unwrap().to_owned()
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        let id = self.child.id().expect("it runs");
        let kill = Command::new("sh")
            .args(["-c", &format!("kill -TERM {id}")])
            .status();
        assert!(kill.await.unwrap().success());
    }

    /// Sends SIGTERM and waits for the end; the exit code.
    pub(crate) async fn stop(self) -> Option<i32> {
        self.terminate().await;
        self.ended().await
    }

    /// Waits for the end; the exit code.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        // Somebody has to read on, or a full pipe would hold it up.
        let rest = async { while let Ok(Some(_)) = self.lines.next_line().await {} };
        let ended = async { tokio::join!(rest, self.child.wait()).1 };
        within("the end of the program", ended)
            .await
            .unwrap()
            .code()
    }
}

/// A file's path as an argument.
pub(crate) fn argument(path: &Path) -> &str {
    path.to_str().unwrap()
}
