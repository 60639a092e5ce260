//! The command line from outside: what goes to which stream, exit codes, syncs and retries with and without a running
//! program, and programs that hang.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Cloud, Daemon, Finished, Home};

/// A home whose import `orders` has read two files of four rows, one of which does not fit.
fn imported() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    let schema = "SCHEMA >\n    id Int64\n\nIMPORT_CONNECTION_NAME shop\n";
    home.datasource_text("orders", &format!("{schema}IMPORT_BUCKET_URI s3://drop/*.csv\nIMPORT_SCHEDULE @on-demand\n"));
    home.put("drop", "1.csv", "id\n1\n2\n").put("drop", "2.csv", "id\n3\nx\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    (home, cloud)
}

/// A verb that finds the program at its port.
fn beside(home: &Home, cloud: &Cloud, daemon: &Daemon, arguments: &[&str]) -> Finished {
    let mut command = home.command(cloud.endpoint(), arguments);
    Finished::of(command.env("S3_CONNECTOR_LISTEN_API", daemon.api.to_string()).output().expect("the program starts"))
}

#[track_caller]
fn one_document(finished: &Finished, what: &str) -> Value {
    let text = &finished.stdout;
    let document = serde_json::from_str(text);
    document.unwrap_or_else(|error| panic!("{what}: {error}: {text}\nstderr:\n{}", finished.stderr))
}

// -------------------------------------------------------------------------------------------------------- documents

/// The verbs with `--json`, as the command line knows them.
fn verbs_with_json() -> BTreeSet<String> {
    let mut tree = s3_connector::cli::command();
    tree.build();
    let (mut found, mut open) = (BTreeSet::new(), vec![(String::new(), tree)]);
    while let Some((name, command)) = open.pop() {
        if !command.has_subcommands() && command.get_arguments().any(|one| one.get_long() == Some("json")) {
            found.insert(name.trim().to_owned());
        }
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
            open.push((format!("{name} {}", verb.get_name()), verb.clone()));
        }
    }
    found
}

#[test]
fn with_json_every_verb_prints_one_document_and_nothing_else_also_if_it_fails() {
    let (home, cloud) = imported();
    let nowhere = home.path("nowhere").display().to_string();
    let verbs = verbs_with_json();
    assert!(verbs.len() >= 18, "{verbs:?}");
    for verb in verbs {
        let mut words: Vec<&str> = verb.split(' ').collect();
        words.push("--json");
        // Whether a verb wants a data source or not: it succeeds, or says as a document that it does not.
        let named = match &*verb {
            "explain" => vec!["s3://drop/1.csv"],
            "rollback" => vec!["01ARZ3NDEKTSV4RRFFQ69G5FAV"],
            _ => vec!["orders"],
        };
        for arguments in [words.clone(), [&words[..], &named].concat(), [&words[..], &["--no-such-flag"]].concat()] {
            let finished = home.run(cloud.endpoint(), &arguments);
            let document = one_document(&finished, &format!("{arguments:?}"));
            if arguments.contains(&"--no-such-flag") {
                assert_eq!((finished.code, &document["error"]["code"]), (2, &"usage".into()), "{arguments:?}");
            }
            assert!(!finished.stdout.contains('\u{1b}'), "{arguments:?}: {}", finished.stdout);
        }
        // What makes files makes their folder, too; and there are no connections in one that is not there.
        if verb.ends_with(" generate") || verb.contains(" create") || verb.starts_with("connection ") {
            continue;
        }
        let broken = [&words[..], &named, &["--config", &nowhere]].concat();
        let finished = home.run(cloud.endpoint(), &broken);
        let document = one_document(&finished, &format!("{broken:?}"));
        assert_eq!(finished.code, 2, "{broken:?}: {}", finished.stderr);
        let told = document.to_string();
        assert!(told.contains("folder") || document["error"]["code"] == "usage", "{broken:?}: {told}");
    }
}

