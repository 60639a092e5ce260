//! The words and signs of a SCHEMA block.

use connector_core::expr::unescape;

use crate::diagnostic::{Diagnostic, Report};
use crate::source::{SourceFile, Span};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare name or keyword.
    Word(String),
    /// Between back-quotes.
    BackQuoted(String),
    Number(String),
    /// Between single quotes.
    Text(String),
    Sign(char),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub span: Span,
    /// Whether nothing but blanks stands before it on its line.
    pub first_on_line: bool,
}

impl Token {
    pub fn is_sign(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }

    /// Whether this is the keyword, ignoring case.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(found) if found.eq_ignore_ascii_case(word))
    }
}

/// The text from the first of the tokens to the last, with blanks for everything between them, such as comments.
pub(crate) fn text_of(source: &SourceFile, tokens: &[Token]) -> String {
    let mut text = String::new();
    let mut end = tokens.first().map_or(0, |first| first.span.start);
    for token in tokens {
        text.extend(std::iter::repeat_n(' ', token.span.start - end));
        text.push_str(source.slice(token.span));
        end = token.span.end;
    }
    text
}

/// Splits the lines of a block into tokens. `-- text` is a comment wherever it stands, `# text` on a line of its own.
pub(crate) fn tokenise(report: &mut Report<'_>, lines: &[Span]) -> Vec<Token> {
    let mut tokens = Vec::new();
    for line in lines {
        let mut scan = Scan { text: report.source.slice(*line), at: 0, base: line.start };
        let mut first_on_line = true;
        while let Some((kind, span)) = scan.next(report) {
            tokens.push(Token { kind, span, first_on_line });
            first_on_line = false;
        }
    }
    tokens
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    base: usize,
}

impl Scan<'_> {
    fn next(&mut self, report: &mut Report<'_>) -> Option<(Kind, Span)> {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        let first = rest.chars().next()?;
        let alone = self.text[..self.at].trim().is_empty();
        if rest.starts_with("--") || (first == '#' && alone) {
            self.at = self.text.len();
            return None;
        }
        if first == '#' || ["//", "/*"].iter().any(|mark| rest.starts_with(mark)) {
            report.push(
                Diagnostic::error("comment_in_block", "this is no comment here")
                    .hint("a comment begins with '--', or stands on a line of its own that begins with '#'"),
                Span::new(self.base + self.at, self.base + self.text.len()),
            );
            self.at = self.text.len();
            return None;
        }
        let is_number = first.is_ascii_digit();
        Some(match first {
            '`' | '\'' => self.quoted(first, report),
            _ if is_number => self.run(number_length, Kind::Number),
            _ if first.is_alphabetic() || first == '_' => self.run(word_length, Kind::Word),
            _ => self.run(|text| text.chars().next().map_or(0, char::len_utf8), |_| Kind::Sign(first)),
        })
    }

    fn run(&mut self, length: impl Fn(&str) -> usize, kind: impl Fn(String) -> Kind) -> (Kind, Span) {
        let start = self.at;
        self.at += length(&self.text[start..]);
        (kind(self.text[start..self.at].to_owned()), Span::new(self.base + start, self.base + self.at))
    }

    /// A quoted text with ClickHouse's escapes; a doubled quote stands for one.
    fn quoted(&mut self, quote: char, report: &mut Report<'_>) -> (Kind, Span) {
        let start = self.at;
        let mut value = Vec::new();
        self.at += 1;
        let mut closed = false;
        while let Some(letter) = self.text[self.at..].chars().next() {
            let behind = self.at + letter.len_utf8();
            if letter == '\\' {
                let taken = unescape(&self.text[behind..], &mut value);
                if taken.is_none() && behind < self.text.len() {
                    let place = Span::new(self.base + self.at, self.base + behind + 1);
                    let hint = "write a byte as \\x and two digits, such as \\x41, and a '\\' as \\\\";
                    report.push(Diagnostic::error("bad_escape", "\\x needs two hexadecimal digits").hint(hint), place);
                }
                self.at = behind + taken.unwrap_or(0);
                continue;
            }
            self.at = behind;
            if letter != quote {
                value.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            } else if self.text[behind..].starts_with(quote) {
                value.push(quote as u8);
                self.at += 1;
            } else {
                closed = true;
                break;
            }
        }
        let span = Span::new(self.base + start, self.base + self.at);
        if !closed {
            report.push(
                Diagnostic::error("open_quote", format!("the quote {quote} is never closed")).label("opened here"),
                Span::new(self.base + start, self.base + start + 1),
            );
        }
        let value = String::from_utf8(value).unwrap_or_else(|bytes| {
            let diagnostic = Diagnostic::error("bad_escape", "the escapes in this text make bytes that are not UTF-8");
            report.push(diagnostic.hint("texts are UTF-8: write the character itself"), span);
            String::from_utf8_lossy(bytes.as_bytes()).into_owned()
        });
        (if quote == '`' { Kind::BackQuoted(value) } else { Kind::Text(value) }, span)
    }
}

fn word_length(text: &str) -> usize {
    text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len())
}

/// Digits, a fraction, an exponent; letters that follow at once belong to it, so that `1st` is one bad number.
fn number_length(text: &str) -> usize {
    let mut previous = ' ';
    for (at, letter) in text.char_indices() {
        let sign_of_exponent = matches!(letter, '+' | '-') && matches!(previous, 'e' | 'E');
        if !(letter.is_alphanumeric() || matches!(letter, '.' | '_') || sign_of_exponent) {
            return at;
        }
        previous = letter;
    }
    text.len()
}
