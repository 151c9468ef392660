//! What in a Pod changes or limits what its image tells: installers, volumes over Python, shared memory, GPUs that
//! nobody asked for.
//!
//! Pure. Patterns are data (`data/pod_hints.toml`). A hint makes knowledge weaker, never stronger, so a pattern that
//! matches too often costs a denial and never causes one.

mod pattern;
mod shell;

use std::fmt;

use pattern::Patterns;
use shell::Command;

/// What makes a container's software differ from its image's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SoftwareChange {
    /// Its command line runs a package installer.
    Installs {
        /// The installer, as written.
        program: String,
    },
    /// A shell runs what another command prints.
    PipedScript {
        /// The shell, as written.
        shell: String,
    },
    /// It starts with a script or program that comes from a volume, and may install anything.
    MountedProgram {
        /// The program, as written.
        program: String,
    },
    /// A volume lies over, above or inside of the folders of the image's Python.
    MountedPython {
        /// Where the volume is mounted.
        path: String,
    },
    /// A variable points Python or the shell to a folder on a volume.
    MountedSearchPath {
        /// The variable.
        variable: String,
    },
}

/// As the reason why an image's software is not known: `its command runs the installer pip`.
impl fmt::Display for SoftwareChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installs { program } => {
                write!(formatter, "its command runs the installer {program}")
            }
            Self::PipedScript { shell } => {
                write!(formatter, "its command pipes a script into {shell}")
            }
            Self::MountedProgram { program } => {
                write!(formatter, "it may start {program} from a volume")
            }
            Self::MountedPython { path } => {
                write!(formatter, "a volume changes its Python at {path}")
            }
            Self::MountedSearchPath { variable } => {
                write!(formatter, "its variable {variable} points to a volume")
            }
        }
    }
}

/// Whether `/dev/shm` is large enough for several GPUs to talk through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SharedMemory {
    /// Nothing speaks against it: one GPU, a volume there, or the node's own.
    Enough,
    /// Several GPUs in the container, and the container runtime's 64 MiB.
    Default,
}

/// How a container reaches GPUs that it does not ask for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ImplicitAccess {
    /// `NVIDIA_VISIBLE_DEVICES` has this value.
    Variable {
        /// The value.
        value: String,
    },
    /// The Pod names a runtime class for GPUs, and an image may set `NVIDIA_VISIBLE_DEVICES`.
    RuntimeClass {
        /// The class.
        name: String,
    },
}

/// What of a container, and of its Pod around it, hints are read from.
#[derive(Debug, Clone, Default)]
pub struct Surroundings<'a> {
    /// Its command and arguments.
    pub words: Vec<&'a str>,
    /// Its working directory, if it names one.
    pub working_directory: Option<&'a str>,
    /// Its variables whose values are written in the object.
    pub variables: Vec<(&'a str, &'a str)>,
    /// Where volumes are mounted.
    pub mounts: Vec<&'a str>,
}

/// Folder of the service account's token, which admission mounts into each Pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io";

