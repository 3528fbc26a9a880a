/* Makes a program's writes fail where a test says so. Loaded before the C library; it looks only at files
 * below POS_DISK_FOLDER, and obeys the three words of POS_DISK_CONTROL, which is mapped here and written by the
 * test (`disk.rs` has the same layout). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, FULL, READ_ONLY, NTH_WRITE, NTH_SYNC };

struct control {
    uint64_t mode;
    uint64_t left; /* accesses before the one that fails */
    uint64_t hits; /* what has failed */
};

static struct control *control;
static const char *folder;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("POS_DISK_CONTROL");
    folder = getenv("POS_DISK_FOLDER");
    if (!path || !folder) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) abort();
    close(fd);
    control = mapped;
}

static int is_ours(int fd) {
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int hit(int error) {
    __atomic_fetch_add(&control->hits, 1, __ATOMIC_SEQ_CST);
    return error;
}

/* Whether it is this one's turn: the counter goes down to nothing once. */
static int is_turn(void) {
    uint64_t left = __atomic_load_n(&control->left, __ATOMIC_SEQ_CST);
    while (left > 0) {
        if (__atomic_compare_exchange_n(&control->left, &left, left - 1, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            return left == 1;
    }
    return 0;
}

/* The error for this access, or 0. */
static int fault(int fd, int is_sync) {
    if (!control) return 0;
    uint64_t mode = __atomic_load_n(&control->mode, __ATOMIC_SEQ_CST);
    if (mode == NOTHING) return 0;
    int kept = errno, ours = is_ours(fd);
    errno = kept;
    if (!ours) return 0;
    switch (mode) {
    case FULL: return is_sync ? 0 : hit(ENOSPC);
    case READ_ONLY: return is_sync ? 0 : hit(EROFS);
    case NTH_WRITE: return !is_sync && is_turn() ? hit(EIO) : 0;
    case NTH_SYNC: return is_sync && is_turn() ? hit(EIO) : 0;
    default: return 0;
    }
}

#define NEXT(name) \
    static __typeof__(&name) next; \
    if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define REFUSE(fd, is_sync) \
    do { \
        int error = fault(fd, is_sync); \
        if (error) { \
            errno = error; \
            return -1; \
        } \
    } while (0)

ssize_t write(int fd, const void *from, size_t size) {
    NEXT(write);
    REFUSE(fd, 0);
    return next(fd, from, size);
}

ssize_t writev(int fd, const struct iovec *from, int count) {
    NEXT(writev);
    REFUSE(fd, 0);
    return next(fd, from, count);
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) {
    NEXT(pwrite64);
    REFUSE(fd, 0);
    return next(fd, from, size, at);
}

int ftruncate64(int fd, off64_t size) {
    NEXT(ftruncate64);
    REFUSE(fd, 0);
    return next(fd, size);
}

int fsync(int fd) {
    NEXT(fsync);
    REFUSE(fd, 1);
    return next(fd);
}

int fdatasync(int fd) {
    NEXT(fdatasync);
    REFUSE(fd, 1);
    return next(fd);
}
