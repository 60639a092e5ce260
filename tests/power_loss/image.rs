//! What is on a disk after the power has failed: a replay of the trace that `shim.c` writes.
//!
//! The rules are the strictest that POSIX allows. Bytes of a file are there if the file was synced after they were
//! written. A name is there (or gone, or moved) if its directory was synced after that; syncing the file does not help.
//! What was not synced is either lost altogether, or of each file and each directory a random beginning of it is kept.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const MAGIC: u32 = 0x3153_4c50;
const HEADER: usize = 40;

/// One change of the folder, or one sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Create {
        inode: u64,
        path: PathBuf,
    },
    Truncate {
        inode: u64,
        size: u64,
    },
    Write {
        inode: u64,
        offset: u64,
        data: Vec<u8>,
    },
    Sync {
        inode: u64,
        path: PathBuf,
    },
    /// It said so, and what was not synced before is lost for good.
    SyncFailed {
        inode: u64,
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    MakeFolder {
        inode: u64,
        path: PathBuf,
    },
    RemoveFolder {
        path: PathBuf,
    },
    SyncAll,
}

/// All events of a trace, in order. A process that was ended in the middle of writing one leaves a part of it, which tells
/// of nothing that had happened yet.
pub fn read_trace(path: &Path) -> Vec<Event> {
    let bytes = fs::read(path).expect("a trace");
    let (mut rest, mut events) = (bytes.as_slice(), Vec::new());
    while rest.len() >= HEADER {
        let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().expect("four bytes"));
        let long = |at: usize| u64::from_ne_bytes(rest[at..at + 8].try_into().expect("eight bytes"));
        assert_eq!(word(0), MAGIC, "the trace is broken after {} events", events.len());
        let (op, inode, offset) = (word(4), long(8), long(16));
        let (path, other) = (word(24) as usize, word(28) as usize);
        let data = usize::try_from(long(32)).expect("a length");
        if rest.len() - HEADER < path + other + data {
            break;
        }
        let (mut body, after) = rest[HEADER..].split_at(path + other + data);
        let mut take = |length: usize| {
            let (taken, left) = body.split_at(length);
            body = left;
            taken.to_vec()
        };
        let (path, other) = (PathBuf::from(OsString::from_vec(take(path))), OsString::from_vec(take(other)).into());
        events.push(match op {
            1 => Event::Create { inode, path },
            2 => Event::Truncate { inode, size: offset },
            3 => Event::Write { inode, offset, data: take(data) },
            4 => Event::Sync { inode, path },
            5 => Event::SyncFailed { inode, path },
            6 => Event::Rename { from: path, to: other },
            7 => Event::Link { from: path, to: other },
            8 => Event::Unlink { path },
            9 => Event::MakeFolder { inode, path },
            10 => Event::RemoveFolder { path },
            11 => Event::SyncAll,
            _ => panic!("operation {op}"),
        });
        rest = after;
    }
    events
}

/// What of the unsynced changes is there after the power came back.
#[derive(Clone, Copy, Debug)]
pub enum Survival {
    Nothing,
    /// All names, but no byte: files that were never synced are there, and empty.
    Names,
    /// By this seed: of each file and each directory none, all, or some of the oldest; the last write may be torn.
    Some(u64),
    /// No power was lost: what a program sees that runs on.
    Everything,
}

enum FileChange {
    Resize(u64),
    Write(u64, Vec<u8>),
}

/// All of them happen, or none: a rename within one directory is atomic.
type NameChange = Vec<(OsString, Option<usize>)>;

enum Node {
    File { durable: Vec<u8>, pending: Vec<FileChange>, live: Vec<u8> },
    Folder { durable: BTreeMap<OsString, usize>, pending: Vec<NameChange>, live: BTreeMap<OsString, usize> },
}

/// A folder, as it is seen and as it is on the disk.
pub struct Disk {
    nodes: Vec<Node>,
    /// By inode number; a number is used again once its file is gone.
    numbers: HashMap<u64, usize>,
}

const ROOT: usize = 0;

impl Disk {
    /// A folder as it is now, with everything in it durable. Has to be taken before the traced program starts.
    pub fn of_folder(root: &Path) -> Self {
        let mut disk = Self { nodes: vec![folder()], numbers: HashMap::new() };
        disk.take_in(root, ROOT);
        disk
    }

