//! Opening the database: directory, lock, file mode, settings, migrations.

use std::cmp::Ordering;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::codec;
use crate::error::{LedgerError, Result};

/// The database, inside the data directory.
pub const LEDGER_FILE: &str = "ledger.sqlite3";
/// The file that is locked while a process uses the data directory.
pub const LOCK_FILE: &str = "lock";

/// Every change of the schema since the first. An entry is never edited once a release has it; `user_version` counts
/// the ones that a database has been through.
const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
];

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens for writing, creating what is missing. The file is the lock; keep it.
pub(crate) fn exclusive(dir: &Path) -> Result<(Connection, File)> {
    let lock = claim_dir(dir)?;
    let path = dir.join(LEDGER_FILE);
    private_file(&path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = connect(&path, flags)?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|error| LedgerError::from(error).while_doing(&opening(&path)))?;
    if mode != "wal" {
        return Err(LedgerError::NoWal { path, mode });
    }
    configure(&connection)
        .and_then(|()| migrate(&mut connection, &path))
        .map_err(|e| e.while_doing(&opening(&path)))?;
    sync_dir(dir)?;
    Ok((connection, lock))
}

/// Makes the directory ours, creating it if it is missing. The file is the lock; keep it.
pub(crate) fn claim_dir(dir: &Path) -> Result<File> {
    create_dir(dir)?;
    lock(dir)
}

/// A second connection, for reading alone.
pub(crate) fn read_only(path: &Path) -> Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    configure(&connection).map_err(|error| error.while_doing(&opening(path)))?;
    Ok(connection)
}

/// A connection to a file that nobody writes meanwhile, which may lie on a disk that cannot be written.
pub(crate) fn immutable(path: &Path) -> Result<Connection> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let escaped: String = path.as_os_str().as_bytes().iter().fold(String::new(), |mut name, byte| {
        if plain(*byte) {
            name.push(char::from(*byte))
        } else {
            name.push_str(&format!("%{byte:02X}"))
        }
        name
    });
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = connect(Path::new(&format!("file:{escaped}?immutable=1")), flags)?;
    configure(&connection).map_err(|error| error.while_doing(&opening(path)))?;
    Ok(connection)
}

/// Opens for reading, beside a process that may be writing. `None` if there is no ledger.
pub(crate) fn shared(dir: &Path) -> Result<Option<Connection>> {
    let path = dir.join(LEDGER_FILE);
    if !path.try_exists().map_err(failed("look for", &path))? {
        return Ok(None);
    }
    let connection = read_only(&path)?;
    expect_known_version(&connection).map_err(|error| error.while_doing(&opening(&path)))?;
    Ok(Some(connection))
}

/// Who only reads cannot bring the ledger up to date.
pub(crate) fn expect_known_version(db: &Connection) -> Result<()> {
    let (found, known) = (version(db)?, known());
    let path = PathBuf::from(db.path().unwrap_or_default());
    match found.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(LedgerError::Older { path, found, known }),
        Ordering::Greater => Err(LedgerError::Newer { path, found, known }),
    }
}

/// A database that is gone when it is closed.
pub(crate) fn in_memory() -> Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    configure(&connection)?;
    migrate(&mut connection, Path::new(":memory:"))?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_EXRESCODE)
        .map_err(|error| LedgerError::from(error).while_doing(&opening(path)))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn opening(path: &Path) -> String {
    format!("open {}", path.display())
}

fn configure(connection: &Connection) -> Result<()> {
    // FULL syncs the log at each commit: what a call has reported is on disk. The cache is 16 MiB.
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -16384;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

pub(crate) fn known() -> i64 {
    MIGRATIONS.len() as i64
}

pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings the database up to the version of this program, in one transaction.
fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let found = version(connection)?;
    if !(0..=known()).contains(&found) {
        return Err(LedgerError::Newer { path: path.to_owned(), found, known: known() });
    }
    if found == known() {
        return Ok(());
    }
    // Tables are rebuilt, and a foreign key would look at its table while that is away. Within a transaction this cannot
    // be switched.
    connection.execute_batch("PRAGMA foreign_keys = OFF")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        transaction.execute_batch(migration)?;
        transaction.execute_batch(&format!("PRAGMA user_version = {}", index + 1))?;
    }
    check_references(&transaction)?;
    transaction.commit()?;
    connection.execute_batch("PRAGMA foreign_keys = ON")?;
    if found > 0 {
        tracing::info!(path = %path.display(), from = found, to = known(), "ledger brought up to date");
    }
    Ok(())
}

fn check_references(db: &Connection) -> Result<()> {
    let mut statement = db.prepare("PRAGMA foreign_key_check")?;
    let mut dangling = statement.query([])?;
    match dangling.next()? {
        None => Ok(()),
        Some(row) => {
            let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
            Err(codec::corrupt(&format!("a row of {table} that refers to no row of {parent}")))
        }
    }
}

fn create_dir(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("create the data directory", dir))?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed("open the lock file", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
    }
}

/// Creates the file for its owner alone, or takes everybody else's rights away. SQLite gives its other files the same
/// mode. A file that exists is not opened here: closing it again would drop locks that this process holds on it.
fn private_file(path: &Path) -> Result<()> {
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mode = fs::metadata(path).map_err(failed("look at", path))?.permissions().mode();
            if mode & 0o077 == 0 {
                return Ok(());
            }
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed("protect", path))
        }
        Err(error) => Err(failed("create", path)(error)),
    }
}

/// A new name is durable once its directory is synced.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync the directory", dir))
}

pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LedgerError {
    let path: PathBuf = path.to_owned();
    move |source| LedgerError::File { doing, path, source }
}
