#include "slot_table.h"

#include <errno.h>
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

void slot_table_close(struct slot_table *t) {
    if (t != NULL) {
        (void)munmap(t, sizeof *t);
    }
}