    fn take_in(&mut self, folder: &Path, node: usize) {
        self.numbers.insert(fs::metadata(folder).expect("a folder").ino(), node);
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let metadata = entry.metadata().expect("an entry");
            let known = self.numbers.get(&metadata.ino()).copied();
            let child = known.unwrap_or_else(|| self.add(if metadata.is_dir() { self::folder() } else { file() }));
            if metadata.is_dir() {
                self.take_in(&entry.path(), child);
            } else if let Node::File { durable, live, .. } = &mut self.nodes[child] {
                *durable = fs::read(entry.path()).expect("a file");
                live.clone_from(durable);
                self.numbers.insert(metadata.ino(), child);
            }
            let Node::Folder { durable, live, .. } = &mut self.nodes[node] else { unreachable!() };
            durable.insert(entry.file_name(), child);
            live.insert(entry.file_name(), child);
        }
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Lets events happen.
    pub fn replay<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        events.into_iter().for_each(|event| self.apply(event));
    }

    fn apply(&mut self, event: &Event) {
        match event {
            // A temporary file that never has a name.
            Event::Create { inode, path } if path.as_os_str().is_empty() => {
                let node = self.add(file());
                self.numbers.insert(*inode, node);
            }
            Event::Create { inode, path } => self.new_node(*inode, path, file()),
            Event::MakeFolder { inode, path } => self.new_node(*inode, path, folder()),
            Event::Truncate { inode, size } => self.change(*inode, FileChange::Resize(*size)),
            Event::Write { inode, offset, data } => self.change(*inode, FileChange::Write(*offset, data.clone())),
            Event::Sync { inode, .. } => self.settle(self.numbers[inode]),
            Event::SyncFailed { inode, .. } => match &mut self.nodes[self.numbers[inode]] {
                Node::File { pending, .. } => pending.clear(),
                Node::Folder { pending, .. } => pending.clear(),
            },
            Event::SyncAll => (0..self.nodes.len()).for_each(|node| self.settle(node)),
            Event::Unlink { path } | Event::RemoveFolder { path } => {
                let (parent, name) = self.parent_of(path);
                self.rename(parent, vec![(name, None)]);
            }
            Event::Link { from, to } => {
                let node = self.find(from);
                let (parent, name) = self.parent_of(to);
                self.rename(parent, vec![(name, Some(node))]);
            }
            Event::Rename { from, to } => {
                let node = self.find(from);
                let ((old, old_name), (new, new_name)) = (self.parent_of(from), self.parent_of(to));
                if old == new {
                    self.rename(old, vec![(old_name, None), (new_name, Some(node))]);
                } else {
                    self.rename(new, vec![(new_name, Some(node))]);
                    self.rename(old, vec![(old_name, None)]);
                }
            }
        }
    }

    fn new_node(&mut self, inode: u64, path: &Path, node: Node) {
        let node = self.add(node);
        self.numbers.insert(inode, node);
        let (parent, name) = self.parent_of(path);
        self.rename(parent, vec![(name, Some(node))]);
    }

    fn change(&mut self, inode: u64, change: FileChange) {
        let Some(node) = self.numbers.get(&inode) else { panic!("a change of a file that nobody made: {inode}") };
        let Node::File { pending, live, .. } = &mut self.nodes[*node] else { panic!("bytes in a folder") };
        change.apply(live);
        pending.push(change);
    }

    fn rename(&mut self, parent: usize, change: NameChange) {
        let Node::Folder { pending, live, .. } = &mut self.nodes[parent] else { panic!("a name in a file") };
        apply_names(&change, live);
        pending.push(change);
    }

    fn settle(&mut self, node: usize) {
        match &mut self.nodes[node] {
            Node::File { durable, pending, .. } => pending.drain(..).for_each(|change| change.apply(durable)),
            Node::Folder { durable, pending, .. } => {
                pending.drain(..).for_each(|change| apply_names(&change, durable));
            }
        }
    }

    fn find(&self, path: &Path) -> usize {
        path.iter().fold(ROOT, |node, name| match &self.nodes[node] {
            Node::Folder { live, .. } => *live.get(name).unwrap_or_else(|| panic!("no {}", path.display())),
            Node::File { .. } => panic!("a file is no folder: {}", path.display()),
        })
    }

    fn parent_of(&self, path: &Path) -> (usize, OsString) {
        let name = path.file_name().expect("a name").to_owned();
        (self.find(path.parent().unwrap_or(Path::new(""))), name)
    }

    /// Makes `into` what is on the disk of the entry `name` of the root; nothing if the disk does not have it. SQLite's
    /// shared memory is no file that anybody expects to find.
    pub fn write(&self, survival: Survival, name: &str, into: &Path) {
        let seed = if let Survival::Some(seed) = survival { seed } else { 0 };
        let mut random = fastrand::Rng::with_seed(seed);
        if let Some(node) = self.names_of(ROOT, survival, &mut random).get(OsStr::new(name)) {
            self.write_node(*node, into, survival, &mut random);
        }
    }

    fn names_of(&self, node: usize, survival: Survival, random: &mut fastrand::Rng) -> BTreeMap<OsString, usize> {
        let Node::Folder { durable, pending, live } = &self.nodes[node] else { return BTreeMap::new() };
        let kept = match survival {
            Survival::Nothing => 0,
            Survival::Names | Survival::Everything => return live.clone(),
            Survival::Some(_) => kept(pending.len(), random),
        };
        let mut names = durable.clone();
        pending[..kept].iter().for_each(|change| apply_names(change, &mut names));
        names
    }

    fn write_node(&self, node: usize, path: &Path, survival: Survival, random: &mut fastrand::Rng) {
        match &self.nodes[node] {
            Node::File { durable, pending, live } => {
                let content = match survival {
                    Survival::Everything => live.clone(),
                    Survival::Nothing | Survival::Names => durable.clone(),
                    Survival::Some(_) => torn(durable, pending, random),
                };
                fs::write(path, content).expect("a file");
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
            }
            Node::Folder { .. } => {
                fs::create_dir_all(path).expect("a folder");
                let names = self.names_of(node, survival, random);
                for (name, child) in names.iter().filter(|(name, _)| !is_shared_memory(name)) {
                    self.write_node(*child, &path.join(name), survival, random);
                }
            }
        }
    }

    /// Paths at which the replay and the folder `name` of `root` differ: something went past the trace.
    pub fn differences(&self, root: &Path, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        self.compare(self.find(Path::new(name)), &root.join(name), &mut found);
        found
    }

    fn compare(&self, node: usize, path: &Path, found: &mut Vec<PathBuf>) {
        match &self.nodes[node] {
            Node::File { live, .. } => {
                if fs::read(path).ok().as_ref() != Some(live) {
                    found.push(path.to_owned());
                }
            }
            Node::Folder { live, .. } => {
                let entries = fs::read_dir(path).map(|entries| entries.flatten().map(|entry| entry.file_name()));
                let strays = entries.into_iter().flatten().filter(|name| !live.contains_key(name));
                found.extend(strays.filter(|name| !is_shared_memory(name)).map(|name| path.join(name)));
                for (name, child) in live.iter().filter(|(name, _)| !is_shared_memory(name)) {
                    self.compare(*child, &path.join(name), found);
                }
            }
        }
    }
}

