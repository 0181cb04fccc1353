/* A layer below a program's file calls, loaded by LD_PRELOAD: it records what is done below one folder, counts it,
 * lets the n-th call of a kind fail, or kills the process right before or after it.
 *
 * Configured by the environment (`settings.py` writes it):
 *   SHIM_ROOT    the folder, absolute and resolved; nothing elsewhere is touched
 *   SHIM_STATE   a file of at least 4096 bytes: the lock and the counters that all processes share
 *   SHIM_LOG     where to record; unset: nothing is recorded
 *   SHIM_ONLY    a glob of paths relative to the folder; other paths are neither counted nor made to fail
 *   SHIM_FAIL    KIND:N:ERRNO:LASTING   the n-th call of the kind fails (LASTING 1: and all that follow)
 *   SHIM_KILL    KIND:N:WHEN            SIGKILL (WHEN 0: before, 1: after) the n-th call of the kind
 *   SHIM_DROP    N                      the n-th fsync is answered as done without being recorded (0: every one)
 *
 * Kinds: open (for writing, or to create), write, truncate, fsync, rename, link, unlink, mkdir, rmdir, commit. A
 * commit is the write that completes a transaction in SQLite's write-ahead log (`*-wal`), or the removal of its
 * rollback journal (`*-journal`). Files called `*-shm` are passed by: SQLite rebuilds them.
 *
 * The lock is held around each call and its record, so the order of the records is the order of the calls, over all
 * threads and processes. A record is a header (struct record) with two paths and data behind it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN, WRITE, TRUNCATE, FSYNC, RENAME, LINK, UNLINK, MKDIR, RMDIR, COMMIT, KINDS };
static const char *const NAMES[KINDS] = {"open",   "write",  "truncate", "fsync", "rename",
                                         "link",   "unlink", "mkdir",    "rmdir", "commit"};
#define MAGIC 0x5348494dU

struct state {
    uint32_t magic;
    uint32_t reserved;
    uint64_t counts[KINDS];
    pthread_mutex_t lock;
};

struct record {
    uint32_t magic;
    char what;
    char pad[3];
    uint32_t path, other;
    uint64_t inode, number, size;
};

static struct {
    int on, log, lasting, when, error;
    int fail, kill; /* a kind, or -1 */
    uint64_t fail_at, kill_at, drop_at;
    int drop;
    const char *only;
    char root[PATH_MAX];
    size_t root_length;
    struct state *state;
} shim = {.log = -1, .fail = -1, .kill = -1};

static __thread int commit_frame;

static void give_up(const char *why) {
    dprintf(2, "shim: %s (errno %d)\n", why, errno);
    syscall(SYS_exit_group, 97);
}

static int kind_named(const char *text) {
    for (int kind = 0; kind < KINDS; kind++) {
        size_t length = strlen(NAMES[kind]);
        if (!strncmp(text, NAMES[kind], length) && text[length] == ':') return kind;
    }
    give_up("unknown kind");
    return -1;
}

static int raw_open(const char *path, int flags, int mode) { return syscall(SYS_openat, AT_FDCWD, path, flags, mode); }

