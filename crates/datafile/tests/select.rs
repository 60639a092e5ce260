//! What selects files and times: `IMPORT_EXCLUDE`, `IMPORT_SCHEDULE`, `IMPORT_BUCKET_URI`.

use connector_core::spec::Schedule;
use connector_datafile::{DataSource, Diagnostic, SourceFile, parse_datasource};

fn parse(lines: &str) -> (DataSource, Vec<Diagnostic>) {
    let text = format!("IMPORT_CONNECTION_NAME c\nIMPORT_BUCKET_URI s3://bkt/in/*.csv\n{lines}\n");
    parse_datasource(&SourceFile::new("datasources/orders.datasource", text), &|_: &str| None)
}

fn patterns(lines: &str) -> Vec<String> {
    let (datasource, problems) = parse(lines);
    assert_eq!(problems, [], "{lines}");
    let import = datasource.import.expect("an import");
    import.exclude.iter().map(|pattern| pattern.value.as_str().to_owned()).collect()
}

/// Code, place in the third line, and message of the only problem.
fn problem(lines: &str) -> (&'static str, usize, String) {
    let (_, problems) = parse(lines);
    let [problem] = &problems[..] else { panic!("{lines}: {problems:?}") };
    let place = problem.place.as_ref().expect("a place");
    let (line, column) = place.file.line_column(place.span.start);
    assert_eq!(line, 3, "{problem}");
    (problem.code, column, format!("{}; {}", problem.message, problem.hints.join("; ")))
}

#[test]
fn exclusions_are_read_in_all_their_spellings() {
    assert_eq!(patterns(""), Vec::<String>::new());
    assert_eq!(patterns("IMPORT_EXCLUDE tmp/ *.bak"), ["tmp/", "*.bak"]);
    assert_eq!(
        patterns("IMPORT_EXCLUDE \"in/a b/*\" # not these\nimport_exclude '{x,y}/**'"),
        ["in/a b/*", "{x,y}/**"]
    );
    assert_eq!(patterns("IMPORT_EXCLUDE >\n    in/tmp\n    s3://bkt/in/old/*.csv\n"), ["in/tmp", "in/old/*.csv"]);
}

#[test]
fn bad_exclusions_are_refused_at_their_place() {
    for (line, code, column, said) in [
        ("IMPORT_EXCLUDE", "missing_value", 1, "needs a value"),
        ("IMPORT_EXCLUDE tmp/ a[b", "bad_exclude", 22, "never closed"),
        ("IMPORT_EXCLUDE s3://bkt/x/{a", "bad_exclude", 27, "never closed"),
        ("IMPORT_EXCLUDE s3://other/x", "bad_exclude", 16, "reads the bucket bkt, not other"),
        ("IMPORT_EXCLUDE /tmp", "bad_exclude", 16, "remove the first '/'"),
        ("IMPORT_EXCLUDE tmp/, *.bak", "bad_exclude", 16, "put blanks between patterns"),
        ("IMPORT_EXCLUDE \"\"", "bad_exclude", 16, "nothing would be imported"),
        ("IMPORT_EXCLUDE s3://bkt", "bad_exclude", 16, "nothing would be imported"),
    ] {
        let found = problem(line);
        assert_eq!((found.0, found.1), (code, column), "{line}: {}", found.2);
        assert!(found.2.contains(said), "{line}: {}", found.2);
    }
}

#[test]
fn cron_schedules_are_read_with_and_without_quotes() {
    for line in ["30 3 * * MON-FRI", "\"30 3 * * MON-FRI\"", "'30  3 * * MON-FRI'"] {
        let (datasource, problems) = parse(&format!("IMPORT_SCHEDULE {line}"));
        assert_eq!(problems, [], "{line}");
        let schedule = datasource.import.expect("an import").schedule;
        assert!(matches!(schedule, Schedule::Cron(_)) && schedule.as_str() == "30 3 * * MON-FRI", "{schedule:?}");
    }
}

#[test]
fn bad_schedules_are_refused_at_the_field_that_is_wrong() {
    for (line, column, said) in [
        ("60 * * * *", 17, "'60' is no minute"),
        ("\"0 24 * * *\"", 20, "'24' is no hour"),
        ("0 0 30 2 *", 21, "never come"),
        ("*/5 * * *", 17, "here are 4"),
        ("0 0 0 1 1 ?", 27, "here are 6"),
        ("@daily", 17, "write it as a cron expression: 0 0 * * *"),
        ("@every 5m", 17, "each five minutes is */5 * * * *"),
        ("@atuo", 17, "did you mean '@auto'"),
        ("sometimes", 17, "a schedule is @auto, @on-demand, or a cron expression"),
    ] {
        let found = problem(&format!("IMPORT_SCHEDULE {line}"));
        assert_eq!((found.0, found.1), ("bad_schedule", column), "{line}: {}", found.2);
        assert!(found.2.contains(said), "{line}: {}", found.2);
    }
}