#[test]
fn problems_of_files_are_in_the_document_with_their_places() {
    let (home, cloud) = imported();
    home.datasource_text("orders", "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URL s3://drop/*.csv\n");
    let finished = home.run(cloud.endpoint(), &["history", "orders", "--json"]).expect_code(2);
    let error = &one_document(&finished, "history")["error"];
    assert_eq!((&error["code"], &error["class"]), (&"bad_configuration".into(), &"config".into()));
    let all = error["diagnostics"].as_array().expect("a list");
    let found = all.iter().find(|one| one["code"] == "unknown_directive").expect("the one");
    assert_eq!((&found["line"], &found["column"]), (&2.into(), &1.into()), "{error}");
    assert!(found["file"].as_str().is_some_and(|file| file.ends_with("orders.datasource")), "{error}");
    assert!(finished.stderr.contains("orders.datasource:2:1"), "{}", finished.stderr);
}

#[test]
fn colour_is_for_those_who_ask_when_there_is_no_terminal() {
    let (home, cloud) = imported();
    let with = |arguments: &[&str], variable: Option<(&str, &str)>| {
        let mut command = home.command(cloud.endpoint(), arguments);
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env("TERM", "xterm");
        command.envs(variable);
        Finished::of(command.output().expect("the program starts"))
    };
    let coloured = |finished: Finished| finished.stdout.contains('\u{1b}') || finished.stderr.contains('\u{1b}');
    assert!(!coloured(with(&["status"], None)));
    assert!(coloured(with(&["status", "--color", "always"], None)));
    assert!(coloured(with(&["status"], Some(("CLICOLOR_FORCE", "1")))));
    assert!(!coloured(with(&["status", "--color=never"], Some(("CLICOLOR_FORCE", "1")))));
    assert!(!coloured(with(&["status", "--json", "--color", "always"], None)), "a document has none");
    assert!(!coloured(with(&["status", "nothing"], None)));
    assert!(coloured(with(&["status", "nothing", "--color", "always"], None)));
}

#[test]
fn completions_are_scripts_that_shells_take() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run("http://127.0.0.1:9", &["completions", shell]).expect_code(0).stdout;
        for word in ["quarantine", "scheduling", "no-wait"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
        fs::write(home.path(shell), &script).expect("script");
    }
    let checked = Command::new("bash").arg("-n").arg(home.path("bash")).output();
    if let Ok(checked) = checked {
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    home.run("http://127.0.0.1:9", &["completions", "csh"]).expect_code(2);
}

// ---------------------------------------------------------------------------------------------------- sync and retry

#[test]
fn a_sync_imports_what_is_new_with_or_without_a_running_program() {
    let (home, cloud) = imported();
    home.put("drop", "3.csv", "id\n3\n4\n5\n");
    let alone = home.run(cloud.endpoint(), &["datasource", "sync", "orders", "--json"]).expect_code(0);
    let synced = one_document(&alone, "sync");
    assert_eq!((&synced["files"], &synced["rows"]), (&1.into(), &3.into()), "{synced}");
    home.run(cloud.endpoint(), &["datasource", "sync", "orders", "--no-wait"]).expect_code(2);

    let daemon = Daemon::start(&home, cloud.endpoint(), "1h");
    home.put("drop", "4.csv", "id\n6\n").put("drop", "5.csv", "id\n7\n8\n");
    let through = beside(&home, &cloud, &daemon, &["datasource", "sync", "orders"]).expect_code(0);
    assert!(through.stdout.contains("orders  2      3"), "{}", through.stdout);
    for stream in [&through.stdout, &through.stderr] {
        assert!(!stream.contains('\r') && !stream.contains('\u{1b}') && !stream.contains("[#"), "{stream}");
    }
    let again = beside(&home, &cloud, &daemon, &["datasource", "sync", "orders", "--json"]).expect_code(0);
    assert_eq!(one_document(&again, "sync")["files"], 0);

    home.put("drop", "6.csv", "id\n9\n");
    let accepted = beside(&home, &cloud, &daemon, &["datasource", "sync", "orders", "--no-wait", "--json"]);
    assert_eq!(one_document(&accepted.expect_code(0), "sync")["state"], "running");
    daemon.wait_for_files("orders", "ingested", 6);

    beside(&home, &cloud, &daemon, &["datasource", "scheduling", "pause", "orders"]).expect_code(0);
    let paused = beside(&home, &cloud, &daemon, &["datasource", "sync", "orders"]).expect_code(2);
    assert!(paused.stderr.contains("Paused") && paused.stderr.contains("resume"), "{}", paused.stderr);
}