fn file() -> Node {
    Node::File { durable: Vec::new(), pending: Vec::new(), live: Vec::new() }
}

fn folder() -> Node {
    Node::Folder { durable: BTreeMap::new(), pending: Vec::new(), live: BTreeMap::new() }
}

fn is_shared_memory(name: &OsStr) -> bool {
    name.as_encoded_bytes().ends_with(b"-shm")
}

fn apply_names(change: &NameChange, names: &mut BTreeMap<OsString, usize>) {
    for (name, node) in change {
        match node {
            Some(node) => drop(names.insert(name.clone(), *node)),
            None => drop(names.remove(name)),
        }
    }
}

/// How many of so many unsynced changes survive.
fn kept(pending: usize, random: &mut fastrand::Rng) -> usize {
    match random.u8(0..3) {
        0 => 0,
        1 => pending,
        _ => random.usize(0..=pending),
    }
}

fn torn(durable: &[u8], pending: &[FileChange], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut content = durable.to_vec();
    let kept = kept(pending.len(), random);
    pending[..kept].iter().for_each(|change| change.apply(&mut content));
    if let Some(FileChange::Write(offset, data)) = pending.get(kept).filter(|_| random.bool()) {
        FileChange::Write(*offset, data[..random.usize(..data.len())].to_vec()).apply(&mut content);
    }
    content
}

impl FileChange {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Resize(size) => content.resize(usize::try_from(*size).expect("a size"), 0),
            Self::Write(_, data) if data.is_empty() => {}
            Self::Write(offset, data) => {
                let start = usize::try_from(*offset).expect("an offset");
                let end = start + data.len();
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(data);
            }
        }
    }
}
