//! Copies of the ledger: the daily snapshot, export, and import of such a file.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use connector_core::ids::ImportName;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{LedgerError, Result};
use crate::open::{self, LEDGER_FILE, failed};
use crate::{SqliteLedger, counts};

/// A ledger that was put in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Where it is now.
    pub path: PathBuf,
    /// Where the one is that was there before.
    pub replaced: Option<PathBuf>,
    /// The imports that it knows, sorted.
    pub imports: Vec<ImportName>,
}

impl SqliteLedger {
    /// Checks the database, then writes a copy of it as it is now, for its owner alone. Blocks for as long as reading and
    /// writing all of it takes, on the thread that asks; ingestion goes on meanwhile.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] if it does not pass its own check: then no copy is made, and older ones should be kept;
    /// [`LedgerError::FileExists`] if there is such a file already; otherwise what file system or database say.
    pub fn snapshot(&self, to: &Path) -> std::result::Result<(), LedgerError> {
        let Some(path) = &self.path else {
            let what = "a ledger in memory has no file to copy".to_owned();
            return Err(LedgerError::Protocol { import: "all".to_owned(), what });
        };
        copy(&open::read_only(path)?, to)
    }
}

/// Checks the database and writes a copy of it, durable when this returns.
pub(crate) fn copy(db: &Connection, to: &Path) -> Result<()> {
    check(db)?;
    if to.try_exists().map_err(failed("look for", to))? {
        return Err(LedgerError::FileExists { path: to.to_owned() });
    }
    let partial = beside(to, ".partial");
    write(db, &partial)?;
    // A link never takes the place of a file that has come meanwhile.
    let linked = fs::hard_link(&partial, to);
    let removed = fs::remove_file(&partial);
    match linked {
        Ok(()) => removed.map_err(failed("remove", &partial))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(LedgerError::FileExists { path: to.to_owned() });
        }
        Err(error) => return Err(failed("name the copy of the ledger", to)(error)),
    }
    sync_parent(to)
}

/// Writes a whole copy to a file of its own, synced. What an interrupted attempt has left there goes.
fn write(db: &Connection, to: &Path) -> Result<()> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", to)(error)),
        _ => {}
    }
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to).map_err(failed("create", to))?;
    let name = to.to_str().ok_or_else(|| failed("write to", to)(io::Error::other("its name is not UTF-8")))?;
    let written = db
        .execute("VACUUM INTO ?1", [name])
        .map_err(|error| LedgerError::from(error).while_doing(&format!("copy it to {}", to.display())))
        .and_then(|_| file.sync_all().map_err(failed("sync", to)));
    if written.is_err() {
        // It is of no use to anybody; that it cannot be removed either is no news.
        let _ = fs::remove_file(to);
    }
    written
}

/// Looks at every page and every index entry of the database.
pub(crate) fn check(db: &Connection) -> Result<()> {
    let path = || PathBuf::from(db.path().unwrap_or_default());
    let found = db.prepare("PRAGMA quick_check(3)").and_then(|mut statement| {
        statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
    });
    match found {
        Ok(found) if found == ["ok"] => Ok(()),
        Ok(found) => Err(LedgerError::Damaged { path: path(), what: found.join("; ") }),
        Err(error) => Err(damaged(LedgerError::from(error).while_doing("check the database"), &path())),
    }
}

fn damaged(error: LedgerError, path: &Path) -> LedgerError {
    match error.code() {
        "ledger_corrupt" => LedgerError::Damaged { path: path.to_owned(), what: "it cannot be read".to_owned() },
        _ => error,
    }
}