#[test]
fn a_sync_on_a_terminal_draws_a_bar_and_leaves_no_trace_of_it() {
    let (home, cloud) = imported();
    let row = "1234567\n".repeat(40_000);
    for number in 3..23 {
        home.put("drop", &format!("{number}.csv"), format!("id\n{row}"));
    }
    let program = home.command(cloud.endpoint(), &["datasource", "sync", "orders"]);
    let line = format!("'{}' datasource sync orders", program.get_program().display());
    let mut terminal = Command::new("script");
    terminal.args(["-q", "-e", "-c", &line, "/dev/null"]).current_dir(home.path("."));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    terminal.env("TERM", "xterm").env("COLUMNS", "60").env_remove("NO_COLOR").stdin(std::process::Stdio::null());
    let Ok(output) = terminal.output() else {
        eprintln!("NOT RUN: there is no script(1)");
        return;
    };
    let shown = Finished::of(output).expect_code(0).stdout;
    let drawn: Vec<&str> = shown.split("\r\u{1b}[2K").collect();
    assert!(drawn.len() >= 3, "{shown}");
    assert!(drawn.iter().any(|text| text.starts_with("orders")), "{shown}");
    let (last, bars) = drawn.split_last().expect("something");
    assert!(bars.iter().skip(1).all(|text| text.lines().next().unwrap_or_default().chars().count() < 60), "{shown}");
    assert!(last.contains("rows 800000"), "too wide for the terminal, so each row goes over several lines: {last}");
    assert!(last.contains("\u{1b}[1morders\u{1b}[0m"), "bold on a terminal: {last}");
}

#[test]
fn a_retry_takes_all_that_failed_or_one_key_and_says_what_to_do_otherwise() {
    let (home, cloud) = imported();
    let schema = "SCHEMA >\n    id Int64\n\nIMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/*\n";
    home.datasource_text("orders", &format!("{schema}IMPORT_SCHEDULE @on-demand\n"));
    // They end before they should.
    home.put("drop", "bad.parquet", b"PAR1 nothing").put("drop", "worse.parquet", b"PAR1 less");
    home.run(cloud.endpoint(), &["datasource", "sync", "orders"]).expect_code(3);
    let failed = |home: &Home| home.counts("orders").files.get("failed").copied().unwrap_or_default();
    assert_eq!(failed(&home), 2);
    let retry = |arguments: &[&str]| {
        home.run(cloud.endpoint(), &[&["datasource", "retry", "orders"], arguments].concat()).expect_code(0).stdout
    };
    assert!(retry(&["--file", "1.csv"]).contains("s3-connector explain 's3://drop/1.csv'"));
    assert!(retry(&["--file", "s3://drop/bad.parquet"]).contains("1 file will be read"));
    assert_eq!(failed(&home), 1);
    let rest: Value = serde_json::from_str(&retry(&["--json"])).expect("one document");
    assert_eq!(rest["files"], 1, "the other one is claimable already");
    assert_eq!(failed(&home), 0);

    home.run(cloud.endpoint(), &["datasource", "sync", "orders"]).expect_code(3);
    assert_eq!(failed(&home), 2);
    let daemon = Daemon::start(&home, cloud.endpoint(), "1h");
    let through = beside(&home, &cloud, &daemon, &["datasource", "retry", "orders"]).expect_code(0);
    assert!(through.stdout.contains("2 files will be read"), "{}", through.stdout);
    beside(&home, &cloud, &daemon, &["datasource", "sync", "orders", "--json"]).expect_code(3);
}

// -------------------------------------------------------------------------------------------- the program, or another

