/* A disk that can be watched, fill up, and fail: an LD_PRELOAD library for tests.
 *
 * For files below SHIM_ROOT it does what the caller asks and, in addition,
 *   - appends every change of a file or a directory, with its data, to SHIM_TRACE, so that a test can rebuild what would
 *     be on the disk if the power had failed at any moment (tests/power_loss/image.rs reads the trace);
 *   - fails one fsync with EIO: the first one of a path that matches SHIM_FAIL_FSYNC, if the file SHIM_FAIL_FSYNC_MARK
 *     is not there yet (it is made then, so that a later process is spared). What was not synced before is lost for
 *     good, as on Linux, and the trace says so;
 *   - is full: while the file SHIM_FULL_SWITCH exists, at most SHIM_FULL_AFTER bytes (0 if not set) are written to
 *     paths that match SHIM_FULL, then ENOSPC.
 * Patterns are those of fnmatch, in which a star crosses slashes, against the absolute path.
 *
 * One lock is held around each change and its record, so the order of the trace is the order of the changes. Seen is
 * what goes through the functions below: the program and SQLite do. Not seen: stdio, raw system calls and writes to
 * mapped memory; the test proves for each run that nothing else has happened, by comparing a replay of the whole trace
 * with the folder.
 *
 * Build: cc -shared -fPIC -O1 -o shim.so shim.c -ldl -lpthread
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum op { CREATE = 1, TRUNCATE, WRITE, SYNC, SYNC_FAILED, RENAME, LINK, UNLINK, MKDIR, RMDIR, SYNC_ALL };

/* What a record of the trace begins with, in the byte order of the machine; then come both paths and the data. */
struct record {
    uint32_t magic, op;
    uint64_t inode;
    int64_t offset; /* of a write; the new size of a truncation */
    uint32_t path, other; /* lengths in bytes; paths are relative to the root */
    uint64_t data; /* length in bytes */
};
#define MAGIC 0x31534c50u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char root[PATH_MAX];
static size_t root_length;
static int trace = -1;
static const char *fail_fsync, *fail_fsync_mark, *full, *full_switch;
static int64_t full_after, full_written;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static void start(void) {
    const char *folder = getenv("SHIM_ROOT"), *path = getenv("SHIM_TRACE"), *after = getenv("SHIM_FULL_AFTER");
    if (!folder || !realpath(folder, root)) return;
    if (path) trace = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    fail_fsync = getenv("SHIM_FAIL_FSYNC");
    fail_fsync_mark = getenv("SHIM_FAIL_FSYNC_MARK");
    full = getenv("SHIM_FULL");
    full_switch = getenv("SHIM_FULL_SWITCH");
    full_after = after ? atoll(after) : 0;
    root_length = strlen(root);
}

static void enter(void) {
    pthread_once(&once, start);
    pthread_mutex_lock(&lock);
}

static void leave(void) {
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
}

/* The part of an absolute path below the root, "" for the root itself; NULL if it lies elsewhere. */
static const char *below(const char *path) {
    if (!root_length || strncmp(path, root, root_length) != 0) return NULL;
    if (path[root_length] == 0) return path + root_length;
    return path[root_length] == '/' ? path + root_length + 1 : NULL;
}

/* The absolute path of an entry: its directory resolved, its own name as given. */
static int resolve(int dir, const char *path, char *into) {
    char joined[2 * PATH_MAX], parent[PATH_MAX], link[64];
    if (path[0] == '/') {
        snprintf(joined, sizeof joined, "%s", path);
    } else if (dir == AT_FDCWD) {
        if (!getcwd(parent, sizeof parent)) return 0;
        snprintf(joined, sizeof joined, "%s/%s", parent, path);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        ssize_t length = readlink(link, parent, sizeof parent - 1);
        if (length < 0) return 0;
        parent[length] = 0;
        snprintf(joined, sizeof joined, "%s/%s", parent, path);
    }
    size_t length = strlen(joined);
    while (length > 1 && joined[length - 1] == '/') joined[--length] = 0;
    char *slash = strrchr(joined, '/');
    if (!slash) return 0;
    char name[NAME_MAX + 1];
    snprintf(name, sizeof name, "%s", slash + 1);
    slash[slash == joined ? 1 : 0] = 0;
    if (!realpath(joined, parent)) return 0;
    return snprintf(into, PATH_MAX, "%s/%s", strcmp(parent, "/") ? parent : "", name) < PATH_MAX;
}