__attribute__((constructor)) static void begin(void) {
    const char *root = getenv("SHIM_ROOT"), *state = getenv("SHIM_STATE"), *text;
    if (!root || !state) return;
    snprintf(shim.root, sizeof shim.root, "%s", root);
    shim.root_length = strlen(shim.root);
    int file = raw_open(state, O_RDWR | O_CLOEXEC, 0);
    if (file < 0) give_up("SHIM_STATE cannot be opened");
    shim.state = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shim.state == MAP_FAILED) give_up("SHIM_STATE cannot be mapped");
    syscall(SYS_flock, file, LOCK_EX);
    if (shim.state->magic != MAGIC) {
        pthread_mutexattr_t shared;
        pthread_mutexattr_init(&shared);
        pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&shim.state->lock, &shared);
        shim.state->magic = MAGIC;
    }
    syscall(SYS_flock, file, LOCK_UN);
    syscall(SYS_close, file);
    if ((text = getenv("SHIM_LOG"))) {
        int low = raw_open(text, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        shim.log = syscall(SYS_fcntl, low, F_DUPFD_CLOEXEC, 700); /* out of the way of the program's own numbers */
        if (shim.log < 0) give_up("SHIM_LOG cannot be opened");
        syscall(SYS_close, low);
    }
    shim.only = getenv("SHIM_ONLY");
    if ((text = getenv("SHIM_FAIL"))) {
        shim.fail = kind_named(text);
        if (sscanf(strchr(text, ':'), ":%lu:%d:%d", &shim.fail_at, &shim.error, &shim.lasting) != 3)
            give_up("SHIM_FAIL is not KIND:N:ERRNO:LASTING");
    }
    if ((text = getenv("SHIM_KILL"))) {
        shim.kill = kind_named(text);
        if (sscanf(strchr(text, ':'), ":%lu:%d", &shim.kill_at, &shim.when) != 2)
            give_up("SHIM_KILL is not KIND:N:WHEN");
    }
    if ((text = getenv("SHIM_DROP"))) {
        shim.drop = 1;
        shim.drop_at = strtoul(text, NULL, 10);
    }
    shim.on = 1;
}

/* For a forked child that was started above the layer: forget what was asked, and do what the environment asks by now. */
void shim_begin_again(void) {
    shim.on = shim.lasting = shim.when = shim.error = shim.drop = 0;
    shim.fail = shim.kill = shim.log = -1;
    begin();
}

static void lock(void) {
    if (pthread_mutex_lock(&shim.state->lock) == EOWNERDEAD) pthread_mutex_consistent(&shim.state->lock);
}

static void unlock(void) {
    int kept = errno;
    pthread_mutex_unlock(&shim.state->lock);
    errno = kept;
}

/* Whether a path, absolute and resolved, is one of ours. */
static int below(const char *path) {
    size_t length = strlen(path);
    if (strncmp(path, shim.root, shim.root_length)) return 0;
    if (path[shim.root_length] != '/' && path[shim.root_length] != 0) return 0;
    return length < 4 || strcmp(path + length - 4, "-shm");
}

static int counts(const char *path) {
    const char *relative = path + shim.root_length;
    return !shim.only || !fnmatch(shim.only, *relative ? relative + 1 : "", 0);
}

/* The resolved path of a name (its folder is resolved, its last part is not); 0 if it is not ours. */
static int resolve(int folder, const char *name, char *path) {
    if (!shim.on || !name || !*name) return 0;
    int kept = errno, ours = 0;
    char whole[PATH_MAX * 2], start[PATH_MAX], link[64];
    if (*name == '/') {
        snprintf(whole, sizeof whole, "%s", name);
    } else {
        ssize_t length;
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        if ((length = readlink(link, start, sizeof start - 1)) < 0) goto done;
        start[length] = 0;
        snprintf(whole, sizeof whole, "%s/%s", start, name);
    }
    size_t end = strlen(whole);
    while (end > 1 && whole[end - 1] == '/') whole[--end] = 0;
    char *slash = strrchr(whole, '/');
    if (!slash) goto done;
    char last[NAME_MAX + 1];
    snprintf(last, sizeof last, "%s", slash + 1);
    *slash = 0;
    char real[PATH_MAX];
    if (!realpath(*whole ? whole : "/", real)) goto done;
    if ((size_t)snprintf(path, PATH_MAX, "%s/%s", strcmp(real, "/") ? real : "", last) >= PATH_MAX) goto done;
    ours = below(path);
done:
    errno = kept;
    return ours;
}

/* The path of an open regular file or folder of ours, and its inode. */
static int resolve_handle(int handle, char *path, uint64_t *inode) {
    if (!shim.on) return 0;
    int kept = errno, ours = 0;
    struct stat about;
    char link[64];
    if (syscall(SYS_fstat, handle, &about) == 0 && (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode))) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
        ssize_t length = readlink(link, path, PATH_MAX - 1);
        if (length > 0) {
            path[length] = 0;
            char *gone = length > 10 ? path + length - 10 : NULL;
            if (gone && !strcmp(gone, " (deleted)")) *gone = 0;
            *inode = about.st_ino;
            ours = below(path);
        }
    }
    errno = kept;
    return ours;
}