#[test]
fn status_tells_of_the_program_and_what_it_refuses_while_the_files_are_broken() {
    let (home, cloud) = imported();
    let daemon = Daemon::start(&home, cloud.endpoint(), "500ms");
    daemon.wait_for_state("orders", "Running");
    home.datasource_text("orders", "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URL s3://drop/*.csv\n");
    crate::harness::until("the refusal", || {
        let (_, body) = daemon.get(daemon.api, "/api/v1/config");
        body.contains("IMPORT_BUCKET_URI").then_some(())
    });
    let told = beside(&home, &cloud, &daemon, &["status"]).expect_code(2);
    for part in ["Running", "refused the configuration", "orders.datasource:2:1", "IMPORT_BUCKET_URI", "push --dry-run"]
    {
        assert!(told.stdout.contains(part), "{part}:\n{}\n{}", told.stdout, told.stderr);
    }
    let one = beside(&home, &cloud, &daemon, &["status", "orders", "--json"]).expect_code(2);
    let document = one_document(&one, "status");
    assert_eq!(document[0]["state"], "Running");
    assert!(document[0]["configuration"]["refused"]["message"].is_string(), "{document}");
    beside(&home, &cloud, &daemon, &["status", "visits"]).expect_code(2);
    daemon.terminate();
    // Nobody is left to tell anything but what is wrong with the files.
    let alone = home.run(cloud.endpoint(), &["status"]).expect_code(2);
    assert!(alone.stdout.is_empty() && alone.stderr.contains("orders.datasource:2:1"), "{}", alone.stderr);
}

#[test]
fn a_program_that_hangs_is_not_waited_for_and_the_verb_says_what_to_do() {
    let (home, cloud) = imported();
    let daemon = Daemon::start(&home, cloud.endpoint(), "1h");
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &daemon.pid().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    };
    signal("-STOP");
    let began = Instant::now();
    std::thread::scope(|scope| {
        let run = |arguments: &'static [&'static str]| scope.spawn(|| beside(&home, &cloud, &daemon, arguments));
        let (status, history) = (run(&["status"]), run(&["history", "orders", "--json"]));
        let (pause, sync) =
            (run(&["datasource", "scheduling", "pause", "orders"]), run(&["datasource", "sync", "orders"]));
        let status = status.join().expect("ends").expect_code(0);
        assert!(status.stdout.contains("orders"), "{}", status.stdout);
        for part in ["does not answer", "end it and start it again", "this is what the ledger has"] {
            assert!(status.stderr.contains(part), "{part}: {}", status.stderr);
        }
        let history = history.join().expect("ends").expect_code(0);
        one_document(&history, "history");
        for command in [pause, sync] {
            let command = command.join().expect("ends");
            assert!([2, 4].contains(&command.code), "{command:?}");
            assert!(command.stderr.contains("does not answer at"), "{}", command.stderr);
        }
    });
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    signal("-CONT");
    assert_eq!(beside(&home, &cloud, &daemon, &["status"]).expect_code(0).stderr, "");
}

#[test]
fn whatever_else_answers_there_is_told_apart() {
    let (home, cloud) = imported();
    let other = Home::new();
    other.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", "@auto");
    let daemon = Daemon::start(&other, cloud.endpoint(), "1h");
    let told = beside(&home, &cloud, &daemon, &["status", "--json"]).expect_code(0);
    assert_eq!(one_document(&told, "status")[0]["state"], "Stopped");
    assert!(told.stderr.contains("another s3-connector") && told.stderr.contains("listen.api"), "{}", told.stderr);

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let api = listener.local_addr().expect("a port").to_string();
    let greeter = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH\r\n\r\n").expect("greets");
    });
    let mut command = home.command(cloud.endpoint(), &["status"]);
    let told = Finished::of(command.env("S3_CONNECTOR_LISTEN_API", api).output().expect("starts")).expect_code(0);
    assert!(told.stderr.contains("is no s3-connector"), "{}", told.stderr);
    greeter.join().expect("greeted");
}