/// Puts a copy of the ledger file `from` into the data directory: for moving to another host, and for going back to a
/// snapshot. What `from` names is only read. With `replace`, the ledger that is there is kept beside it.
///
/// # Errors
/// [`LedgerError::InUse`] if a process uses the data directory; [`LedgerError::LedgerExists`] if there is a ledger and
/// `replace` is false; [`LedgerError::NotALedger`], [`LedgerError::Damaged`] or [`LedgerError::Newer`] if `from` is of no
/// use; otherwise what file system or database say. After an error the ledger that was there is there still.
pub fn import_ledger(data_dir: &Path, from: &Path, replace: bool) -> std::result::Result<Imported, LedgerError> {
    let source = source(from)?;
    let imports = counts::imports(&source)?.into_iter().map(ImportName::new).collect();
    let _lock = open::claim_dir(data_dir)?;
    let path = data_dir.join(LEDGER_FILE);
    let exists = path.try_exists().map_err(failed("look for", &path))?;
    if exists && !replace {
        return Err(LedgerError::LedgerExists { path });
    }
    let fresh = beside(&path, ".import");
    write(&source, &fresh)?;
    let replaced = if exists { Some(set_aside(&path)?) } else { None };
    fs::rename(&fresh, &path).map_err(failed("put the ledger at", &path))?;
    open::sync_dir(data_dir)?;
    Ok(Imported { path, replaced, imports })
}

/// The file to import, found to be whole.
fn source(from: &Path) -> Result<Connection> {
    if !from.is_file() {
        return Err(LedgerError::NotALedger { path: from.to_owned(), what: "there is no such file".to_owned() });
    }
    let no_ledger = |what: &str| LedgerError::NotALedger { path: from.to_owned(), what: what.to_owned() };
    // Without a log of its own it is read as it is, and nothing is written beside it.
    let log = beside(from, "-wal").try_exists().map_err(failed("look for the log of", from))?;
    let opened = if log { open::read_only(from) } else { open::immutable(from) };
    let db = match opened.and_then(|db| open::version(&db).map(|_| db).map_err(LedgerError::from)) {
        Err(LedgerError::Sqlite { source, .. }) if source.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            return Err(no_ledger("it is no database"));
        }
        opened => opened.map_err(|error| damaged(error, from))?,
    };
    check(&db)?;
    let tables = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('import', 'object', 'batch')";
    let tables: i64 = db.query_row(tables, [], |row| row.get(0))?;
    match (tables, open::version(&db)?) {
        (3, found) if found > open::known() => {
            Err(LedgerError::Newer { path: from.to_owned(), found, known: open::known() })
        }
        (3, 1..) => Ok(db),
        _ => Err(no_ledger("it has other tables")),
    }
}

/// Gives the ledger another name, with the log that belongs to it. Whatever happens meanwhile, one name or the other
/// has all of it, and the next ledger never meets a log that is not its own.
fn set_aside(path: &Path) -> Result<PathBuf> {
    // Opened and closed by the only process that uses it, it needs no log any more. One that is damaged keeps its log.
    if let Ok(db) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE) {
        let _ = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
    let (aside, log) = (free_name(path)?, beside(path, "-wal"));
    fs::hard_link(path, &aside).map_err(failed("keep the ledger as", &aside))?;
    if log.try_exists().map_err(failed("look for", &log))? {
        let kept = beside(&aside, "-wal");
        fs::hard_link(&log, &kept).map_err(failed("keep the log of the ledger as", &kept))?;
    }
    sync_parent(&aside)?;
    for suffix in ["-wal", "-shm"] {
        let file = beside(path, suffix);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &file)(error)),
            _ => {}
        }
    }
    sync_parent(path)?;
    Ok(aside)
}

fn free_name(path: &Path) -> Result<PathBuf> {
    for number in 1..10_000 {
        let name = beside(path, &format!(".replaced-{number}"));
        if !name.try_exists().map_err(failed("look for", &name))? {
            return Ok(name);
        }
    }
    Err(LedgerError::FileExists { path: beside(path, ".replaced-9999") })
}

/// The same path with something behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn sync_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => open::sync_dir(parent),
        _ => open::sync_dir(Path::new(".")),
    }
}
