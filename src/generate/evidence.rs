//! Why a column has its type, in lines of comment.

use connector_core::ports::ColumnEvidence;
use connector_core::quarantine::shown;

use super::Chosen;

/// The lines above a column. `widened`: the value that made a String of it; `extent`: its least and greatest value in
/// the rows that were `looked` at.
pub(super) fn comments(
    chosen: &Chosen,
    evidence: Option<&ColumnEvidence>,
    widened: Option<&str>,
    extent: Option<(&str, &str)>,
    looked: &str,
) -> Vec<String> {
    let Some(evidence) = evidence else { return Vec::new() };
    let column = &chosen.column;
    let mut because = format!("{}: {}", column.name, evidence.because);
    if column.source != column.name {
        because = format!("{} ('{}' in files): {}", column.name, shown(&column.source), evidence.because);
    }
    if let Some(message) = widened {
        because.push_str(&format!("; but further down {message}"));
    } else if chosen.is_type_given {
        because.push_str("; its type was chosen by hand");
    }
    let mut seen = format!("  in the sample {} values, {} empty or NULL", evidence.values, evidence.nulls);
    if !evidence.examples.is_empty() {
        let examples: Vec<String> = evidence.examples.iter().map(|example| format!("'{}'", shown(example))).collect();
        seen.push_str(&format!(", such as {}", examples.join(", ")));
    }
    let mut lines = vec![because, seen];
    if let Some((least, greatest)) = extent {
        lines.push(format!("  in {looked} from {} to {}", shown(least), shown(greatest)));
    }
    lines
}
