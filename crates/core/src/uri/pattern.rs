//! Patterns of keys.
//!
//! | form | matches |
//! |---|---|
//! | no wildcard | that very key, and every key under it and a `/`; nothing at all: every key |
//! | `*` | any characters; before the last segment none that is `/` |
//! | `**` | any characters, `/` too |
//! | `?`, `[a-z]`, `[!a-z]` | one character that is not `/` |
//! | `{a,b}` | either, as if each were written by itself; braces may be nested |
//! | `\*`, `\{` and the like | the character itself |
//!
//! The last segment of an alternative is what stands behind its last `/`.

use std::fmt;

use super::UriError;

/// Which keys are meant, by a pattern relative to their bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPattern {
    text: String,
    prefix: String,
    /// One for each choice of braces.
    alternatives: Vec<Alternative>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Alternative {
    /// No wildcard: the key itself, or anything under it.
    Under(String),
    Glob {
        /// What stands before the first wildcard.
        head: String,
        rest: Vec<Token>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    One,
    Class(Class),
    /// `*` before the last segment.
    Within,
    /// `**`, or `*` in the last segment.
    Across,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

/// What a pattern is made of, before it is known what the last segment is.
#[derive(Clone, Debug)]
enum Piece {
    Literal(char),
    One,
    Class(Class),
    Star,
    Stars,
    Choice(Vec<Vec<Piece>>),
}

/// Braces may not multiply into more alternatives than this.
pub const MAX_ALTERNATIVES: usize = 256;
/// Braces may not be nested deeper than this.
const MAX_DEPTH: usize = 16;
/// A key has at most 1,024 bytes; nobody writes more alternatives than this holds.
const MAX_BYTES: usize = 16 << 10;
/// What a backslash makes an ordinary character. Before any other it is one itself.
const SPECIAL: &str = "*?[]{},\\";

impl KeyPattern {
    /// Parses a pattern that is relative to the bucket.
    ///
    /// # Errors
    /// If a bracket or a brace is left open, a range is empty, or there are too many alternatives.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        if text.len() > MAX_BYTES {
            return Err(UriError::new(MAX_BYTES, format!("the pattern has more than {MAX_BYTES} bytes")));
        }
        let mut parser = Parser { text, at: 0 };
        let pieces = parser.sequence(0)?;
        let too_many = || {
            let message = format!("the braces make more than {MAX_ALTERNATIVES} alternatives: use a wildcard");
            UriError::new(text.find('{').unwrap_or(0), message)
        };
        let expanded = expand(&pieces).ok_or_else(too_many)?;
        let alternatives: Vec<Alternative> = expanded.into_iter().map(Alternative::of).collect();
        Ok(Self { text: text.to_owned(), prefix: common_prefix(&alternatives), alternatives })
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The longest literal prefix that every matching key begins with.
    pub fn literal_prefix(&self) -> &str {
        &self.prefix
    }

    pub fn matches(&self, key: &str) -> bool {
        self.alternatives.iter().any(|alternative| alternative.matches(key))
    }
}

impl fmt::Debug for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    fn next_if(&mut self, wanted: char) -> bool {
        let is = self.peek() == Some(wanted);
        self.at += if is { wanted.len_utf8() } else { 0 };
        is
    }

    /// Up to the end, or, inside braces, up to the `,` or `}` that ends a choice.
    fn sequence(&mut self, depth: usize) -> Result<Vec<Piece>, UriError> {
        let mut pieces = Vec::new();
        loop {
            let start = self.at;
            match self.peek() {
                None => return Ok(pieces),
                Some(',' | '}') if depth > 0 => return Ok(pieces),
                Some(_) => {}
            }
            pieces.push(match self.next() {
                Some('*') => self.stars(),
                Some('?') => Piece::One,
                Some('[') => self.class(start)?,
                Some('{') => self.choice(start, depth + 1)?,
                Some('\\') => Piece::Literal(self.escaped()),
                Some(other) => Piece::Literal(other),
                None => return Ok(pieces),
            });
        }
    }

    fn stars(&mut self) -> Piece {
        let mut piece = Piece::Star;
        while self.next_if('*') {
            piece = Piece::Stars;
        }
        piece
    }

    fn escaped(&mut self) -> char {
        match self.peek() {
            Some(special) if SPECIAL.contains(special) => {
                self.at += special.len_utf8();
                special
            }
            _ => '\\',
        }
    }

    fn choice(&mut self, open: usize, depth: usize) -> Result<Piece, UriError> {
        if depth > MAX_DEPTH {
            return Err(UriError::new(open, format!("braces are nested more than {MAX_DEPTH} deep")));
        }
        let mut choices = Vec::new();
        loop {
            choices.push(self.sequence(depth)?);
            match self.next() {
                Some(',') => {}
                Some(_) => return Ok(Piece::Choice(choices)),
                None => {
                    let message = "'{' is never closed; write '\\{' for the character itself";
                    return Err(UriError::new(open, message));
                }
            }
        }
    }

    fn class(&mut self, open: usize) -> Result<Piece, UriError> {
        let unclosed = || UriError::new(open, "'[' is never closed; write '\\[' for the character itself");
        let negated = self.next_if('!') || self.next_if('^');
        let mut ranges = Vec::new();
        loop {
            let start = self.at;
            let low = match self.next().ok_or_else(unclosed)? {
                ']' if !ranges.is_empty() => return Ok(Piece::Class(Class { negated, ranges })),
                // A segment ends there, so nobody meant it; and what is the last segment has to be known.
                '/' => return Err(UriError::new(start, "between '[' and ']' there is no '/': it matches no class")),
                '\\' => self.escaped(),
                letter => letter,
            };
            let dash = self.at;
            let high = match (self.next_if('-'), self.peek()) {
                (true, Some(']')) => {
                    self.at = dash;
                    low
                }
                (true, Some('/')) => continue,
                (true, _) => match self.next().ok_or_else(unclosed)? {
                    '\\' => self.escaped(),
                    letter => letter,
                },
                (false, _) => low,
            };
            if high < low {
                return Err(UriError::new(
                    start,
                    format!("the range '{low}-{high}' is empty: write it the other way round"),
                ));
            }
            ranges.push((low, high));
        }
    }
}

