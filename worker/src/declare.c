/* Declared types (handler.types): worker processes are given the set that the supervisor has found good, as a file in memory, so that one
 * that starts later does not meet what somebody has written since. HUP reads the file anew; processes of the old set finish what they hold
 * and make room for others. */
#include "supervisor.h"

#include <base/log.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static struct err write_all(int fd, struct str text) {
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno != EINTR) {
            return err_errno(errno, "writing the declared types");
        }
        text = n > 0 ? str_of(text.p + n, text.n - (size_t)n) : text;
    }
    return OK;
}

static struct err make_file(const struct type_set *set, int *out_fd) {
    int fd = set != NULL ? memfd_create("penstock-types", MFD_CLOEXEC) : -1;
    if (set != NULL && fd < 0) {
        return err_errno(errno, "memfd_create");
    }
    struct err e = set != NULL ? write_all(fd, set->text) : OK;
    if (err_is_set(e)) {
        (void)close(fd);
        return e;
    }
    *out_fd = fd;
    return OK;
}

struct err declare_publish(struct supervisor *s) {
    return make_file(s->options->registry->declared, &s->types_fd);
}

void declare_forget(struct supervisor *s) {
    if (s->types_fd >= 0) {
        (void)close(s->types_fd);
    }
}

/* False: as before. */
static bool take(struct supervisor *s, struct type_set *set) {
    struct registry *r = s->options->registry;
    int fd;
    struct err e = make_file(set, &fd);
    if (err_is_set(e)) {
        LOG(ERROR, "types.refused", LF_ERR(e));
        type_set_release(set);
        return false;
    }
    declare_forget(s);
    s->types_fd = fd;
    type_set_release(r->declared);
    r->declared = set;
    return true;
}

bool declare_again(struct supervisor *s) {
    struct registry *r = s->options->registry;
    struct type_set *set;
    struct err e = registry_declare(r, s->rt->conf->handler_types, &set);
    if (err_is_set(e)) {
        LOG(ERROR, "types.refused", LF_ERR(e));
        return false;
    }
    if (set == NULL || str_eq(set->text, r->declared->text)) {
        LOG(INFO, "types.unchanged", LF_C("file", s->rt->conf->handler_types));
        type_set_release(set);
        return false;
    }
    if (!take(s, set)) {
        return false;
    }
    LOG(INFO, "types.declared", LF_C("file", s->rt->conf->handler_types), LF_INT("types", set->types_n));
    return true;
}
