//! What is told to the person, and how the command ends.
//!
//! Nothing here panics when the standard error is closed, as `eprintln!` would, and nothing that comes from a file or
//! a file's name can move the cursor or forge a line.

use std::error::Error as _;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use pinako::{Error, ErrorKind};

/// Something was looked for and is not there.
pub const NOT_THERE: u8 = 4;
/// Images are not what they should be.
pub const NOT_SOUND: u8 = 3;
/// 128 + SIGINT, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// What the library calls its options and methods in hints, and what the command does.
const OPTIONS: [(&str, &str); 4] = [
    ("max_image_bytes", "--max-image-bytes"),
    ("skip_bad", "--skip-bad"),
    ("name_prefix", "--name-prefix"),
    ("set_label_names", "`pinako labels`"),
];

/// Writes one line to the standard error.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&line.to_string()));
}

/// The text with its control characters escaped, which the name of a file may hold.
pub fn printable(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => escaped.extend(character.escape_default()),
            false => escaped.push(character),
        }
    }
    escaped
}

/// Prints an error once, with what caused it and what can be done about it, and gives the exit code it means. A reader
/// that went away (`pinako list STORE | head`) is no error.
pub fn failure(error: &Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let word = if error.kind() == ErrorKind::Interrupted { "interrupted" } else { "error" };
    say(format_args!("{word}: {error}"));
    let mut last = error.to_string();
    for cause in causes(error) {
        let text = cause.to_string();
        if !last.ends_with(&text) {
            say(format_args!("caused by: {text}"));
            last = text;
        }
    }
    let beneath = || causes(error).find_map(|cause| cause.downcast_ref::<Error>().and_then(Error::hint));
    if let Some(hint) = error.hint().or_else(beneath) {
        let hint = OPTIONS.iter().fold(hint.to_owned(), |hint, (library, command)| hint.replace(library, command));
        say(format_args!("hint: {hint}"));
    }
    ExitCode::from(match error.kind() {
        ErrorKind::Interrupted => INTERRUPTED,
        ErrorKind::NotFound => NOT_THERE,
        _ => 1,
    })
}

/// An error and what caused it in one line.
pub fn in_one_line(error: &Error) -> String {
    let mut line = error.to_string();
    for cause in causes(error) {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line += &format!(": {text}");
        }
    }
    line
}

fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

fn is_broken_pipe(error: &Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes all of `bytes` to the standard output.
pub fn print(bytes: &[u8]) -> pinako::Result<()> {
    let mut out = output();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// The same of a line, which gets its end.
pub fn print_line(line: &str) -> pinako::Result<()> {
    print(format!("{line}\n").as_bytes())
}

/// The standard output, buffered: it has to be flushed, or a failure would not be told.
pub fn output() -> io::BufWriter<io::StdoutLock<'static>> {
    io::BufWriter::new(io::stdout().lock())
}

/// Turns what writing to the standard output came to into this crate's errors.
pub fn written<T>(result: io::Result<T>) -> pinako::Result<T> {
    result.map_err(|error| Error::io("cannot write to the standard output", error))
}

/// Whether a person reads the standard output.
pub fn output_is_terminal() -> bool {
    io::stdout().is_terminal()
}
