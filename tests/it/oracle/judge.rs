//! Compares what the clients say, what we say, and what is declared.

use super::clients::{Answer, Answers};
use super::differences::{Difference, Differences};
use super::verdict::Verdict;

/// A file with all that is said of it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub file: String,
    /// By client; only those that read this kind of file.
    pub answers: Vec<(&'static str, Answer)>,
    pub ours: Verdict,
}

pub fn subject(file: &str, answers: &[Answers], ours: Verdict) -> Subject {
    let of = |all: &Answers| Some((all.client, all.files.get(file)?.clone()));
    Subject { file: file.to_owned(), answers: answers.iter().filter_map(of).collect(), ours }
}

impl Subject {
    fn clients(&self, which: impl Fn(&Answer) -> bool) -> Vec<String> {
        self.answers.iter().filter(|(_, answer)| which(answer)).map(|(name, _)| (*name).to_owned()).collect()
    }

    /// What would have to be declared; `None` if we and the clients agree: on what their parsers accept, and on what is
    /// left of that behind their parsers.
    fn difference(&self) -> Option<Difference> {
        let here = self.ours.accepted();
        let accepted_by = self.clients(|answer| answer.accepted);
        let refused_later_by = self.clients(|answer| answer.later);
        let taken = accepted_by.len() > refused_later_by.len();
        let differs = here == accepted_by.is_empty() || here != taken;
        differs.then_some(Difference { here, accepted_by, refused_later_by, reason: String::new() })
    }

    /// A file that we and a client accept has the same columns for both: to accept it is not yet to read it.
    fn misread(&self) -> Option<String> {
        let Self { file, answers, ours } = self;
        let accepted = answers.iter().filter(|(_, answer)| answer.accepted && ours.accepted());
        let mut columns = accepted.map(|(client, answer)| (client, &answer.columns));
        let (client, theirs) = columns.find(|(_, theirs)| **theirs != ours.columns)?;
        Some(format!("{file}: {client} reads the columns {theirs:?}, we read {:?}", ours.columns))
    }

    fn shown(&self) -> String {
        let mut lines = String::new();
        for (client, Answer { accepted, error, .. }) in &self.answers {
            let verdict = if *accepted { "accepts" } else { "refuses" };
            lines += &format!("\n    {client} {verdict} it: {}", error.as_deref().unwrap_or("no objection"));
        }
        for (code, message, line) in &self.ours.errors {
            lines += &format!("\n    we refuse it: [{code}] {message} (line {line:?})");
        }
        lines
    }
}

/// Refusals of a file that cannot be read as text, and so has no lines.
const WITHOUT_LINES: [&str; 1] = ["unreadable_file"];