static void put(struct iovec *parts, int number) {
    while (number) {
        ssize_t done = syscall(SYS_writev, shim.log, parts, number);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) give_up("the record cannot be written");
        while (number && (size_t)done >= parts->iov_len) done -= parts->iov_len, parts++, number--;
        if (number) parts->iov_base = (char *)parts->iov_base + done, parts->iov_len -= done;
    }
}

static void record(char what, const char *path, const char *other, uint64_t inode, uint64_t number, const void *data,
                   size_t size) {
    if (shim.log < 0) return;
    int kept = errno;
    struct record head = {MAGIC, what, {0}, strlen(path), other ? strlen(other) : 0, inode, number, size};
    struct iovec parts[4] = {{&head, sizeof head},
                             {(void *)path, head.path},
                             {(void *)other, head.other},
                             {(void *)data, size}};
    put(parts, 4);
    errno = kept;
}

static int due(int wanted, uint64_t at, enum kind kind, int lasting) {
    uint64_t count = shim.state->counts[kind];
    return wanted == (int)kind && (count == at || (lasting && count > at));
}

/* Count a call that is about to be made: -1 if it has to fail. Called with the lock held. */
static int before(enum kind kind, const char *path) {
    if (!counts(path)) return 0;
    shim.state->counts[kind]++;
    if (due(shim.kill, shim.kill_at, kind, 0) && shim.when == 0) syscall(SYS_kill, getpid(), SIGKILL);
    if (due(shim.fail, shim.fail_at, kind, shim.lasting)) {
        errno = shim.error;
        return -1;
    }
    return 0;
}

static void after(enum kind kind, const char *path) {
    if (counts(path) && due(shim.kill, shim.kill_at, kind, 0) && shim.when == 1) syscall(SYS_kill, getpid(), SIGKILL);
}

static int ends(const char *path, const char *end) {
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && !strcmp(path + length - tail, end);
}

static uint64_t inode_of(const char *path) {
    struct stat about;
    int kept = errno;
    uint64_t inode = lstat(path, &about) ? 0 : about.st_ino;
    errno = kept;
    return inode;
}

/* A call on a name: counted, made, recorded. */
#define ON_NAME(kind, path, call, what, other, inode, number)   \
    do {                                                        \
        long answer = -1;                                       \
        lock();                                                 \
        if (!before(kind, path)) {                              \
            uint64_t known = (inode);                           \
            answer = (call);                                    \
            if (answer == 0) {                                  \
                record(what, path, other, known, number, 0, 0); \
                after(kind, path);                              \
            }                                                   \
        }                                                       \
        unlock();                                               \
        return answer;                                          \
    } while (0)

static int opened(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
    if (!writes || !resolve(folder, name, path)) return syscall(SYS_openat, folder, name, flags, mode);
    int handle = -1;
    lock();
    if (!before(OPEN, path)) {
        uint64_t earlier = inode_of(path);
        handle = syscall(SYS_openat, folder, name, flags, mode);
        if (handle >= 0) {
            struct stat about;
            syscall(SYS_fstat, handle, &about);
            if (!earlier) record('C', path, 0, about.st_ino, about.st_mode & 07777, 0, 0);
            else if (flags & O_TRUNC) record('T', path, 0, about.st_ino, 0, 0, 0);
            after(OPEN, path);
        }
    }
    unlock();
    return handle;
}

#define MODE(flags, mode)                    \
    do {                                     \
        if ((flags) & (O_CREAT | O_TMPFILE)) { \
            va_list more;                    \
            va_start(more, flags);           \
            mode = va_arg(more, mode_t);     \
            va_end(more);                    \
        }                                    \
    } while (0)

