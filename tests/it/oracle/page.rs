//! `docs/datafiles.md`: what it says of directives is what the catalogue says, and what it says of differences is what
//! the comparison with the clients holds to be true. `WRITE_DOCS=1` writes these parts anew.
//!
//! A generated part stands between `<!-- begin NAME -->` and `<!-- end -->`.

use std::path::{Path, PathBuf};

use connector_datafile::directives::{CONNECTION, Catalogue, DATASOURCE, Directive, Group, Treatment};

use super::clients::CLIENTS;
use super::differences::{self, Difference};
use super::folder;

const CATALOGUES: [&Catalogue; 2] = [&CONNECTION, &DATASOURCE];

const GROUPS: [Group; 7] =
    [Group::About, Group::Columns, Group::Engine, Group::Import, Group::Csv, Group::Access, Group::Foreign];

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/datafiles.md")
}

/// All generated parts by their names.
fn parts() -> Vec<(String, String)> {
    let mut parts = Vec::new();
    for catalogue in CATALOGUES {
        for group in GROUPS {
            let directives = || catalogue.all().iter().filter(move |directive| directive.group == group);
            if directives().next().is_some() {
                let name = format!("{} {group:?}", catalogue.kind).to_lowercase();
                let rows = directives().map(row).collect::<String>();
                let head = "| directive | takes | without it | what it is |\n|---|---|---|---|\n";
                parts.push((name, format!("{head}{rows}")));
            }
        }
    }
    let (accepted, refused): (Vec<_>, Vec<_>) =
        differences::read().into_iter().partition(|(_, difference)| difference.here);
    let rows: String = refused.iter().map(|(file, one)| refused_row(file, one)).collect();
    parts.push(("refused".to_owned(), format!("| file | accepted by | why not here |\n|---|---|---|\n{rows}")));
    let rows: String = accepted.iter().map(|(file, one)| format!("| {} | {} |\n", link(file), one.reason)).collect();
    parts.push(("accepted".to_owned(), format!("| file | why it is accepted here |\n|---|---|\n{rows}")));
    parts
}

fn row(directive: &Directive) -> String {
    let Directive { name, treatment, argument, default, required, about, .. } = directive;
    let takes = match *argument {
        "" => String::new(),
        mixed if mixed.contains('`') => mixed.to_owned(),
        plain => format!("`{plain}`"),
    };
    let without = match (required, default) {
        (Some(when), _) => format!("refused {when}").replace("refused always", "refused"),
        (None, Some(default)) => (*default).to_owned(),
        (None, None) => String::new(),
    };
    let what = match treatment {
        Treatment::Used => (*about).to_owned(),
        Treatment::Ignored => format!("*ignored*: {about}"),
        Treatment::Deprecated(hint) | Treatment::Refused(hint) => format!("*{}*: {about}; {hint}", treatment.word()),
    };
    let cells = [format!("`{name}`"), takes, without, what].map(|cell| cell.replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | "))
}

fn link(file: &str) -> String {
    format!("[{file}](../tests/oracle/corpus/{file})")
}

fn refused_row(file: &str, Difference { accepted_by, refused_later_by, reason, .. }: &Difference) -> String {
    let name = |name: &String| {
        let later = if refused_later_by.contains(name) { ", until it makes the table" } else { "" };
        format!("{}{}{later}", name[..1].to_uppercase(), &name[1..])
    };
    let who = accepted_by.iter().map(name).collect::<Vec<_>>().join("; ");
    format!("| {} | {who} | {reason} |\n", link(file))
}

/// The text with this part in the place of what stands between its marks; `None` without the marks.
fn with_part(text: &str, name: &str, part: &str) -> Option<String> {
    let begin = format!("<!-- begin {name} -->\n");
    let start = text.find(&begin)? + begin.len();
    let end = start + text[start..].find("\n<!-- end -->")?;
    Some(format!("{}\n{}{}", &text[..start], part, &text[end..]))
}

#[test]
fn the_page_says_what_the_catalogue_and_the_comparison_say() {
    let text = std::fs::read_to_string(path()).expect("readable");
    let parts = parts();
    let mut wanted = text.clone();
    for (name, part) in &parts {
        wanted = with_part(&wanted, name, part).unwrap_or_else(|| panic!("docs/datafiles.md has no part '{name}'"));
    }
    assert_eq!(text.matches("<!-- begin ").count(), parts.len(), "docs/datafiles.md has a part that nothing writes");
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(path(), &wanted).expect("written");
        return;
    }
    let line = text.lines().zip(wanted.lines()).position(|(is, should)| is != should);
    let line = line.unwrap_or_else(|| text.lines().count().min(wanted.lines().count()));
    let shown = (text.lines().nth(line), wanted.lines().nth(line));
    assert!(text == wanted, "docs/datafiles.md:{}: {shown:?}; WRITE_DOCS=1 mends it", line + 1);
}

/// The page names the versions that it speaks of.
#[test]
fn the_page_names_the_clients_that_were_asked() {
    let text = std::fs::read_to_string(path()).expect("readable");
    for client in CLIENTS {
        let list = std::fs::read_to_string(folder().join(client).with_extension("txt")).expect("readable");
        let pin = list.lines().find(|line| line.starts_with("tinybird")).expect("the client is pinned");
        let (package, version) = pin.split_once("==").expect("a version");
        assert!(text.contains(&format!("`{package}` {version}")), "the page does not name {pin}");
    }
}

/// Every directive has its row, with its treatment.
#[test]
fn every_directive_is_in_the_page_with_its_treatment() {
    let text = std::fs::read_to_string(path()).expect("readable");
    let all = |catalogue: &'static Catalogue| catalogue.all().iter();
    for directive in CATALOGUES.into_iter().flat_map(all) {
        let begin = format!("| `{}` |", directive.name);
        let word = match directive.treatment {
            Treatment::Used => "",
            other => &format!("*{}*", other.word()),
        };
        let mut rows = text.lines().filter(|line| line.starts_with(&begin));
        assert!(rows.any(|row| row.contains(word)), "docs/datafiles.md has no row '{begin} ... {word}'");
    }
}