/* The path of an open file, if it lies below the root. */
static const char *path_of(int fd, char *into) {
    char link[64];
    if (!root_length) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, into, PATH_MAX - 1);
    if (length < 0) return NULL;
    into[length] = 0;
    return below(into);
}

static uint64_t inode_of(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 ? found.st_ino : 0;
}

static void note(enum op op, uint64_t inode, int64_t offset, const char *path, const char *other, const void *data,
                 size_t length) {
    if (trace < 0) return;
    struct record record = {.magic = MAGIC, .op = op, .inode = inode, .offset = offset, .data = length};
    record.path = path ? strlen(path) : 0;
    record.other = other ? strlen(other) : 0;
    struct iovec parts[4] = {{&record, sizeof record},
                             {(void *)path, record.path},
                             {(void *)other, record.other},
                             {(void *)data, length}};
    size_t total = sizeof record + record.path + record.other + length;
    /* A trace with a hole would prove nothing. */
    if (REAL(writev)(trace, parts, 4) != (ssize_t)total) abort();
}

/* How many of these bytes there is room for; -1 and ENOSPC if for none. */
static ssize_t room(const char *path, size_t wanted) {
    if (!full || !full_switch || !wanted || fnmatch(full, path, 0) != 0) return wanted;
    if (access(full_switch, F_OK) != 0) {
        full_written = 0;
        return wanted;
    }
    int64_t left = full_after - full_written;
    if (left <= 0) {
        errno = ENOSPC;
        return -1;
    }
    size_t granted = (int64_t)wanted < left ? wanted : (size_t)left;
    full_written += granted;
    return granted;
}

/* ---- names ---- */

static int opened(int dir, const char *path, int flags, mode_t mode, int (*call)(int, const char *, int, mode_t)) {
    enter();
    char whole[PATH_MAX];
    const char *name = NULL;
    int is_new = 0, is_nameless = 0;
    if (root_length && (flags & O_TMPFILE) == O_TMPFILE) {
        char folder[PATH_MAX];
        is_nameless = resolve(dir, path, whole) && realpath(whole, folder) && below(folder);
    }
    if (root_length && (flags & (O_CREAT | O_TRUNC)) && (flags & O_TMPFILE) != O_TMPFILE && resolve(dir, path, whole)) {
        name = below(whole);
        is_new = name && access(whole, F_OK) != 0;
    }
    int fd = call(dir, path, flags, mode);
    if (fd >= 0 && is_nameless) note(CREATE, inode_of(fd), 0, NULL, NULL, NULL, 0);
    if (fd >= 0 && name) {
        if (is_new)
            note(CREATE, inode_of(fd), 0, name, NULL, NULL, 0);
        else if (flags & O_TRUNC)
            note(TRUNCATE, inode_of(fd), 0, NULL, NULL, NULL, 0);
    }
    leave();
    return fd;
}

static int call_openat(int dir, const char *path, int flags, mode_t mode) {
    return REAL(openat)(dir, path, flags, mode);
}

