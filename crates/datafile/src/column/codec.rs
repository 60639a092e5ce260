//! `CODEC(...)`: how ClickHouse compresses a column. Read and checked; Delta tables compress in their own way.

use super::{Bad, Parser};
use crate::diagnostic::Diagnostic;
use crate::source::{Span, Spanned};
use crate::suggest::nearest;
use crate::tokens::{Kind, Token};

/// One step of compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// As ClickHouse spells it.
    pub name: &'static str,
    /// Numbers, and texts without their quotes.
    pub arguments: Vec<String>,
}

/// What arguments a codec takes, at most.
#[derive(Clone, Copy)]
enum Takes {
    Nothing,
    /// A level from the first to the second number, then perhaps the binary logarithm of a window.
    Level(u32, u32),
    /// The bytes of a value: 1, 2, 4 or 8.
    Bytes,
    /// `'byte'` or `'bit'`.
    Transposition,
    /// A level from 1 to 28, then perhaps 4 or 8.
    LevelAndFloat,
}

/// What a codec is good for in a chain of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Prepares values, and makes nothing smaller.
    Prepares,
    /// Compresses values of some kinds.
    Compresses,
    /// Compresses anything, and comes last.
    Generic,
    /// Encrypts what was compressed.
    Encrypts,
}

const CODECS: [(&str, Takes, Role); 16] = [
    ("Default", Takes::Nothing, Role::Generic),
    ("NONE", Takes::Nothing, Role::Compresses),
    ("LZ4", Takes::Nothing, Role::Generic),
    ("LZ4HC", Takes::Level(0, 12), Role::Generic),
    ("ZSTD", Takes::Level(1, 22), Role::Generic),
    ("ZSTD_QAT", Takes::Level(1, 12), Role::Generic),
    ("DEFLATE_QPL", Takes::Nothing, Role::Generic),
    ("Delta", Takes::Bytes, Role::Prepares),
    ("DoubleDelta", Takes::Bytes, Role::Compresses),
    ("Gorilla", Takes::Bytes, Role::Compresses),
    ("GCD", Takes::Bytes, Role::Prepares),
    ("T64", Takes::Transposition, Role::Compresses),
    ("FPC", Takes::LevelAndFloat, Role::Compresses),
    ("ALP", Takes::Nothing, Role::Compresses),
    ("AES_128_GCM_SIV", Takes::Nothing, Role::Encrypts),
    ("AES_256_GCM_SIV", Takes::Nothing, Role::Encrypts),
];

const SHAPE: &str = "such as CODEC(ZSTD(1)) or CODEC(Delta(4), LZ4)";

impl Parser<'_, '_> {
    /// What stands behind `CODEC`.
    pub(super) fn codec(&mut self, keyword: Span) -> Result<Spanned<Vec<Codec>>, Bad> {
        let begin = self.at;
        let Some(end) = self.closing(begin) else {
            self.at = self.tokens.len().min(begin + usize::from(self.peek().is_some_and(|next| next.is_sign('('))));
            return self.fail("bad_codec", keyword, "CODEC needs its arguments in parentheses", SHAPE);
        };
        self.at = end + 1;
        let span = keyword.to(self.tokens[end].span);
        let inside = self.tokens[begin + 1..end].to_vec();
        let mut codecs: Vec<(Codec, Role, Span)> = Vec::new();
        for part in split(&inside) {
            match read(part) {
                Ok(found) => codecs.push(found),
                // The column goes on behind the codec; what is wrong with it is told once.
                Err((place, message, hint)) => {
                    self.report.push(Diagnostic::error("bad_codec", message).hint(hint), place.unwrap_or(span));
                    return Ok(Spanned::new(Vec::new(), span));
                }
            }
        }
        self.check_chain(&codecs);
        Ok(Spanned::new(codecs.into_iter().map(|(codec, ..)| codec).collect(), span))
    }

