//! As much of PromQL as it takes to see which metrics, labels and groupings a query names.

/// A metric in a query.
#[derive(Debug, PartialEq)]
pub struct Selector {
    pub name: String,
    /// Label and value, whatever the operator.
    pub matchers: Vec<(String, String)>,
    /// The innermost function or aggregation around it; empty if there is none.
    pub function: String,
}

#[derive(Debug, Default)]
pub struct Query {
    pub selectors: Vec<Selector>,
    /// The labels of `by`, `without`, `on` and `ignoring`.
    pub grouping: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];

impl Query {
    /// Takes a query apart.
    ///
    /// # Errors
    /// If brackets do not match, or a label list is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut query = Self::default();
        // What each open parenthesis belongs to.
        let mut open: Vec<String> = Vec::new();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            let opens = tokens.get(at) == Some(&Token::Sign('('));
            match token {
                Token::Word(word) if GROUPINGS.contains(&word.as_str()) => {
                    let (labels, next) = label_list(&tokens, at)?;
                    query.grouping.extend(labels);
                    at = next;
                }
                Token::Word(word) if OPERATORS.contains(&word.as_str()) || is_number(word) => {}
                // An aggregation: `sum(…)` or `sum by (…) (…)`.
                Token::Word(word) if opens || is_grouping(tokens.get(at)) => open.push(word.clone()),
                Token::Word(word) => {
                    let (matchers, next) = matchers(&tokens, at)?;
                    let function = open.last().cloned().unwrap_or_default();
                    query.selectors.push(Selector { name: word.clone(), matchers, function });
                    at = next;
                }
                Token::Sign('(') if !is_call(&tokens, at - 1) => open.push(String::new()),
                Token::Sign(')') => drop(open.pop().ok_or("a ')' too many")?),
                Token::Sign('[') => at = skip_range(&tokens, at)?,
                Token::Sign(_) | Token::Text(_) => {}
            }
        }
        if open.is_empty() { Ok(query) } else { Err(format!("a '(' of {open:?} is never closed")) }
    }
}

fn is_grouping(token: Option<&Token>) -> bool {
    matches!(token, Some(Token::Word(word)) if GROUPINGS.contains(&word.as_str()))
}

/// Whether the parenthesis at `at` follows a function's name, or the label list of an aggregation: then its name is
/// already on the stack.
fn is_call(tokens: &[Token], at: usize) -> bool {
    match at.checked_sub(1).map(|before| &tokens[before]) {
        Some(Token::Word(word)) => !OPERATORS.contains(&word.as_str()) && !is_number(word),
        Some(Token::Sign(')')) => {
            let list = tokens[..at].iter().rposition(|token| *token == Token::Sign('(')).unwrap_or(0);
            let keyword = list.checked_sub(1).map(|before| &tokens[before]);
            // `on (…)` follows an operator and has no name on the stack; `by (…)` and `without (…)` do.
            matches!(keyword, Some(Token::Word(word)) if word == "by" || word == "without")
        }
        _ => false,
    }
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit() || c == '.')
}

/// `(a, b)` at `at`; the index behind it.
fn label_list(tokens: &[Token], at: usize) -> Result<(Vec<String>, usize), String> {
    if tokens.get(at) != Some(&Token::Sign('(')) {
        return Err("a label list without '('".to_owned());
    }
    let mut labels = Vec::new();
    for (index, token) in tokens.iter().enumerate().skip(at + 1) {
        match token {
            Token::Word(label) => labels.push(label.clone()),
            Token::Sign(',') => {}
            Token::Sign(')') => return Ok((labels, index + 1)),
            other => return Err(format!("{other:?} in a label list")),
        }
    }
    Err("a label list is never closed".to_owned())
}

/// `{label="value", …}` at `at`, if there is one; the index behind it.
fn matchers(tokens: &[Token], at: usize) -> Result<(Vec<(String, String)>, usize), String> {
    if tokens.get(at) != Some(&Token::Sign('{')) {
        return Ok((Vec::new(), at));
    }
    let (mut found, mut label) = (Vec::new(), None);
    for (index, token) in tokens.iter().enumerate().skip(at + 1) {
        match token {
            Token::Word(word) => label = Some(word.clone()),
            Token::Text(value) => found.push((label.take().ok_or("a value without a label")?, value.clone())),
            Token::Sign('}') => return Ok((found, index + 1)),
            Token::Sign('=' | '~' | '!' | ',') => {}
            Token::Sign(other) => return Err(format!("'{other}' between braces")),
        }
    }
    Err("a '{' is never closed".to_owned())
}

fn skip_range(tokens: &[Token], at: usize) -> Result<usize, String> {
    let length = tokens[at..].iter().position(|token| *token == Token::Sign(']')).ok_or("a '[' is never closed")?;
    Ok(at + length + 1)
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '$');
    let (mut found, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            let end = rest[1..].find('"').ok_or("a string is never closed")?;
            found.push(Token::Text(rest[1..=end].to_owned()));
            end + 2
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            found.push(Token::Word(rest[..end].to_owned()));
            end
        } else {
            found.push(Token::Sign(first));
            first.len_utf8()
        };
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

#[test]
fn a_query_is_taken_apart() {
    let text =
        r#"(max by (a, b) (rate(m_total{x="1", y=~"2|3"}[5m])) > 0.5) and on (c) n == 1 unless (time() - o > 3)"#;
    let query = Query::parse(text).expect("well formed");
    let seen: Vec<(&str, &str)> =
        query.selectors.iter().map(|one| (one.name.as_str(), one.function.as_str())).collect();
    assert_eq!(seen, [("m_total", "rate"), ("n", ""), ("o", "")]);
    assert_eq!(query.selectors[0].matchers, [("x".into(), "1".into()), ("y".into(), "2|3".into())]);
    assert_eq!(query.grouping, ["a", "b", "c"]);
    let query = Query::parse("a and on (c) (sum(b) > 0)").expect("well formed");
    assert_eq!(query.selectors[1].function, "sum");
}
