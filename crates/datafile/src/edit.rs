//! Changes to one place of a file that leave everything else as it is: comments, order, layout, line ends.
//!
//! A change is made in the text and then read back: what would not come back as it was meant is refused.

use crate::column::ColumnDef;
use crate::datasource::parse_datasource;
use crate::directives::{Catalogue, DATASOURCE, Directive, Form, Treatment};
use crate::lexer::{Body, LineKind, Part, RawDirective};
use crate::print::{Datafile, PieceKind};
use crate::reader::dedent;
use crate::source::{SourceFile, Span, lines};

/// Why a file cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("{directive} is no directive that can be set in {kind} files")]
    NotSettable { directive: String, kind: &'static str },
    #[error("{directive} cannot hold {value:?}: it would not be read back as it is")]
    Unwritable { directive: String, value: String },
    #[error("{file} has no column '{column}' in SCHEMA")]
    NoColumn { file: String, column: String },
    #[error("'{column}' is the only column of SCHEMA in {file}; without SCHEMA the first file decides: remove SCHEMA")]
    OnlyColumn { file: String, column: String },
    #[error("{file} cannot be changed before it is right: {problem}")]
    Broken { file: String, problem: String },
    #[error("'{declaration}' is no declaration of the column '{column}'")]
    NotADeclaration { column: String, declaration: String },
}

/// Gives a directive this value, where it stands; or where its group is, if it is not there yet. More than one line
/// becomes a block, whose blank lines at the ends and blanks that all lines begin with do not count. The value is plain
/// text: a secret cannot be named.
///
/// # Errors
/// If there is no such directive, if it may appear more than once, if the value would not be read back, and if the
/// lines of the file are broken.
pub fn set(source: &SourceFile, catalogue: &Catalogue, name: &str, value: &str) -> Result<String, EditError> {
    let known = settable(catalogue, name)?;
    let name = known.same_as.unwrap_or(known.name);
    let file = whole(source, catalogue)?;
    let end = line_end(source);
    let written = written(name, value, known.form);
    let found = file.pieces().iter().position(|piece| is_called(&file, piece.kind, name, catalogue));
    let text = match found {
        Some(index) => replaced(&file, index, &written, end),
        None => inserted(&file, catalogue, known, &written, end),
    };
    let unwritable = || EditError::Unwritable { directive: name.to_owned(), value: value.to_owned() };
    let changed = Datafile::read(&SourceFile::new(source.name(), text.as_str()), catalogue);
    let same_count = changed.directives().len() == file.directives().len() + usize::from(found.is_none());
    let mut of_name = changed.directives().iter().filter(|directive| canonical(directive, catalogue) == name);
    let back = of_name.next().filter(|_| of_name.next().is_none()).map(|directive| read_back(&changed, directive));
    if !changed.problems().is_empty() || !same_count || back != Some(spelled(value)) {
        return Err(unwritable());
    }
    Ok(text)
}

/// Takes a directive out, and all of them if there are several. The text as it was if there is none.
///
/// # Errors
/// If the lines of the file are broken.
pub fn remove(source: &SourceFile, catalogue: &Catalogue, name: &str) -> Result<String, EditError> {
    let file = whole(source, catalogue)?;
    let known = catalogue.find(name);
    let name = known.and_then(|known| known.same_as).map_or_else(|| name.to_ascii_uppercase(), str::to_owned);
    let mut out = String::new();
    let (mut after_blank, mut removed) = (true, false);
    for piece in file.pieces() {
        if is_called(&file, piece.kind, &name, catalogue) {
            removed = true;
            continue;
        }
        let is_blank = piece.kind == PieceKind::Blank;
        // Two gaps around what is gone are one.
        if !(removed && is_blank && after_blank) {
            out.push_str(source.slice(piece.span));
        }
        (after_blank, removed) = (is_blank, false);
    }
    Ok(out)
}

/// Declares a column anew, or as the last one: `declaration` is what stands in SCHEMA, such as
/// `` `note` Nullable(String) DEFAULT 'none' ``, without a comma. A column is found by its name, as it is written or as
/// it is in the table.
///
/// # Errors
/// If the file has problems or no SCHEMA, or if the declaration is none of this column and nothing else.
pub fn put_column(source: &SourceFile, name: &str, declaration: &str) -> Result<String, EditError> {
    let columns = columns(source)?;
    let text = source.text();
    let declaration = declaration.trim();
    let changed = match columns.iter().find(|column| is_named(column, name)) {
        Some(column) => spliced(text, column.span, declaration),
        None => {
            let last = columns.last().ok_or_else(|| no_column(source, name))?;
            appended(source, last.span, declaration)
        }
    };
    let not_one = || EditError::NotADeclaration { column: name.to_owned(), declaration: declaration.to_owned() };
    let after = self::columns(&SourceFile::new(source.name(), changed.as_str())).map_err(|_| not_one())?;
    let others = |columns: &[ColumnDef]| -> Vec<String> {
        let others = columns.iter().filter(|column| !is_named(column, name));
        others
            .map(|column| format!("{:?} {:?}", column.column, column.codec.as_ref().map(|codec| &codec.value)))
            .collect()
    };
    let is_there = after.iter().any(|column| is_named(column, name));
    if !is_there || others(&after) != others(&columns) {
        return Err(not_one());
    }
    Ok(changed)
}