    /// The token that closes the parenthesis at `open`.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            depth += i32::from(token.is_sign('(')) - i32::from(token.is_sign(')'));
            if depth == 0 {
                return token.is_sign(')').then_some(at);
            }
        }
        None
    }

    fn check_chain(&mut self, codecs: &[(Codec, Role, Span)]) {
        let plain = |role: &Role| *role != Role::Encrypts;
        if let Some((codec, _, span)) = codecs.first()
            && codecs.iter().all(|(_, role, _)| *role == Role::Prepares)
        {
            let message = format!("{} makes nothing smaller by itself", codec.name);
            let hint = format!("write CODEC({}, ZSTD)", codec.name);
            self.report.push(Diagnostic::error("bad_codec", message).hint(hint), *span);
        }
        for pair in codecs.windows(2) {
            let ((codec, role, span), (_, next, _)) = (&pair[0], &pair[1]);
            if *role == Role::Generic && plain(next) {
                let message = format!("{} has to be the last codec", codec.name);
                let diagnostic = Diagnostic::error("bad_codec", message);
                self.report.push(diagnostic.hint("what it compressed cannot be made smaller again"), *span);
            }
        }
    }
}

/// What lies between the commas outside of parentheses.
fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0;
    let at_comma = |token: &Token| {
        depth += i32::from(token.is_sign('(')) - i32::from(token.is_sign(')'));
        depth == 0 && token.is_sign(',')
    };
    tokens.split(at_comma).collect()
}

/// Place (`None`: all of the codec), message and hint.
type Wrong = (Option<Span>, String, String);

fn read(tokens: &[Token]) -> Result<(Codec, Role, Span), Wrong> {
    let Some((first, rest)) = tokens.split_first() else {
        return Err((None, "a codec is missing between the parentheses".to_owned(), SHAPE.to_owned()));
    };
    let span = first.span.to(tokens[tokens.len() - 1].span);
    let Kind::Word(word) = &first.kind else {
        return Err((Some(first.span), "a codec begins with its name".to_owned(), SHAPE.to_owned()));
    };
    let names = CODECS.map(|(name, ..)| name);
    let Some((name, takes, role)) = CODECS.into_iter().find(|(name, ..)| name == word) else {
        let hint = nearest(word, names)
            .map_or_else(|| format!("codecs are {}", names.join(", ")), |near| format!("did you mean '{near}'?"));
        return Err((Some(first.span), format!("'{word}' is not a codec"), hint));
    };
    let arguments = match rest {
        [] => Vec::new(),
        [open, inside @ .., close] if open.is_sign('(') && close.is_sign(')') => arguments(inside),
        _ => Vec::from([None]),
    };
    let arguments: Option<Vec<String>> = arguments.into_iter().collect();
    match arguments.filter(|arguments| fit(takes, arguments)) {
        Some(arguments) => Ok((Codec { name, arguments }, role, span)),
        None => Err((Some(span), format!("these are not the arguments of {name}"), form(name, takes))),
    }
}

/// Numbers and texts between commas; `None` for what is neither.
fn arguments(tokens: &[Token]) -> Vec<Option<String>> {
    if tokens.is_empty() {
        return Vec::new();
    }
    let one = |part: &[Token]| match part {
        [Token { kind: Kind::Number(text) | Kind::Text(text), .. }] => Some(text.clone()),
        _ => None,
    };
    tokens.split(|token| token.is_sign(',')).map(one).collect()
}

fn fit(takes: Takes, arguments: &[String]) -> bool {
    let numbers: Vec<Option<u32>> = arguments.iter().map(|argument| argument.parse().ok()).collect();
    match takes {
        Takes::Nothing => arguments.is_empty(),
        Takes::Level(least, most) => match numbers.as_slice() {
            [] => true,
            [Some(level)] | [Some(level), Some(10..=31)] => (least..=most).contains(level),
            _ => false,
        },
        Takes::Bytes => matches!(numbers.as_slice(), [] | [Some(1 | 2 | 4 | 8)]),
        Takes::Transposition => match arguments {
            [] => true,
            [how] => how == "byte" || how == "bit",
            _ => false,
        },
        Takes::LevelAndFloat => {
            matches!(numbers.as_slice(), [] | [Some(1..=28)] | [Some(1..=28), Some(4 | 8)])
        }
    }
}

fn form(name: &str, takes: Takes) -> String {
    match takes {
        Takes::Nothing => format!("write {name}, without arguments"),
        Takes::Level(least, most) => format!("write {name} or {name}(level), with a level from {least} to {most}"),
        Takes::Bytes => format!("write {name} or {name}(bytes), with 1, 2, 4 or 8 bytes"),
        Takes::Transposition => format!("write {name}, {name}('byte') or {name}('bit')"),
        Takes::LevelAndFloat => format!("write {name}, {name}(level) with 1 to 28, or {name}(level, 4 or 8)"),
    }
}