#define MODE(flags, mode)                                                                                              \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode = va_arg(more, mode_t);                                                                                   \
        va_end(more);                                                                                                  \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, mode)
    return opened(AT_FDCWD, path, flags, mode, call_openat);
}
int open64(const char *path, int flags, ...) {
    MODE(flags, mode)
    return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode, call_openat);
}
int openat(int dir, const char *path, int flags, ...) {
    MODE(flags, mode)
    return opened(dir, path, flags, mode, call_openat);
}
int openat64(int dir, const char *path, int flags, ...) {
    MODE(flags, mode)
    return opened(dir, path, flags | O_LARGEFILE, mode, call_openat);
}
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0, call_openat); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0, call_openat); }
int __openat_2(int dir, const char *path, int flags) { return opened(dir, path, flags, 0, call_openat); }
int __openat64_2(int dir, const char *path, int flags) { return opened(dir, path, flags, 0, call_openat); }
int creat(const char *path, mode_t mode) {
    return opened(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode, call_openat);
}
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* A move in or out of the root is written down as an error of the test: an operation whose paths are not both below. */
static int renamed(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    enter();
    char one[PATH_MAX], other[PATH_MAX];
    int known = root_length && resolve(from_dir, from, one) && resolve(to_dir, to, other);
    int result = REAL(renameat2)(from_dir, from, to_dir, to, flags);
    if (result == 0 && known && (below(one) || below(other))) {
        if (!below(one) || !below(other) || (flags & RENAME_EXCHANGE)) abort();
        note(RENAME, 0, 0, below(one), below(other), NULL, 0);
    }
    leave();
    return result;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    enter();
    char one[PATH_MAX], other[PATH_MAX];
    int known = root_length && resolve(from_dir, from, one) && resolve(to_dir, to, other);
    int result = REAL(linkat)(from_dir, from, to_dir, to, flags);
    if (result == 0 && known && below(other)) {
        if (!below(one)) abort();
        note(LINK, 0, 0, below(one), below(other), NULL, 0);
    }
    leave();
    return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int dir, const char *path, int flags) {
    enter();
    char whole[PATH_MAX];
    int known = root_length && resolve(dir, path, whole);
    int result = REAL(unlinkat)(dir, path, flags);
    if (result == 0 && known && below(whole))
        note(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, 0, below(whole), NULL, NULL, 0);
    leave();
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int dir, const char *path, mode_t mode) {
    enter();
    char whole[PATH_MAX];
    int known = root_length && resolve(dir, path, whole);
    int result = REAL(mkdirat)(dir, path, mode);
    struct stat made;
    if (result == 0 && known && below(whole) && stat(whole, &made) == 0)
        note(MKDIR, made.st_ino, 0, below(whole), NULL, NULL, 0);
    leave();
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* ---- bytes ---- */

/* Where a write at the file's own position has put its bytes. */
static int64_t wrote_at(int fd, ssize_t written) { return lseek(fd, 0, SEEK_CUR) - written; }

static ssize_t written(int fd, const void *data, size_t size, int64_t offset) {
    enter();
    char whole[PATH_MAX];
    const char *name = path_of(fd, whole);
    ssize_t granted = name ? room(whole, size) : (ssize_t)size;
    if (granted < 0) {
        leave();
        return -1;
    }
    if (!name) {
        /* It may be a pipe that blocks for long. */
        leave();
        return offset < 0 ? REAL(write)(fd, data, size) : REAL(pwrite64)(fd, data, size, offset);
    }
    ssize_t done = offset < 0 ? REAL(write)(fd, data, granted) : REAL(pwrite64)(fd, data, granted, offset);
    if (done > 0) note(WRITE, inode_of(fd), offset < 0 ? wrote_at(fd, done) : offset, NULL, NULL, data, done);
    leave();
    return done;
}
ssize_t write(int fd, const void *data, size_t size) { return written(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return written(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return written(fd, data, size, offset); }

/* Vectors are written part by part below the root, where nobody else appends to the same file. */
static ssize_t gathered(int fd, const struct iovec *parts, int count, int64_t offset) {
    char whole[PATH_MAX];
    pthread_once(&once, start);
    if (!path_of(fd, whole)) return offset < 0 ? REAL(writev)(fd, parts, count) : REAL(pwritev64)(fd, parts, count, offset);
    ssize_t total = 0;
    for (int index = 0; index < count; index++) {
        if (parts[index].iov_len == 0) continue;
        ssize_t done = written(fd, parts[index].iov_base, parts[index].iov_len, offset < 0 ? -1 : offset + total);
        if (done < 0) return total ? total : -1;
        total += done;
        if ((size_t)done < parts[index].iov_len) break;
    }
    return total;
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return gathered(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return gathered(fd, parts, count, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return gathered(fd, parts, count, offset);
}

static int resized(int fd, int64_t size) {
    enter();
    char whole[PATH_MAX];
    const char *name = path_of(fd, whole);
    struct stat found;
    if (name && fstat(fd, &found) == 0 && size > found.st_size && room(whole, size - found.st_size) < 0) {
        leave();
        return -1;
    }
    int result = REAL(ftruncate64)(fd, size);
    if (result == 0 && name) note(TRUNCATE, inode_of(fd), size, NULL, NULL, NULL, 0);
    leave();
    return result;
}
int ftruncate(int fd, off_t size) { return resized(fd, size); }
int ftruncate64(int fd, off64_t size) { return resized(fd, size); }

/* Not called by anything that the tests run; refused rather than missed. */
int truncate(const char *path, off_t size) {
    (void)path, (void)size;
    errno = ENOSYS;
    return -1;
}
int truncate64(const char *path, off64_t size) { return truncate(path, size); }

static int allocated(int fd, int mode, int64_t offset, int64_t length) {
    char whole[PATH_MAX];
    pthread_once(&once, start);
    if (!path_of(fd, whole)) return REAL(fallocate64)(fd, mode, offset, length);
    /* As file systems without it answer: callers write zeros then. */
    errno = EOPNOTSUPP;
    return -1;
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return allocated(fd, mode, offset, length); }
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return allocated(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) { return allocated(fd, 0, offset, length) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return allocated(fd, 0, offset, length) ? errno : 0; }

/* Copies within the kernel: callers fall back to reading and writing. */
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags) {
    char whole[PATH_MAX];
    pthread_once(&once, start);
    if (!path_of(out, whole)) return REAL(copy_file_range)(in, in_at, out, out_at, length, flags);
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t length) {
    char whole[PATH_MAX];
    pthread_once(&once, start);
    if (!path_of(out, whole)) return REAL(sendfile64)(out, in, at, length);
    errno = EINVAL;
    return -1;
}
ssize_t sendfile(int out, int in, off_t *at, size_t length) { return sendfile64(out, in, at, length); }

/* ---- durability ---- */

static int fails(const char *path) {
    if (!fail_fsync || fnmatch(fail_fsync, path, 0) != 0) return 0;
    if (!fail_fsync_mark) return 1;
    int mark = REAL(open)(fail_fsync_mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (mark < 0) return 0;
    close(mark);
    return 1;
}

static int synced(int fd, int (*call)(int)) {
    enter();
    char whole[PATH_MAX];
    const char *name = path_of(fd, whole);
    if (name && fails(whole)) {
        note(SYNC_FAILED, inode_of(fd), 0, name, NULL, NULL, 0);
        errno = EIO;
        leave();
        return -1;
    }
    int result = call(fd);
    if (result == 0 && name) note(SYNC, inode_of(fd), 0, name, NULL, NULL, 0);
    leave();
    return result;
}
int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

void sync(void) {
    enter();
    REAL(sync)();
    if (root_length) note(SYNC_ALL, 0, 0, NULL, NULL, NULL, 0);
    leave();
}
int syncfs(int fd) {
    int result = REAL(syncfs)(fd);
    enter();
    if (result == 0 && root_length) note(SYNC_ALL, 0, 0, NULL, NULL, NULL, 0);
    leave();
    return result;
}
