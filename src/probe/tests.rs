//! How processes end, and what that says of their file. The processes are shells.

use std::io::Write;
use std::time::Instant;

use connector_core::csv::CsvSettings;
use connector_core::error::ErrorClass;
use connector_core::spec::Format;

use super::*;

fn shell(script: &str, patience: Duration) -> ChildProbe {
    let arguments = vec!["-c".to_owned(), script.to_owned()];
    ChildProbe { program: "/bin/sh".into(), arguments, patience, longest: LONGEST, turn: Semaphore::new(1) }
}

fn job(bytes: &[u8]) -> (ProbeJob, Arc<File>) {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("writes");
    std::io::Seek::rewind(&mut file).expect("rewinds");
    let size = bytes.len() as u64;
    (ProbeJob { size, format: Format::Csv, csv: CsvSettings::default(), schema: None, memory: 1 << 20 }, Arc::new(file))
}

async fn vet(script: &str) -> Result<Verdict, Failure> {
    let (job, file) = job(b"a,b");
    shell(script, Duration::from_secs(120)).vet(&job, file).await
}

fn died(how: &str) -> Result<Verdict, Failure> {
    Ok(Verdict::Died { how: how.to_owned() })
}

#[tokio::test]
async fn case_15_only_a_signal_that_decoding_can_cause_counts() {
    assert_eq!(vet("exit 0").await, Ok(Verdict::Survived));
    assert_eq!(vet("kill -ABRT $$").await, died("it was killed by SIGABRT"));
    let spoken =
        vet("echo first >&2; echo 'memory allocation of 7 bytes failed' >&2; echo 'note: x' >&2; kill -ABRT $$").await;
    assert_eq!(spoken, died("it was killed by SIGABRT (memory allocation of 7 bytes failed)"));
    assert_eq!(vet("kill -SEGV $$").await, died("it was killed by SIGSEGV"));
    assert!(matches!(vet("kill -KILL $$").await, Ok(Verdict::Died { how }) if how.contains("SIGKILL")));
    // Whoever runs the tests may have them ignore a signal, as nohup does, and their children with them.
    let signals = ["TERM", "INT", "HUP", "QUIT"].map(|signal| format!("kill -{signal} $$; exit 70"));
    for nobodys_fault in signals.iter().map(String::as_str).chain(["exit 70", "exit 2"]) {
        let failure = vet(nobodys_fault).await.expect_err(nobodys_fault);
        assert_eq!((failure.class, failure.code), (ErrorClass::Transient, "probe_failed"), "{nobodys_fault}");
    }
}

#[tokio::test]
async fn a_child_has_the_file_the_job_and_nothing_else() {
    assert_eq!(vet(r#"[ "$(cat)" = a,b ] || kill -ABRT $$"#).await, Ok(Verdict::Survived));
    let job = r#"exec 3<&1; case "$(cat <&3)" in *'"size":3'*) ;; *) kill -ABRT $$ ;; esac"#;
    assert_eq!(vet(job).await, Ok(Verdict::Survived));
    // Anybody may read the arguments of a process.
    let arguments = "if tr '\\0' ' ' < /proc/$$/cmdline | grep -q '\"si''ze\"'; then kill -ABRT $$; fi";
    assert_eq!(vet(arguments).await, Ok(Verdict::Survived));
    // Cargo has set this one for the test.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    assert_eq!(
        vet(r#"[ -z "$CARGO_MANIFEST_DIR$HOME$PATH_OF_NOTHING" ] || kill -ABRT $$"#).await,
        Ok(Verdict::Survived)
    );
    // None of the files that this process has opened: its ledger is locked by one of them.
    let open = tempfile::NamedTempFile::new().expect("a file");
    let script = format!("if ls -l /proc/self/fd | grep -q {}; then kill -ABRT $$; fi", open.path().display());
    assert_eq!(vet(&script).await, Ok(Verdict::Survived));
    // A group of its own: Ctrl-C in the terminal is not for it.
    assert_eq!(vet("[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] || kill -ABRT $$").await, Ok(Verdict::Survived));
}

#[tokio::test]
async fn a_program_that_is_not_there_says_nothing_of_the_file() {
    let (job, file) = job(b"");
    let missing = ChildProbe { program: "/does/not/exist".into(), ..ChildProbe::new() };
    assert_eq!(missing.vet(&job, file).await.expect_err("fails").code, "probe_failed");
}

/// A script that says who it is and never ends, and neither does its own child.
fn endless(folder: &tempfile::TempDir) -> (String, PathBuf) {
    let note = folder.path().join("pids");
    (format!("/bin/sleep 1000 & echo $! $$ > {0}.new; /bin/mv {0}.new {0}; wait", note.display()), note)
}

async fn pids(note: &Path) -> Vec<String> {
    until(|| std::fs::read_to_string(note).ok()).await.split_whitespace().map(str::to_owned).collect()
}

async fn until<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Zombies of this process's children's children are for somebody else to reap.
fn has_ended(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

#[tokio::test]
async fn case_16_a_child_that_does_not_end_in_time_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let ((job, file), (script, note)) = (job(b"a,b"), endless(&folder));
    // Long enough to say who it is, however busy the machine.
    let limit = Duration::from_secs(3);
    let verdict = shell(&script, limit).vet(&job, file).await;
    assert_eq!(verdict, died("it decoded nothing more for 3 s and had not come to an end"));
    for pid in pids(&note).await {
        until(|| has_ended(&pid).then_some(())).await;
    }
}

#[tokio::test]
async fn case_15_a_child_whose_parent_is_told_to_stop_is_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let ((job, file), (script, note)) = (job(b"a,b"), endless(&folder));
    let probe = Arc::new(shell(&script, Duration::from_secs(1_000)));
    let vetting = tokio::spawn(async move { probe.vet(&job, file).await });
    let pids = pids(&note).await;
    vetting.abort();
    assert!(vetting.await.is_err_and(|error| error.is_cancelled()));
    for pid in pids {
        until(|| has_ended(&pid).then_some(())).await;
    }
}

#[tokio::test]
async fn case_15_a_child_that_gets_on_is_not_blamed_however_long_it_takes() {
    let (job, file) = job(b"a,b");
    let slow = "for piece in 1 2 3 4 5 6 7 8 9 10; do echo; /bin/sleep 0.5; done";
    assert_eq!(shell(slow, Duration::from_secs(2)).vet(&job, Arc::clone(&file)).await, Ok(Verdict::Survived));
    // It is ended at last, and that is no strike.
    let endless = shell("while :; do echo; /bin/sleep 0.1; done", Duration::from_secs(3));
    let endless = ChildProbe { longest: Duration::from_secs(2), ..endless };
    let failure = endless.vet(&job, file).await.expect_err("it is ended");
    assert_eq!((failure.class, failure.code), (ErrorClass::Transient, "probe_failed"));
    assert!(failure.message.contains("got on all the time"), "{failure}");
}

#[tokio::test]
async fn a_job_may_be_of_any_length() {
    use connector_core::schema::{Column, TableSchema};
    use connector_core::types::ColumnType;

    let (job, file) = job(b"a,b");
    let columns = (0..50_000).map(|n| Column::nullable(format!("column_{n}"), ColumnType::Int64)).collect();
    let job = ProbeJob { schema: Some(Arc::new(TableSchema::new(columns))), ..job };
    let all = r#"/bin/sleep 0.2; exec 3<&1; [ "$(cat <&3 | grep -o column_ | wc -l)" -eq 100000 ] || kill -ABRT $$"#;
    assert_eq!(shell(all, Duration::from_secs(120)).vet(&job, file).await, Ok(Verdict::Survived));
}