impl Surroundings<'_> {
    /// The first thing that makes its software differ from its image's.
    #[must_use]
    pub fn software_change(&self) -> Option<SoftwareChange> {
        let patterns = Patterns::embedded();
        let commands = shell::commands(&self.words);
        let folder = self.final_directory(&commands);
        let find =
            |look: &dyn Fn(&Command<'_>) -> Option<SoftwareChange>| commands.iter().find_map(look);
        find(&|command| installer(patterns, command))
            .or_else(|| find(&|command| piped(patterns, command)))
            .or_else(|| self.mounted_python(patterns))
            .or_else(|| self.mounted_search_path(patterns))
            .or_else(|| find(&|command| self.mounted_program(patterns, folder, command)))
            .or_else(|| find(&|command| self.mounted_environment(patterns, command)))
    }

    /// The folder in which its commands run; `None` if it is not known.
    fn final_directory(&self, commands: &[Command<'_>]) -> Option<&str> {
        let moves =
            |command: &Command<'_>| matches!(command.words.first(), Some(&("cd" | "pushd")));
        self.working_directory
            .filter(|_| !commands.iter().any(moves))
    }

    fn mounted_python(&self, patterns: &Patterns) -> Option<SoftwareChange> {
        let over = self
            .volumes()
            .find(|mount| patterns.touches_python(mount))?;
        Some(SoftwareChange::MountedPython {
            path: over.to_owned(),
        })
    }

    fn mounted_search_path(&self, patterns: &Patterns) -> Option<SoftwareChange> {
        let points = |value: &str| value.split(':').any(|folder| self.is_mounted(folder));
        let (variable, _) = self
            .variables
            .iter()
            .find(|(name, value)| patterns.is_python_variable(name) && points(value))?;
        Some(SoftwareChange::MountedSearchPath {
            variable: (*variable).to_owned(),
        })
    }

    fn mounted_program(
        &self,
        patterns: &Patterns,
        folder: Option<&str>,
        command: &Command<'_>,
    ) -> Option<SoftwareChange> {
        let (program, rest) = command.words.split_first()?;
        let script = if patterns.is_shell(program) {
            rest.iter().find(|word| !word.starts_with('-'))
        } else {
            Some(program)
        };
        let script = script.filter(|script| self.may_be_mounted(script, folder))?;
        Some(SoftwareChange::MountedProgram {
            program: (*script).to_owned(),
        })
    }

    /// A Python environment on a volume that the command names: `conda activate /data/envs/x`.
    fn mounted_environment(
        &self,
        patterns: &Patterns,
        command: &Command<'_>,
    ) -> Option<SoftwareChange> {
        let named = |word: &&&str| {
            word.starts_with('/') && self.is_mounted(word) && patterns.touches_python(word)
        };
        let word = command.words.iter().find(named)?;
        Some(SoftwareChange::MountedPython {
            path: (*word).to_owned(),
        })
    }

    /// Whether a program that is named like this could be on a volume. A name without folder is looked up in `PATH`.
    fn may_be_mounted(&self, program: &str, folder: Option<&str>) -> bool {
        let relative = program.contains('/') || is_script(program);
        match (program.starts_with('/'), folder) {
            (true, _) => self.is_mounted(program),
            (false, Some(folder)) => relative && self.is_mounted(&format!("{folder}/{program}")),
            // The image's own working directory is not known here.
            (false, None) => relative && self.volumes().next().is_some(),
        }
    }

    fn is_mounted(&self, path: &str) -> bool {
        self.volumes().any(|mount| pattern::is_inside(path, mount))
    }

    /// Where volumes are mounted that could hold software.
    fn volumes(&self) -> impl Iterator<Item = &str> {
        let data = |mount: &&&str| {
            !pattern::is_inside(mount, SERVICE_ACCOUNT) && !pattern::is_inside(mount, "/dev")
        };
        self.mounts.iter().filter(data).copied()
    }
}

/// Whether a runtime class gives containers the GPUs that their environment names.
#[must_use]
pub fn is_gpu_runtime_class(name: &str) -> bool {
    Patterns::embedded().is_gpu_runtime_class(name)
}

fn is_script(program: &str) -> bool {
    program
        .rsplit_once('.')
        .is_some_and(|(_, ending)| ending == "sh")
}

fn installer(patterns: &Patterns, command: &Command<'_>) -> Option<SoftwareChange> {
    let found = command
        .words
        .iter()
        .enumerate()
        .find(|(position, program)| {
            let rest = command.words.get(position + 1..).unwrap_or_default();
            patterns.installs(program, rest)
        });
    found.map(|(_, program)| SoftwareChange::Installs {
        program: (*program).to_owned(),
    })
}

fn piped(patterns: &Patterns, command: &Command<'_>) -> Option<SoftwareChange> {
    let shell = command
        .words
        .first()
        .filter(|program| patterns.is_shell(program))?;
    match command.input {
        shell::Input::Pipe => Some(SoftwareChange::PipedScript {
            shell: (*shell).to_owned(),
        }),
        shell::Input::Own => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_command(words: &[&str]) -> Option<SoftwareChange> {
        let words = words.to_vec();
        Surroundings {
            words,
            ..Surroundings::default()
        }
        .software_change()
    }

    fn installs(script: &str) -> bool {
        matches!(
            of_command(&["bash", "-lc", script]),
            Some(SoftwareChange::Installs { .. })
        )
    }

    fn with_mount(mount: &str, words: &[&str]) -> Option<SoftwareChange> {
        let around = Surroundings {
            words: words.to_vec(),
            mounts: vec![mount],
            ..Surroundings::default()
        };
        around.software_change()
    }

    #[test]
    fn installers_are_found_however_they_are_called() {
        for script in [
            "pip install torch && python train.py",
            "cd /app; pip3 --no-cache-dir install -r requirements.txt",
            "python -m pip install torch==2.6.0",
            "python3 -mpip install torch",
            "/opt/venv/bin/pip3.11 install x",
            "set -ex\napt-get update\napt-get install -y git",
            "uv sync --frozen",
            "uv pip install torch",
            "uv run train.py",
            "conda env update -f environment.yml",
            "micromamba create -n x pytorch",
            "poetry install --no-root",
            "sudo -E apt-get -y install ninja-build",
            "for p in a b; do pip install $p; done",
            "python setup.py develop",
            "python -c \"import subprocess; subprocess.run(['pip', 'install', 'torch'])\"",
            "X=$(pip install torch)",
        ] {
            assert!(installs(script), "{script}");
        }
        assert!(of_command(&["pip", "install", "torch"]).is_some());
        assert!(
            of_command(&[
                "/bin/sh",
                "-c",
                "--",
                "curl -sL https://example.com/x | bash -s"
            ])
            .is_some()
        );
    }

    #[test]
    fn what_only_sounds_like_an_installer_is_none() {
        for script in [
            "python pipeline.py install",
            "pip list && pip freeze > /tmp/x",
            "conda activate train && python train.py",
            "conda run -n train python train.py",
            "python train.py -c config.yaml --optimizer adam",
            "torchrun --nproc-per-node 4 train.py",
            "python install.py",
            "./pip-report install",
            "nvidia-smi | tee /tmp/out",
        ] {
            assert_eq!(of_command(&["bash", "-c", script]), None, "{script}");
        }
        assert_eq!(of_command(&[]), None);
    }

    #[test]
    fn a_volume_over_python_changes_it_and_one_for_data_does_not() {
        for mount in [
            "/opt/conda",
            "/opt",
            "/usr/local/lib/python3.11/site-packages/mine",
            "/usr/local",
            "/root/.local",
            "/home/jovyan",
            "/workspace/.venv",
            "/mnt/envs/a",
            "/mnt/miniconda3/",
        ] {
            let found = with_mount(mount, &["python", "train.py"]);
            assert_eq!(
                found,
                Some(SoftwareChange::MountedPython {
                    path: mount.to_owned()
                })
            );
        }
        for mount in [
            "/data",
            "/dev/shm",
            "/usr/local/nvidia",
            "/root/.cache/huggingface",
            "/opt/ml/input",
            "/models",
        ] {
            assert_eq!(with_mount(mount, &["python", "train.py"]), None, "{mount}");
        }
    }

    #[test]
    fn a_program_from_a_volume_may_install_anything() {
        for words in [
            &["bash", "/scripts/run.sh"][..],
            &["/scripts/run.sh"],
            &["sh", "-c", "source /scripts/setup && python train.py"],
            &["bash", "run.sh"],
            &["bash", "-c", "cd /scripts && ./run.sh"],
        ] {
            let found = with_mount("/scripts", words);
            assert!(
                matches!(found, Some(SoftwareChange::MountedProgram { .. })),
                "{words:?}"
            );
        }
        let activated = with_mount(
            "/data",
            &["bash", "-c", "conda activate /data/envs/x && python t.py"],
        );
        assert!(matches!(
            activated,
            Some(SoftwareChange::MountedPython { .. })
        ));
        for words in [
            &["python", "/scripts/train.py"][..],
            &["bash", "/opt/run.sh"],
            &["python", "train.py", "-c", "/scripts/config.yaml"],
        ] {
            assert_eq!(with_mount("/scripts", words), None, "{words:?}");
        }
    }

    #[test]
    fn a_script_in_a_known_folder_of_the_image_is_the_images() {
        let mut around = Surroundings {
            words: vec!["bash", "run.sh"],
            working_directory: Some("/app"),
            mounts: vec!["/data"],
            ..Surroundings::default()
        };
        assert_eq!(around.software_change(), None);
        around.words = vec!["bash", "-c", "cd /data && bash run.sh"];
        assert!(around.software_change().is_some());
        around.mounts = vec!["/var/run/secrets/kubernetes.io/serviceaccount"];
        assert_eq!(around.software_change(), None);
    }

    #[test]
    fn a_search_path_on_a_volume_is_a_change() {
        let of = |name, value| {
            let around = Surroundings {
                words: vec!["python", "train.py"],
                variables: vec![(name, value)],
                mounts: vec!["/mnt/packages"],
                ..Surroundings::default()
            };
            around.software_change()
        };
        let variable = "PYTHONPATH".to_owned();
        assert_eq!(
            of("PYTHONPATH", "/app:/mnt/packages/x"),
            Some(SoftwareChange::MountedSearchPath { variable })
        );
        assert_eq!(of("PYTHONPATH", "/app"), None);
        assert_eq!(of("DATA", "/mnt/packages/x"), None);
    }

    #[test]
    fn runtime_classes_for_gpus_are_known() {
        assert!(is_gpu_runtime_class("nvidia") && is_gpu_runtime_class("nvidia-cdi"));
        assert!(!is_gpu_runtime_class("kata") && !is_gpu_runtime_class("nvidia-like"));
    }

    proptest::proptest! {
        #[test]
        fn no_command_line_panics(words in proptest::collection::vec(".{0,30}", 0..4), mount in ".{0,20}") {
            let around = Surroundings {
                words: words.iter().map(String::as_str).collect(),
                working_directory: Some(&mount),
                variables: vec![("PATH", &mount)],
                mounts: vec![&mount],
            };
            let _ = around.software_change();
        }
    }
}
