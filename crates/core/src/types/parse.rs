//! Reading the canonical spelling of types.

use super::{ColumnType, EnumType, MAX_NESTING, MAX_SECOND_DIGITS, TupleElement, WIDE_DECIMAL_DIGITS};

const PLAIN: [ColumnType; 22] = [
    ColumnType::Int8,
    ColumnType::Int16,
    ColumnType::Int32,
    ColumnType::Int64,
    ColumnType::Int128,
    ColumnType::Int256,
    ColumnType::UInt8,
    ColumnType::UInt16,
    ColumnType::UInt32,
    ColumnType::UInt64,
    ColumnType::UInt128,
    ColumnType::UInt256,
    ColumnType::Float32,
    ColumnType::Float64,
    ColumnType::Bool,
    ColumnType::Date,
    ColumnType::DateTime,
    ColumnType::String,
    ColumnType::Uuid,
    ColumnType::Ipv4,
    ColumnType::Ipv6,
    ColumnType::Json,
];

pub(super) fn canonical(text: &str) -> Option<ColumnType> {
    let mut reader = Reader { rest: text, depth: 0 };
    let ty = reader.ty()?;
    reader.rest.is_empty().then_some(ty)
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Reader<'t> {
    /// What `accepts` takes from here on.
    fn run(&mut self, accepts: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|letter| !accepts(letter)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    /// Moves behind a sign and the blanks around it.
    fn sign(&mut self, sign: char) -> Option<()> {
        self.blanks();
        self.rest = self.rest.strip_prefix(sign)?;
        self.blanks();
        Some(())
    }

    fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        self.run(|letter| letter == '-' || letter.is_ascii_digit()).parse().ok()
    }

    fn word(&mut self) -> &'t str {
        self.run(|letter| letter == '_' || letter.is_ascii_alphanumeric())
    }

    fn ty(&mut self) -> Option<ColumnType> {
        let name = self.word();
        if let Some(plain) = PLAIN.into_iter().find(|plain| plain.to_string() == name) {
            return Some(plain);
        }
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return None;
        }
        self.rest = self.rest.strip_prefix('(')?;
        let ty = self.with_arguments(name)?;
        self.rest = self.rest.strip_prefix(')')?;
        self.depth -= 1;
        Some(ty)
    }

    fn with_arguments(&mut self, name: &str) -> Option<ColumnType> {
        match name {
            "DateTime64" => {
                let precision = self.number().filter(|digits| *digits <= MAX_SECOND_DIGITS)?;
                Some(ColumnType::DateTime64 { precision })
            }
            "Decimal" => {
                let precision = self.number()?;
                self.sign(',')?;
                let scale = self.number()?;
                let valid = (1..=WIDE_DECIMAL_DIGITS).contains(&precision) && (0..=precision as i8).contains(&scale);
                valid.then_some(ColumnType::Decimal { precision, scale })
            }
            "FixedString" => self.number().filter(|length| *length > 0).map(ColumnType::FixedString),
            "Enum8" | "Enum16" => {
                let labels = self.labels()?;
                let wide = name == "Enum16";
                let fits = labels.iter().all(|(_, number)| wide || i8::try_from(*number).is_ok());
                fits.then(|| ColumnType::Enum(EnumType { wide, labels: labels.into() }))
            }
            "Array" => {
                let (element, nullable) = self.inner()?;
                Some(ColumnType::Array { element: Box::new(element), nullable })
            }
            "Map" => {
                let key = self.ty().filter(ColumnType::is_map_key)?;
                self.sign(',')?;
                let (value, nullable) = self.inner()?;
                Some(ColumnType::Map { key: Box::new(key), value: Box::new(value), nullable })
            }
            "Tuple" => self.tuple(),
            _ => None,
        }
    }

    /// A type inside of another one, and whether it is Nullable there.
    fn inner(&mut self) -> Option<(ColumnType, bool)> {
        let Some(rest) = self.rest.strip_prefix("Nullable(") else { return Some((self.ty()?, false)) };
        self.rest = rest;
        let ty = self.ty().filter(ColumnType::takes_null)?;
        self.rest = self.rest.strip_prefix(')')?;
        Some((ty, true))
    }

    fn tuple(&mut self) -> Option<ColumnType> {
        let mut elements: Vec<TupleElement> = Vec::new();
        loop {
            let name = self.name();
            let (ty, nullable) = self.inner()?;
            elements.push(TupleElement { name, ty, nullable });
            if self.sign(',').is_none() {
                break;
            }
        }
        ColumnType::tuple(elements)
    }

    /// The name in front of a type, if there is one: a bare word in front of a blank, or anything between back-quotes.
    fn name(&mut self) -> Option<String> {
        let before = self.rest;
        let name = match self.rest.strip_prefix('`') {
            Some(_) => self.quoted('`')?,
            None => self.word().to_owned(),
        };
        if let Some(behind) = self.rest.strip_prefix(' ') {
            self.rest = behind;
            return Some(name);
        }
        self.rest = before;
        None
    }

    /// `'a' = 1, 'b' = 2`
    fn labels(&mut self) -> Option<Vec<(String, i16)>> {
        let mut labels = Vec::new();
        loop {
            let label = self.quoted('\'')?;
            self.sign('=')?;
            labels.push((label, self.number()?));
            if self.sign(',').is_none() {
                return Some(labels);
            }
        }
    }

    /// A text between quotes, with `\` before a quote and a `\` inside.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let rest = self.rest.strip_prefix(quote)?;
        let mut letters = rest.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => text.push(letters.next()?.1),
                end if end == quote => {
                    self.rest = &rest[at + quote.len_utf8()..];
                    return Some(text);
                }
                other => text.push(other),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_quotes_and_commas() {
        let labels = |text| Reader { rest: text, depth: 0 }.labels();
        let expected = vec![("a'b".to_owned(), 1), ("c, d".to_owned(), 2)];
        assert_eq!(labels(r"'a\'b' = 1, 'c, d' = 2"), Some(expected));
        assert_eq!(labels("'a' 1"), None);
    }
}