/// Takes a column out of SCHEMA, with a comment behind it.
///
/// # Errors
/// If the file has problems, has no such column or no other.
pub fn remove_column(source: &SourceFile, name: &str) -> Result<String, EditError> {
    let columns = columns(source)?;
    let index = columns.iter().position(|column| is_named(column, name)).ok_or_else(|| no_column(source, name))?;
    if columns.len() == 1 {
        return Err(EditError::OnlyColumn { file: source.name().to_owned(), column: name.to_owned() });
    }
    let text = source.text();
    let Span { start, end } = columns[index].span;
    let behind = comma_behind(text, end);
    let line = line_of(text, start);
    let last_line = line_of(text, behind.unwrap_or(end));
    let rest = text[behind.unwrap_or(end)..last_line.end].trim();
    let alone = text[line.start..start].trim().is_empty() && (rest.is_empty() || rest.starts_with("--"));
    let next = lines(text).find(|line| line.content == last_line).map_or(text.len(), |line| line.next);
    let cut = if alone {
        Span::new(line.start, next)
    } else if let Some(behind) = behind {
        let blanks = text[behind..last_line.end].len() - text[behind..last_line.end].trim_start().len();
        Span::new(start, behind + blanks)
    } else {
        // The last of several on one line: the comma in front goes with it.
        let before = text[..start].trim_end().trim_end_matches(',').len();
        Span::new(before.max(line.start), end)
    };
    let changed = spliced(text, cut, "");
    match self::columns(&SourceFile::new(source.name(), changed.as_str())) {
        Ok(after) if after.len() + 1 == columns.len() => Ok(changed),
        Ok(_) => Err(broken(source, format!("the column '{name}' cannot be taken out of its line"))),
        // Something else refers to it, such as a key.
        Err(error) => Err(error),
    }
}

fn settable(catalogue: &Catalogue, name: &str) -> Result<Directive, EditError> {
    let refused = || EditError::NotSettable { directive: name.to_ascii_uppercase(), kind: catalogue.kind };
    let known = catalogue.find(name).ok_or_else(refused)?;
    let once = !known.repeats || known.same_as.is_some();
    let is_read = matches!(known.treatment, Treatment::Used | Treatment::Ignored);
    if !once || !is_read || known.prefix().is_some() { Err(refused()) } else { Ok(known) }
}

fn whole(source: &SourceFile, catalogue: &Catalogue) -> Result<Datafile, EditError> {
    let file = Datafile::read(source, catalogue);
    match file.problems().first() {
        Some(problem) => Err(broken(source, problem.to_string())),
        None => Ok(file),
    }
}

fn broken(source: &SourceFile, problem: String) -> EditError {
    EditError::Broken { file: source.name().to_owned(), problem }
}

fn no_column(source: &SourceFile, name: &str) -> EditError {
    EditError::NoColumn { file: source.name().to_owned(), column: name.to_owned() }
}

fn line_end(source: &SourceFile) -> &'static str {
    if source.text().contains("\r\n") { "\r\n" } else { "\n" }
}

/// The one name of a directive that may have several.
fn canonical<'a>(directive: &'a RawDirective, catalogue: &Catalogue) -> &'a str {
    catalogue.find(&directive.name.value).and_then(|known| known.same_as).unwrap_or(&directive.name.value)
}

fn is_called(file: &Datafile, kind: PieceKind, name: &str, catalogue: &Catalogue) -> bool {
    matches!(kind, PieceKind::Directive(index) if canonical(&file.directives()[index], catalogue) == name)
}

/// A directive as it is to be written.
struct Written {
    name: String,
    /// Behind the name; `>` if there are lines below.
    head: String,
    lines: Vec<String>,
}

fn written(name: &str, value: &str, form: Form) -> Written {
    let name = name.to_owned();
    if form == Form::Block || value.contains('\n') {
        let lines = value.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect();
        return Written { name, head: ">".to_owned(), lines };
    }
    let plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '@' | '.' | '/' | ':' | '*');
    let head = if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    };
    Written { name, head, lines: Vec::new() }
}

/// The file with a directive in place of the one that is there. Comments of that one stay.
fn replaced(file: &Datafile, index: usize, new: &Written, end: &str) -> String {
    let source = file.source();
    let piece = file.pieces()[index];
    let PieceKind::Directive(directive) = piece.kind else { return source.text().to_owned() };
    let old = &file.directives()[directive];
    let mut lines = file.lines_in(piece.span);
    let first = lines.next().map_or(piece.span, |(_, line)| line.content);
    let value_end = match &old.body {
        Body::Inline(words) => words.last().map_or(old.name.span.end, |word| word.span.end),
        Body::Block(_) => {
            let behind = source.slice(Span::new(old.name.span.end, first.end));
            old.name.span.end + behind.find('>').map_or(0, |at| at + 1)
        }
    };
    let mut text = format!(" {}{}{end}", new.head, source.slice(Span::new(value_end, first.end)));
    new.lines.iter().for_each(|line| text.push_str(&format!("{line}{end}")));
    let comments = lines.filter(|(kind, _)| *kind == LineKind::Comment);
    comments.for_each(|(_, line)| text.push_str(&format!("{}{end}", source.slice(line.content))));
    spliced(source.text(), Span::new(old.name.span.end, piece.span.end), &text)
}