/// Everything that is not as it should be; empty if nothing is wrong.
pub fn judge(subjects: &[Subject], declared: &Differences) -> Vec<String> {
    let mut problems = Vec::new();
    for subject in subjects {
        let Subject { file, answers, ours } = subject;
        if answers.is_empty() {
            problems.push(format!("{file}: no client was asked"));
        }
        let lineless = |(code, _, line): &&(String, String, Option<usize>)| {
            line.is_none() && !WITHOUT_LINES.contains(&code.as_str())
        };
        for (code, message, _) in ours.errors.iter().filter(lineless) {
            problems.push(format!("{file}: refused without a line: [{code}] {message}"));
        }
        problems.extend(subject.misread());
        match (subject.difference(), declared.get(file)) {
            (None, None) => {}
            (Some(_), None) => problems.push(format!("{file}: a difference, not declared{}", subject.shown())),
            (None, Some(_)) => {
                problems.push(format!("{file}: declared, but no difference any more{}", subject.shown()))
            }
            (Some(found), Some(declared)) => {
                if found.here != declared.here {
                    let word = |accepted| if accepted { "accepted" } else { "refused" };
                    let (found_word, declared) = (word(found.here), word(declared.here));
                    problems.push(format!("{file}: {found_word} here, declared as {declared}{}", subject.shown()));
                }
                if found.accepted_by != declared.accepted_by {
                    let (found, declared) = (&found.accepted_by, &declared.accepted_by);
                    problems.push(format!("{file}: accepted by {found:?}, declared {declared:?}"));
                }
                if found.refused_later_by != declared.refused_later_by {
                    let (found, declared) = (&found.refused_later_by, &declared.refused_later_by);
                    problems.push(format!("{file}: refused later by {found:?}, declared {declared:?}"));
                }
            }
        }
    }
    let known = |file: &&String| !subjects.iter().any(|subject| subject.file == **file);
    problems.extend(declared.keys().filter(known).map(|file| format!("{file}: declared, but there is no such file")));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(accepted: bool) -> Answer {
        Answer { accepted, error: None, later: false, columns: Vec::new() }
    }

    fn refused(line: Option<usize>) -> Verdict {
        Verdict { errors: vec![("bad".to_owned(), "it is bad".to_owned(), line)], columns: Vec::new() }
    }

    fn one(forward: bool, classic: bool, ours: Verdict) -> Subject {
        let answers = vec![("forward", answer(forward)), ("classic", answer(classic))];
        Subject { file: "a".to_owned(), answers, ours }
    }

    /// The older client accepts it, and refuses it behind its parser.
    fn only_later(ours: Verdict) -> Subject {
        let later = Answer { later: true, ..answer(true) };
        Subject { answers: vec![("forward", answer(false)), ("classic", later)], ..one(false, true, ours) }
    }

    fn declare(here: bool, accepted_by: &[&str], later: &[&str]) -> Differences {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (accepted_by, refused_later_by) = (names(accepted_by), names(later));
        [("a".to_owned(), Difference { here, accepted_by, refused_later_by, reason: "because".to_owned() })].into()
    }

    #[test]
    fn it_is_content_where_all_agree_or_all_is_declared() {
        let nothing = Differences::new();
        for (subject, declared) in [
            (one(true, true, Verdict::default()), nothing.clone()),
            (one(true, false, Verdict::default()), nothing.clone()),
            (one(false, false, refused(Some(1))), nothing),
            (one(false, true, refused(Some(1))), declare(false, &["classic"], &[])),
            (one(false, false, Verdict::default()), declare(true, &[], &[])),
            (only_later(Verdict::default()), declare(true, &["classic"], &["classic"])),
        ] {
            assert_eq!(judge(&[subject], &declared), [""; 0]);
        }
    }

    #[test]
    fn it_objects_to_each_kind_of_difference() {
        let nothing = Differences::new();
        let later = Answer { later: true, ..answer(true) };
        let refused_later = Subject {
            answers: vec![("forward", answer(true)), ("classic", later)],
            ..one(true, true, refused(Some(1)))
        };
        for (subject, declared, expected) in [
            (one(true, false, refused(Some(1))), nothing.clone(), "a: a difference, not declared"),
            (one(false, false, Verdict::default()), nothing.clone(), "a: a difference, not declared"),
            (
                one(true, true, Verdict::default()),
                declare(true, &["forward", "classic"], &[]),
                "a: declared, but no differ",
            ),
            (one(false, false, refused(Some(1))), declare(false, &[], &[]), "a: declared, but no difference any more"),
            (
                one(false, true, refused(Some(1))),
                declare(false, &["forward"], &[]),
                "a: accepted by [\"classic\"], declared",
            ),
            (
                refused_later,
                declare(false, &["forward", "classic"], &[]),
                "a: refused later by [\"classic\"], declared []",
            ),
            (only_later(Verdict::default()), nothing.clone(), "a: a difference, not declared"),
            (only_later(refused(Some(1))), nothing.clone(), "a: a difference, not declared"),
            (
                one(false, true, refused(Some(1))),
                declare(true, &["classic"], &[]),
                "a: refused here, declared as accep",
            ),
            (one(false, false, refused(None)), nothing.clone(), "a: refused without a line: [bad] it is bad"),
            (
                one(true, false, Verdict { columns: vec!["id".to_owned()], ..Verdict::default() }),
                nothing.clone(),
                "a: forward reads the columns [], we read [\"id\"]",
            ),
            (Subject { answers: Vec::new(), ..one(true, true, refused(Some(1))) }, nothing, "a: no client was asked"),
        ] {
            let problems = judge(&[subject], &declared);
            assert!(matches!(problems.as_slice(), [one] if one.starts_with(expected)), "{expected}: {problems:?}");
        }
        let problems = judge(&[], &declare(true, &[], &[]));
        assert_eq!(problems, ["a: declared, but there is no such file"]);
    }
}
