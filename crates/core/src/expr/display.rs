//! Expressions in ClickHouse's spelling.

use std::fmt;

use super::lex::{is_number, is_plain_name};
use super::{Expr, Function};

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now()"),
            Self::Now64 { precision } => write!(f, "now64({precision})"),
            Self::Today => f.write_str("today()"),
            Self::Column(name) if is_plain_name(name) => f.write_str(name),
            Self::Column(name) => quoted(f, name, '`'),
            Self::Literal(text) if is_number(text) => f.write_str(text),
            Self::Literal(text) => quoted(f, text, '\''),
            Self::Call { function, argument } => write!(f, "{function}({argument})"),
            Self::Shift { base, count, unit } => {
                let sign = if *count < 0 { '-' } else { '+' };
                write!(f, "{base} {sign} toInterval{}({})", unit.name(), count.unsigned_abs())
            }
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    use fmt::Write as _;
    f.write_char(quote)?;
    for letter in text.chars() {
        match letter {
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\\' => f.write_str("\\\\")?,
            letter if letter == quote => write!(f, "\\{letter}")?,
            letter => f.write_char(letter)?,
        }
    }
    f.write_char(quote)
}