/// Every choice of braces written out; `None` if there are too many.
fn expand(pieces: &[Piece]) -> Option<Vec<Vec<Piece>>> {
    let mut all: Vec<Vec<Piece>> = vec![Vec::new()];
    for piece in pieces {
        let Piece::Choice(choices) = piece else {
            all.iter_mut().for_each(|one| one.push(piece.clone()));
            continue;
        };
        let mut endings = Vec::new();
        for choice in choices {
            endings.extend(expand(choice)?);
        }
        if all.len() * endings.len() > MAX_ALTERNATIVES {
            return None;
        }
        let with = |one: &Vec<Piece>| endings.iter().map(|ending| [&one[..], ending].concat()).collect::<Vec<_>>();
        all = all.iter().flat_map(with).collect();
    }
    Some(all)
}

impl Alternative {
    fn of(pieces: Vec<Piece>) -> Self {
        let last_slash = pieces.iter().rposition(|piece| matches!(piece, Piece::Literal('/')));
        let in_last = |index: usize| last_slash.is_none_or(|slash| index > slash);
        let mut tokens: Vec<Token> = Vec::with_capacity(pieces.len());
        for (index, piece) in pieces.into_iter().enumerate() {
            tokens.push(match piece {
                Piece::Literal(letter) => Token::Literal(letter),
                Piece::One => Token::One,
                Piece::Class(class) => class.only().map_or(Token::Class(class), Token::Literal),
                Piece::Stars => Token::Across,
                Piece::Star if in_last(index) => Token::Across,
                Piece::Star => Token::Within,
                // Expanded before.
                Piece::Choice(_) => continue,
            });
        }
        let literal = |token: &Token| match token {
            Token::Literal(letter) => Some(*letter),
            _ => None,
        };
        let head: String = tokens.iter().map_while(literal).collect();
        let rest: Vec<Token> = tokens.split_off(head.chars().count());
        if rest.is_empty() { Self::Under(head) } else { Self::Glob { head, rest } }
    }

    /// What all of its keys begin with.
    fn head(&self) -> &str {
        match self {
            Self::Under(head) | Self::Glob { head, .. } => head,
        }
    }

    fn matches(&self, key: &str) -> bool {
        match self {
            Self::Under(path) => match key.strip_prefix(path.as_str()) {
                Some(rest) => path.is_empty() || path.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
                None => false,
            },
            Self::Glob { head, rest } => key.strip_prefix(head.as_str()).is_some_and(|key| matches_tokens(rest, key)),
        }
    }
}

impl Class {
    fn has(&self, letter: char) -> bool {
        let inside = self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter));
        letter != '/' && inside != self.negated
    }

    /// The one character that it stands for, if there is no other.
    fn only(&self) -> Option<char> {
        match self.ranges[..] {
            [(low, high)] if low == high && low != '/' && !self.negated => Some(low),
            _ => None,
        }
    }
}

fn common_prefix(alternatives: &[Alternative]) -> String {
    let mut heads = alternatives.iter().map(Alternative::head);
    let mut prefix = heads.next().unwrap_or_default();
    for head in heads {
        let same = prefix.chars().zip(head.chars()).take_while(|(one, other)| one == other);
        prefix = &prefix[..same.map(|(letter, _)| letter.len_utf8()).sum()];
    }
    prefix.to_owned()
}

/// Follows all positions in the pattern at once, so that no pattern takes more than `tokens × key` steps.
fn matches_tokens(tokens: &[Token], key: &str) -> bool {
    // By far the most common pattern ends so: all that follows is literal.
    if let [Token::Across, tail @ ..] = tokens
        && tail.iter().all(|token| matches!(token, Token::Literal(_)))
    {
        let mut letters = key.chars().rev();
        return tail
            .iter()
            .rev()
            .all(|token| matches!(token, Token::Literal(wanted) if letters.next() == Some(*wanted)));
    }
    let (mut here, mut next) = (vec![false; tokens.len() + 1], vec![false; tokens.len() + 1]);
    here[0] = true;
    skip_stars(tokens, &mut here);
    for letter in key.chars() {
        next.fill(false);
        for (position, token) in tokens.iter().enumerate().filter(|(position, _)| here[*position]) {
            let (stay, step) = match token {
                Token::Literal(wanted) => (false, *wanted == letter),
                Token::One => (false, letter != '/'),
                Token::Class(class) => (false, class.has(letter)),
                Token::Within => (letter != '/', false),
                Token::Across => (true, false),
            };
            next[position] |= stay;
            next[position + 1] |= step;
        }
        skip_stars(tokens, &mut next);
        std::mem::swap(&mut here, &mut next);
    }
    here[tokens.len()]
}

fn skip_stars(tokens: &[Token], positions: &mut [bool]) {
    for (position, token) in tokens.iter().enumerate() {
        if positions[position] && matches!(token, Token::Within | Token::Across) {
            positions[position + 1] = true;
        }
    }
}