int open(const char *name, int flags, ...) {
    mode_t mode = 0;
    MODE(flags, mode);
    return opened(AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...) {
    mode_t mode = 0;
    MODE(flags, mode);
    return opened(AT_FDCWD, name, flags | O_LARGEFILE, mode);
}
int openat(int folder, const char *name, int flags, ...) {
    mode_t mode = 0;
    MODE(flags, mode);
    return opened(folder, name, flags, mode);
}
int openat64(int folder, const char *name, int flags, ...) {
    mode_t mode = 0;
    MODE(flags, mode);
    return opened(folder, name, flags | O_LARGEFILE, mode);
}
int creat(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* Whether these bytes complete a transaction in a write-ahead log: the page behind a frame header (24 bytes, from
 * offset 32 on) whose second word, the size of the database after the commit, is not 0. */
static int completes(const char *path, const void *data, size_t size, off_t offset) {
    if (!ends(path, "-wal")) return 0;
    if (size == 24 && offset >= 32) {
        const unsigned char *head = data;
        commit_frame = head[4] || head[5] || head[6] || head[7];
        return 0;
    }
    int complete = commit_frame && size > 24;
    commit_frame = 0;
    return complete;
}

/* A write of one piece of memory; `offset` below 0: at the file's position. */
static ssize_t written(int handle, const void *data, size_t size, off_t offset) {
    char path[PATH_MAX];
    uint64_t inode;
    if (!resolve_handle(handle, path, &inode))
        return offset < 0 ? syscall(SYS_write, handle, data, size)
                          : syscall(SYS_pwrite64, handle, data, size, offset);
    ssize_t done = -1;
    lock();
    int commits = completes(path, data, size, offset);
    if (!before(WRITE, path) && !(commits && before(COMMIT, path))) {
        if (offset < 0) {
            done = syscall(SYS_write, handle, data, size);
            if (done > 0) record('W', path, 0, inode, syscall(SYS_lseek, handle, 0, SEEK_CUR) - done, data, done);
        } else {
            done = syscall(SYS_pwrite64, handle, data, size, offset);
            if (done > 0) record('W', path, 0, inode, offset, data, done);
        }
        if (done >= 0) after(WRITE, path);
        if (done >= 0 && commits) after(COMMIT, path);
    }
    unlock();
    return done;
}

static ssize_t written_parts(int handle, const struct iovec *parts, int number, off_t offset) {
    char path[PATH_MAX];
    uint64_t inode;
    if (!resolve_handle(handle, path, &inode))
        return offset < 0 ? syscall(SYS_writev, handle, parts, number)
                          : syscall(SYS_pwritev, handle, parts, number, offset, 0);
    ssize_t all = 0;
    for (int i = 0; i < number; i++) {
        ssize_t done = written(handle, parts[i].iov_base, parts[i].iov_len, offset < 0 ? -1 : offset + all);
        if (done < 0) return all ? all : -1;
        all += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return all;
}

ssize_t write(int handle, const void *data, size_t size) { return written(handle, data, size, -1); }
ssize_t pwrite(int handle, const void *data, size_t size, off_t offset) { return written(handle, data, size, offset); }
ssize_t pwrite64(int handle, const void *data, size_t size, off64_t offset) {
    return written(handle, data, size, offset);
}
ssize_t writev(int handle, const struct iovec *parts, int number) { return written_parts(handle, parts, number, -1); }
ssize_t pwritev(int handle, const struct iovec *parts, int number, off_t offset) {
    return written_parts(handle, parts, number, offset);
}
ssize_t pwritev64(int handle, const struct iovec *parts, int number, off64_t offset) {
    return written_parts(handle, parts, number, offset);
}

/* Bytes that the kernel moves into a file by itself: made to go through our own writes. */
static ssize_t moved(int from, off_t *at, int to, size_t size) {
    char piece[65536];
    size_t wanted = size < sizeof piece ? size : sizeof piece;
    ssize_t got = at ? syscall(SYS_pread64, from, piece, wanted, *at) : syscall(SYS_read, from, piece, wanted);
    if (got <= 0) return got;
    ssize_t done = written(to, piece, got, -1);
    if (at && done > 0) *at += done;
    if (!at && done < got) syscall(SYS_lseek, from, (done < 0 ? 0 : done) - got, SEEK_CUR);
    return done;
}
static int ours(int handle) {
    char path[PATH_MAX];
    uint64_t inode;
    return resolve_handle(handle, path, &inode);
}
ssize_t sendfile(int to, int from, off_t *at, size_t size) {
    return ours(to) ? moved(from, at, to, size) : syscall(SYS_sendfile, to, from, at, size);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
    return ours(to) ? moved(from, at, to, size) : syscall(SYS_sendfile, to, from, at, size);
}
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *into, size_t size, unsigned flags) {
    if (!ours(to)) return syscall(SYS_copy_file_range, from, at, to, into, size, flags);
    errno = EXDEV; /* callers copy in another way then */
    return -1;
}

static int truncated(int handle, off_t size) {
    char path[PATH_MAX];
    uint64_t inode;
    if (!resolve_handle(handle, path, &inode)) return syscall(SYS_ftruncate, handle, size);
    ON_NAME(TRUNCATE, path, syscall(SYS_ftruncate, handle, size), 'T', 0, inode, size);
}
int ftruncate(int handle, off_t size) { return truncated(handle, size); }
int ftruncate64(int handle, off64_t size) { return truncated(handle, size); }

static int truncated_name(const char *name, off_t size) {
    char path[PATH_MAX];
    if (!resolve(AT_FDCWD, name, path)) return syscall(SYS_truncate, name, size);
    ON_NAME(TRUNCATE, path, syscall(SYS_truncate, name, size), 'T', 0, inode_of(path), size);
}
int truncate(const char *name, off_t size) { return truncated_name(name, size); }
int truncate64(const char *name, off64_t size) { return truncated_name(name, size); }

static int allocated(int handle, int mode, off_t offset, off_t size) {
    char path[PATH_MAX];
    uint64_t inode;
    if (!resolve_handle(handle, path, &inode)) return syscall(SYS_fallocate, handle, mode, offset, size);
    errno = EOPNOTSUPP; /* callers write zeros then */
    return -1;
}
int fallocate(int handle, int mode, off_t offset, off_t size) { return allocated(handle, mode, offset, size); }
int fallocate64(int handle, int mode, off64_t offset, off64_t size) { return allocated(handle, mode, offset, size); }
int posix_fallocate(int handle, off_t offset, off_t size) { return allocated(handle, 0, offset, size) ? errno : 0; }
int posix_fallocate64(int handle, off64_t offset, off64_t size) {
    return allocated(handle, 0, offset, size) ? errno : 0;
}

static int synced(int handle, long number) {
    char path[PATH_MAX];
    uint64_t inode;
    if (!resolve_handle(handle, path, &inode)) return syscall(number, handle);
    int answer = -1;
    lock();
    if (!before(FSYNC, path)) {
        int dropped = shim.drop && counts(path) &&
                      (shim.drop_at == 0 || shim.state->counts[FSYNC] == shim.drop_at);
        struct stat about;
        syscall(SYS_fstat, handle, &about);
        answer = syscall(number, handle);
        if (answer == 0) {
            if (!dropped) record(S_ISDIR(about.st_mode) ? 'D' : 'S', path, 0, inode, 0, 0, 0);
            after(FSYNC, path);
        }
    }
    unlock();
    return answer;
}
int fsync(int handle) { return synced(handle, SYS_fsync); }
int fdatasync(int handle) { return synced(handle, SYS_fdatasync); }

/* Everything at once: recorded, but not counted, as it names nothing that could fail. */
void sync(void) {
    syscall(SYS_sync);
    if (!shim.on) return;
    lock();
    if (!shim.drop || shim.drop_at) record('A', shim.root, 0, 0, 0, 0, 0);
    unlock();
}

/* A file that is moved into the folder from elsewhere: recorded as made there, with its bytes not synced. */
static int brought(int from, const char *name, int to, const char *target, const char *path, unsigned flags) {
    int answer = -1;
    lock();
    if (!before(RENAME, path)) {
        answer = syscall(SYS_renameat2, from, name, to, target, flags);
        int file = answer ? -1 : raw_open(path, O_RDONLY | O_CLOEXEC, 0);
        struct stat about;
        if (file >= 0 && shim.log >= 0 && syscall(SYS_fstat, file, &about) == 0) {
            if (!S_ISREG(about.st_mode)) give_up("a folder was moved into the recorded folder");
            record('C', path, 0, about.st_ino, about.st_mode & 07777, 0, 0);
            char piece[65536];
            ssize_t got;
            for (uint64_t at = 0; (got = syscall(SYS_pread64, file, piece, sizeof piece, at)) > 0; at += got)
                record('W', path, 0, about.st_ino, at, piece, got);
        }
        if (file >= 0) syscall(SYS_close, file);
        if (!answer) after(RENAME, path);
    }
    unlock();
    return answer;
}

static int renamed(int from, const char *name, int to, const char *target, unsigned flags) {
    char path[PATH_MAX], other[PATH_MAX];
    int source = resolve(from, name, path), goal = resolve(to, target, other);
    if (!source && !goal) return syscall(SYS_renameat2, from, name, to, target, flags);
    if (source && !goal) ON_NAME(RENAME, path, syscall(SYS_renameat2, from, name, to, target, flags), 'U', 0, 0, 0);
    if (goal && !source) return brought(from, name, to, target, other, flags);
    ON_NAME(RENAME, path, syscall(SYS_renameat2, from, name, to, target, flags), 'N', other, 0, flags);
}
int rename(const char *name, const char *target) { return renamed(AT_FDCWD, name, AT_FDCWD, target, 0); }
int renameat(int from, const char *name, int to, const char *target) { return renamed(from, name, to, target, 0); }
int renameat2(int from, const char *name, int to, const char *target, unsigned flags) {
    return renamed(from, name, to, target, flags);
}

static int linked(int from, const char *name, int to, const char *target, int flags) {
    char other[PATH_MAX];
    struct stat about;
    if (!resolve(to, target, other)) return syscall(SYS_linkat, from, name, to, target, flags);
    if (fstatat(from, name, &about, flags & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW)) return -1;
    ON_NAME(LINK, other, syscall(SYS_linkat, from, name, to, target, flags), 'L', 0, about.st_ino, 0);
}
int link(const char *name, const char *target) { return linked(AT_FDCWD, name, AT_FDCWD, target, 0); }
int linkat(int from, const char *name, int to, const char *target, int flags) {
    return linked(from, name, to, target, flags);
}

static int linked_by_name(const char *target, int folder, const char *name) {
    char path[PATH_MAX];
    if (!resolve(folder, name, path)) return syscall(SYS_symlinkat, target, folder, name);
    ON_NAME(LINK, path, syscall(SYS_symlinkat, target, folder, name), 'Y', target, 0, 0);
}
int symlink(const char *target, const char *name) { return linked_by_name(target, AT_FDCWD, name); }
int symlinkat(const char *target, int folder, const char *name) { return linked_by_name(target, folder, name); }

static int unlinked(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    if (!resolve(folder, name, path)) return syscall(SYS_unlinkat, folder, name, flags);
    enum kind kind = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
    int commits = kind == UNLINK && ends(path, "-journal"), answer = -1;
    lock();
    if (!before(kind, path) && !(commits && before(COMMIT, path))) {
        answer = syscall(SYS_unlinkat, folder, name, flags);
        if (answer == 0) {
            record('U', path, 0, 0, 0, 0, 0);
            after(kind, path);
            if (commits) after(COMMIT, path);
        }
    }
    unlock();
    return answer;
}
int unlink(const char *name) { return unlinked(AT_FDCWD, name, 0); }
int unlinkat(int folder, const char *name, int flags) { return unlinked(folder, name, flags); }
int rmdir(const char *name) { return unlinked(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) {
    int answer = unlinked(AT_FDCWD, name, 0);
    return answer && errno == EISDIR ? unlinked(AT_FDCWD, name, AT_REMOVEDIR) : answer;
}

static int made(int folder, const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!resolve(folder, name, path)) return syscall(SYS_mkdirat, folder, name, mode);
    ON_NAME(MKDIR, path, syscall(SYS_mkdirat, folder, name, mode), 'M', 0, 0, mode);
}
int mkdir(const char *name, mode_t mode) { return made(AT_FDCWD, name, mode); }
int mkdirat(int folder, const char *name, mode_t mode) { return made(folder, name, mode); }
