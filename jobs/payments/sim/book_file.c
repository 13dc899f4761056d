/* The book's file: opening, reading back, the form of a line. */
#include "book_file.h"

#include <base/json.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { READ_BYTES = 1024 * 1024 }; /* far more than the longest line */

struct err book_file_open(const char *path, int *out_fd) {
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_errno(errno, "open");
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        return err_make(ERR_BUSY, "another process has this book open");
    }
    *out_fd = fd;
    return OK;
}

void book_entry_write(const struct book_entry *e, struct buf *out) {
    buf_addf(out, "{\"seq\":%lld,\"at_ms\":%lld,\"op\":\"%s\",\"reference\":", (long long)e->seq, (long long)e->at.ms,
             book_op_name(e->op));
    json_add_string(out, str_c(e->reference));
    buf_addf(out, ",\"provider_ref\":\"ch_%lld\",\"parent\":", (long long)e->seq);
    if (e->parent > 0) {
        buf_addf(out, "\"ch_%lld\"", (long long)e->parent);
    } else {
        buf_add_c(out, "null");
    }
    buf_addf(out, ",\"amount\":%lld,\"currency\":\"%s\"}", (long long)e->amount, e->currency);
}

static struct err entry_parse(const json_t *o, struct book_entry *out) {
    struct book_entry e = {0};
    struct str op;
    struct str reference;
    struct str currency;
    TRY(json_get_i64(o, "seq", &e.seq));
    TRY(json_get_i64(o, "at_ms", &e.at.ms));
    TRY(json_get_str(o, "op", &op));
    TRY(json_get_str(o, "reference", &reference));
    TRY(json_get_i64(o, "amount", &e.amount));
    TRY(json_get_str(o, "currency", &currency));
    e.parent = book_parse_ref(json_opt_str(o, "parent", STR_NONE));
    if (!book_op_parse(op, &e.op) || !str_copy_c(reference, e.reference, sizeof e.reference) ||
        !str_copy_c(currency, e.currency, sizeof e.currency)) {
        return err_make(ERR_INVALID, "not an entry of a book");
    }
    *out = e;
    return OK;
}

static struct err read_line(struct str line, book_entry_cb *on_entry, void *arg) {
    json_t *o = NULL;
    struct book_entry entry;
    TRY(json_read(line, &o));
    struct err e = entry_parse(o, &entry);
    json_decref(o);
    return err_is_set(e) ? e : on_entry(arg, &entry);
}

/* Takes the whole lines out of b. *offset: how much of the file they are. */
static struct err read_lines(struct buf *b, off_t *offset, book_entry_cb *on_entry, void *arg) {
    size_t used = 0;
    const char *end;
    while ((end = memchr(b->p + used, '\n', b->n - used)) != NULL) {
        struct str line = str_of(b->p + used, (size_t)(end - (b->p + used)));
        struct err e = read_line(line, on_entry, arg);
        if (err_is_set(e)) {
            return e;
        }
        used += line.n + 1;
        *offset += (off_t)line.n + 1;
    }
    buf_drop(b, used);
    return OK;
}

struct err book_file_read(int fd, book_entry_cb *on_entry, void *arg) {
    struct buf b;
    struct err e = OK;
    off_t good = 0;
    ssize_t n = 1;
    buf_init(&b, 2 * READ_BYTES);
    while (!err_is_set(e) && n > 0) {
        char *to = buf_reserve(&b, READ_BYTES);
        if (to == NULL) {
            e = buf_status(&b); /* a line of a megabyte is none of ours */
            break;
        }
        n = read(fd, to, READ_BYTES);
        if (n > 0) {
            buf_commit(&b, (size_t)n);
            e = read_lines(&b, &good, on_entry, arg);
        }
    }
    buf_free(&b);
    if (!err_is_set(e) && (n < 0 || ftruncate(fd, good) != 0)) { /* what is behind was torn: nobody was told of it */
        e = err_errno(errno, "read");
    }
    return e;
}
