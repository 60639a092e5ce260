//! Questions to a person, on standard error, and answers, line by line: at a terminal or from a pipe.

use std::io::{BufRead, IsTerminal, Write};

use connector_core::error::Failure;

/// Asks and reads. The two ends are injected, so that tests need no terminal.
pub struct Prompts<'a> {
    input: &'a mut dyn BufRead,
    output: &'a mut dyn Write,
    /// Answers do not show up by themselves: they come from a pipe.
    echo: bool,
}

/// What a person answers to "is it done?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Yes,
    Copy,
}

impl<'a> Prompts<'a> {
    pub fn new(input: &'a mut dyn BufRead, output: &'a mut dyn Write) -> Self {
        Self { input, output, echo: !std::io::stdin().is_terminal() }
    }

    /// Whether a person sits there, whose terminal can copy.
    pub fn is_terminal(&self) -> bool {
        !self.echo && std::io::stderr().is_terminal()
    }

    /// A line of explanation. A reader that has gone away is no error: the answers still count.
    pub fn say(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.output, "{}", text.as_ref());
    }

    /// Asks until `check` takes the answer; each refusal is told with its reason.
    ///
    /// # Errors
    /// `Config` with code `input_ended` if there are no more answers.
    pub fn ask<T>(&mut self, question: &str, check: impl Fn(&str) -> Result<T, String>) -> Result<T, Failure> {
        loop {
            let answer = self.answer(question)?;
            match check(&answer) {
                Ok(value) => return Ok(value),
                Err(reason) => self.say(format!("    not accepted: {reason}")),
            }
        }
    }

    /// Waits until something is done elsewhere.
    ///
    /// # Errors
    /// As those of [`Prompts::ask`].
    pub fn wait(&mut self, question: &str) -> Result<Waited, Failure> {
        let terminal = self.is_terminal();
        let how = if terminal { " (Enter; c copies it): " } else { " (Enter): " };
        self.ask(&format!("{question}{how}"), |answer| match answer.to_ascii_lowercase().as_str() {
            "" | "y" | "yes" => Ok(Waited::Yes),
            "c" | "copy" if terminal => Ok(Waited::Copy),
            other => Err(format!("{other:?} is no answer here; press Enter once it is done")),
        })
    }

    /// Has the terminal put a text into the clipboard (OSC 52). Terminals that cannot do so ignore it.
    pub fn copy(&mut self, text: &str) {
        let _ = write!(self.output, "\x1b]52;c;{}\x07", base64(text.as_bytes()));
        self.say("    copied, if your terminal allows it");
    }

    fn answer(&mut self, question: &str) -> Result<String, Failure> {
        let _ = write!(self.output, "  {question}");
        let _ = self.output.flush();
        let mut line = Vec::new();
        let read = self.input.read_until(b'\n', &mut line);
        let read = read.map_err(|error| ended(&format!("standard input cannot be read: {error}")))?;
        if read == 0 {
            self.say("");
            return Err(ended("standard input has ended"));
        }
        let answer = tidied(&String::from_utf8_lossy(&line));
        if self.echo {
            self.say(&answer);
        }
        Ok(answer)
    }
}

fn ended(why: &str) -> Failure {
    Failure::config("input_ended", why)
}

/// What was copied from JSON or a shell, without what surrounds it there.
fn tidied(line: &str) -> String {
    let bare = line.trim().trim_end_matches(',');
    let quoted = |quote: char| bare.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    ['"', '\'', '`'].into_iter().find_map(quoted).unwrap_or(bare).trim().to_owned()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// Asks whether something shall be removed, unless that was said before.
///
/// # Errors
/// `not_confirmed` if the answer is no, or if nobody can be asked.
pub fn agree(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::config("not_confirmed", "nobody can be asked here; add --yes to remove it"));
    }
    let (mut input, mut out) = (std::io::stdin().lock(), std::io::stderr());
    let question = format!("{question} (y/n): ");
    let yes =
        Prompts::new(&mut input, &mut out).ask(&question, |answer| match answer.to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            other => Err(format!("{other:?} is neither y nor n")),
        })?;
    if yes { Ok(()) } else { Err(Failure::config("not_confirmed", "nothing was removed")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(input: &str) -> (Result<u8, Failure>, String) {
        let (mut input, mut output) = (input.as_bytes(), Vec::new());
        let mut prompts = Prompts { input: &mut input, output: &mut output, echo: true };
        let result = prompts.ask("number: ", |text| text.parse().map_err(|_| format!("{text:?} is no number")));
        (result, String::from_utf8(output).expect("UTF-8"))
    }

    #[test]
    fn a_bad_answer_is_asked_again_with_its_reason() {
        let (result, shown) = asked("x\n\n \"7\",\r\n");
        assert_eq!(result, Ok(7));
        assert!(shown.contains("not accepted: \"x\" is no number") && shown.contains("\"\" is no number"), "{shown}");
        assert_eq!(shown.matches("number: ").count(), 3);
    }

    #[test]
    fn the_end_of_the_input_is_an_error_and_a_last_line_without_an_end_is_an_answer() {
        assert_eq!(asked("").0.expect_err("no answer").code, "input_ended");
        assert_eq!(asked("x\n").0.expect_err("no good answer").code, "input_ended");
        assert_eq!(asked("7").0, Ok(7));
    }

    #[test]
    fn texts_are_encoded_as_the_clipboard_wants_them() {
        for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("{\n}é", "ewp9w6k=")] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
