#include "slot_table.h"

#include <base/str.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct err slot_table_open(int fd, struct slot_table **out) {
    void *p = mmap(NULL, sizeof(struct slot_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        return err_errno(errno, "mapping the slot table");
    }
    *out = p;
    return OK;
}

struct err slot_table_create(int *out_fd, struct slot_table **out) {
    int fd = memfd_create("penstock-slots", MFD_CLOEXEC);
    if (fd < 0) {
        return err_errno(errno, "memfd_create");
    }
    if (ftruncate(fd, sizeof(struct slot_table)) != 0) {
        struct err e = err_errno(errno, "sizing the slot table");
        (void)close(fd);
        return e;
    }
    struct err e = slot_table_open(fd, out);
    if (err_is_set(e)) {
        (void)close(fd);
        return e;
    }
    *out_fd = fd;
    return OK;
}

static struct slot_limit *find(struct slot_table *t, const char *type) {
    uint32_t n = __atomic_load_n(&t->limits_n, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < n && i < SLOT_TABLE_LIMITS; i++) {
        if (strcmp(t->limits[i].type, type) == 0) {
            return &t->limits[i];
        }
    }
    return NULL;
}

void slot_table_limit(struct slot_table *t, const char *type, uint32_t most) {
    struct slot_limit *limit = find(t, type);
    if (limit != NULL) {
        __atomic_store_n(&limit->most, most, __ATOMIC_RELAXED);
    } else if (most != SLOT_UNLIMITED && t->limits_n < SLOT_TABLE_LIMITS) {
        limit = &t->limits[t->limits_n];
        if (str_copy_c(str_c(type), limit->type, sizeof limit->type)) {
            limit->most = most;
            __atomic_store_n(&t->limits_n, t->limits_n + 1, __ATOMIC_RELEASE);
        }
    }
}

uint32_t slot_table_most(const struct slot_table *t, const char *type) {
    const struct slot_limit *limit = find((struct slot_table *)t, type);
    return limit != NULL ? __atomic_load_n(&limit->most, __ATOMIC_RELAXED) : SLOT_UNLIMITED;
}

void slot_table_close(struct slot_table *t) {
    if (t != NULL) {
        (void)munmap(t, sizeof *t);
    }
}
