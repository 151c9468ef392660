//! Command lines cut into simple commands, coarsely: quoting and brackets only separate words.
//!
//! Good enough to find a program's name in shell strings, in argument lists, and in `python -c` one-liners; not a shell.

/// One simple command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command<'a> {
    /// Its words, variable assignments before it left out.
    pub(super) words: Vec<&'a str>,
    /// Where its input comes from.
    pub(super) input: Input,
}

/// Where a command's input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Nothing before it prints into it.
    Own,
    /// The command before it prints into it.
    Pipe,
}

/// Words that stand before a command and are not it.
const PREFIXES: [&str; 13] = [
    "!", "do", "else", "env", "exec", "if", "nice", "nohup", "sudo", "then", "time", "tini", "--",
];

/// The simple commands of a command line, in order.
pub(super) fn commands<'a>(arguments: &[&'a str]) -> Vec<Command<'a>> {
    let mut found = Vec::new();
    let mut open = Command {
        words: Vec::new(),
        input: Input::Own,
    };
    for argument in arguments {
        for piece in pieces(argument) {
            match piece {
                Piece::Word(word) => open.words.push(word),
                Piece::End(input) => {
                    let next = Command {
                        words: Vec::new(),
                        input,
                    };
                    found.push(std::mem::replace(&mut open, next));
                }
            }
        }
        // The string after `sh -c` is a command of its own.
        if matches!(open.words.as_slice(), [.., program, flag] if is_interpreter(program) && is_script_flag(flag))
        {
            let next = Command {
                words: Vec::new(),
                input: Input::Own,
            };
            found.push(std::mem::replace(&mut open, next));
        }
    }
    found.push(open);
    found.iter_mut().for_each(Command::trim);
    found.retain(|command| !command.words.is_empty());
    found
}

impl Command<'_> {
    fn trim(&mut self) {
        let assigns = |word: &str| {
            word.split_once('=')
                .is_some_and(|(name, _)| !name.starts_with('-'))
        };
        let prefix = |word: &&str| PREFIXES.contains(word) || assigns(word);
        let skipped = self.words.iter().take_while(|word| prefix(word)).count();
        self.words.drain(..skipped);
    }
}

fn is_interpreter(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    name.ends_with("sh") || name.starts_with("python")
}

fn is_script_flag(word: &str) -> bool {
    let letters = word.strip_prefix('-').unwrap_or_default();
    letters.ends_with('c')
        && letters.len() <= 4
        && letters.bytes().all(|letter| letter.is_ascii_lowercase())
}

enum Piece<'a> {
    Word(&'a str),
    End(Input),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.find(separates) {
        let (word, after) = rest.split_at(next);
        found.extend(word_piece(word));
        let mut letters = after.chars();
        found.extend(letters.next().and_then(end_piece));
        rest = letters.as_str();
    }
    found.extend(word_piece(rest));
    found
}

fn word_piece(word: &str) -> Option<Piece<'_>> {
    (!word.is_empty()).then_some(Piece::Word(word))
}

fn end_piece(letter: char) -> Option<Piece<'static>> {
    match letter {
        '|' => Some(Piece::End(Input::Pipe)),
        ';' | '&' | '\n' => Some(Piece::End(Input::Own)),
        _ => None,
    }
}

fn separates(letter: char) -> bool {
    letter.is_whitespace() || ";&|\"'`,()[]{}$\\".contains(letter)
}