/// The file with a directive that is not there yet: behind the last one of its group or of a group before.
fn inserted(file: &Datafile, catalogue: &Catalogue, known: Directive, new: &Written, end: &str) -> String {
    let text = file.source().text();
    let group = |kind: PieceKind| match kind {
        PieceKind::Directive(index) => catalogue.find(&file.directives()[index].name.value).map(|known| known.group),
        _ => None,
    };
    let is_earlier = |kind: PieceKind| group(kind).is_some_and(|group| group <= known.group);
    let earlier = file.pieces().iter().rfind(|piece| is_earlier(piece.kind));
    let mut lines = format!("{} {}{end}", new.name, new.head);
    new.lines.iter().for_each(|line| lines.push_str(&format!("{line}{end}")));
    let Some(before) = earlier else {
        let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let gap = if text.len() > mark { end } else { "" };
        return spliced(text, Span::at(mark), &format!("{lines}{gap}"));
    };
    let at = before.span.end;
    let open = if text[..at].ends_with(['\n', '\r']) { "" } else { end };
    let is_block = |index: usize| matches!(file.directives()[index].body, Body::Block(_));
    let after_block = matches!(before.kind, PieceKind::Directive(index) if is_block(index));
    let apart = group(before.kind) != Some(known.group) || after_block || !new.lines.is_empty();
    let next = file.pieces().iter().find(|piece| piece.span.start == at);
    let behind = if !new.lines.is_empty() && next.is_some_and(|next| next.kind != PieceKind::Blank) { end } else { "" };
    spliced(text, Span::at(at), &format!("{open}{}{lines}{behind}", if apart { end } else { "" }))
}

/// A value as [`read_back`] gives it.
fn spelled(value: &str) -> String {
    if value.contains('\n') { dedent(&value.lines().collect::<Vec<_>>()) } else { value.to_owned() }
}

fn read_back(file: &Datafile, directive: &RawDirective) -> String {
    match &directive.body {
        Body::Inline(words) => {
            let text = |part: &Part| match part {
                Part::Text(text) => text.clone(),
                // Never what was asked for.
                Part::Template(_) => "\0".to_owned(),
            };
            let words: Vec<String> = words.iter().map(|word| word.parts.iter().map(text).collect()).collect();
            words.join("\0")
        }
        Body::Block(lines) => dedent(&lines.iter().map(|line| file.source().slice(*line)).collect::<Vec<_>>()),
    }
}

fn spliced(text: &str, span: Span, new: &str) -> String {
    format!("{}{new}{}", &text[..span.start], &text[span.end..])
}

/// The declared columns of a file without problems.
fn columns(source: &SourceFile) -> Result<Vec<ColumnDef>, EditError> {
    // What a secret holds does not matter to SCHEMA.
    let (datasource, found) = parse_datasource(source, &|_: &str| None);
    match found.iter().find(|found| found.is_error() && found.code != "missing_secret") {
        Some(problem) => Err(broken(source, problem.to_string())),
        None => Ok(datasource.columns.unwrap_or_default()),
    }
}

fn is_named(column: &ColumnDef, name: &str) -> bool {
    column.name.value == name || column.column.name == name
}

/// The line that a place is in, without its end.
fn line_of(text: &str, at: usize) -> Span {
    lines(text).find(|line| at <= line.content.end).map_or(Span::at(text.len()), |line| line.content)
}

/// Behind the comma that follows a column on its line, if one does.
fn comma_behind(text: &str, end: usize) -> Option<usize> {
    let rest = &text[end..];
    rest.trim_start().starts_with(',').then(|| end + (rest.len() - rest.trim_start().len()) + 1)
}

fn appended(source: &SourceFile, last: Span, declaration: &str) -> String {
    let text = source.text();
    let file = Datafile::read(source, &DATASOURCE);
    let schema = file.directives().iter().find(|directive| directive.name.value == "SCHEMA");
    let inline = schema.is_some_and(|schema| matches!(schema.body, Body::Inline(_)));
    let comma = comma_behind(text, last.end);
    if inline {
        return spliced(
            text,
            Span::at(comma.unwrap_or(last.end)),
            &match comma {
                Some(_) => format!(" {declaration}"),
                None => format!(", {declaration}"),
            },
        );
    }
    let begin = line_of(text, last.start);
    let indent = &text[begin.start..begin.end - text[begin.start..begin.end].trim_start().len()];
    let line = line_of(text, comma.unwrap_or(last.end));
    let behind = format!("{}{indent}{declaration}", line_end(source));
    let with_line = spliced(text, Span::at(line.end), &behind);
    match comma {
        Some(_) => with_line,
        None => spliced(&with_line, Span::at(last.end), ","),
    }
}
