/* The book in memory: entries by seq, and by reference. */
#include "book_file.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(record) ((record)->lost = true)
#include <uthash.h>

enum { LINES_BYTES = 64 * 1024 * 1024 };

struct record {
    struct book_entry entry;            /* first: book_next */
    int64_t captured, voided, refunded; /* of an authorization */
    UT_hash_handle by_seq;
    UT_hash_handle by_reference; /* of the first with its reference only */
    struct record *next;         /* with the same reference */
    bool lost;                   /* no memory to index it */
};

struct book {
    int fd;
    struct record *by_seq, *by_reference;
    int64_t n;
    struct buf lines; /* added, not yet written */
};

static const char *const op_names[] = {"authorize", "capture", "void", "refund"};
_Static_assert(sizeof op_names / sizeof op_names[0] == BOOK_OP_MAX, "one name per operation");

const char *book_op_name(enum book_op op) { return op_names[op]; }

bool book_op_parse(struct str name, enum book_op *out) {
    for (int i = 0; i < BOOK_OP_MAX; i++) {
        if (str_is(name, op_names[i])) {
            *out = (enum book_op)i;
            return true;
        }
    }
    return false;
}

int64_t book_parse_ref(struct str provider_ref) {
    int64_t seq;
    bool good =
        str_starts(provider_ref, STR("ch_")) && str_to_i64(str_of(provider_ref.p + 3, provider_ref.n - 3), &seq) && seq > 0;
    return good ? seq : 0;
}

static struct record *authorization(const struct book *b, int64_t seq) {
    struct record *r = NULL;
    HASH_FIND(by_seq, b->by_seq, &seq, sizeof seq, r);
    return r != NULL && r->entry.op == BOOK_AUTHORIZE ? r : NULL;
}

/* What may still be captured or voided, or refunded. */
static int64_t left(const struct record *a, enum book_op op) {
    return op == BOOK_REFUND ? a->captured - a->refunded : a->entry.amount - a->captured - a->voided;
}

const char *book_objection(const struct book *b, const struct book_entry *e) {
    if (e->op == BOOK_AUTHORIZE) {
        return NULL;
    }
    const struct record *a = authorization(b, e->parent);
    if (a == NULL) {
        return "unknown_parent";
    }
    if (strcmp(a->entry.currency, e->currency) != 0) {
        return "currency_mismatch";
    }
    return e->amount > left(a, e->op) ? "amount_too_large" : NULL;
}

static struct record *first_of(const struct book *b, struct str reference) {
    struct record *r = NULL;
    HASH_FIND(by_reference, b->by_reference, reference.p, (unsigned)reference.n, r);
    return r;
}

static bool index_reference(struct book *b, struct record *r) {
    struct record *first = first_of(b, str_c(r->entry.reference));
    if (first == NULL) {
        HASH_ADD_KEYPTR(by_reference, b->by_reference, r->entry.reference, (unsigned)strlen(r->entry.reference), r);
        return !r->lost;
    }
    while (first->next != NULL) {
        first = first->next;
    }
    first->next = r;
    return true;
}

static void sum_up(struct book *b, const struct book_entry *e) {
    struct record *a = authorization(b, e->parent);
    if (a == NULL) {
        return;
    }
    a->captured += e->op == BOOK_CAPTURE ? e->amount : 0;
    a->voided += e->op == BOOK_VOID ? e->amount : 0;
    a->refunded += e->op == BOOK_REFUND ? e->amount : 0;
}

static struct err remember(struct book *b, const struct book_entry *e) {
    if (b->n >= BOOK_ENTRIES_MAX) {
        return err_make(ERR_TOO_LARGE, "the book is full: %d entries", BOOK_ENTRIES_MAX);
    }
    struct record *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return err_make(ERR_NOMEM, "book");
    }
    r->entry = *e;
    HASH_ADD_KEYPTR(by_seq, b->by_seq, &r->entry.seq, sizeof r->entry.seq, r);
    if (!r->lost && !index_reference(b, r)) {
        HASH_DELETE(by_seq, b->by_seq, r);
    }
    if (r->lost) {
        free(r);
        return err_make(ERR_NOMEM, "book");
    }
    b->n++;
    sum_up(b, e);
    return OK;
}

static struct err on_entry(void *arg, const struct book_entry *e) {
    struct book *b = arg;
    const char *objection = book_objection(b, e);
    if (e->seq != b->n + 1 || objection != NULL) {
        return err_make(ERR_INVALID, "seq %lld: %s", (long long)e->seq, objection != NULL ? objection : "not the next one");
    }
    return remember(b, e);
}

struct err book_open(const char *path, struct book **out) {
    struct book *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return err_make(ERR_NOMEM, "book");
    }
    buf_init(&b->lines, LINES_BYTES);
    struct err e = book_file_open(path, &b->fd);
    if (!err_is_set(e)) {
        e = book_file_read(b->fd, on_entry, b);
    }
    if (err_is_set(e)) {
        free(b); /* and the process ends: the records are not worth a destructor */
        return err_wrap(e, path);
    }
    *out = b;
    return OK;
}

struct err book_add(struct book *b, struct book_entry *e) {
    e->seq = b->n + 1;
    TRY(remember(b, e));
    book_entry_write(e, &b->lines);
    buf_add_char(&b->lines, '\n');
    return OK; /* a line that found no room makes the flush fail */
}

struct err book_flush(struct book *b) {
    TRY(buf_status(&b->lines));
    for (size_t done = 0; done < b->lines.n;) {
        ssize_t n = write(b->fd, b->lines.p + done, b->lines.n - done);
        if (n < 0 && errno != EINTR) {
            return err_errno(errno, "write");
        }
        done += n > 0 ? (size_t)n : 0;
    }
    buf_clear(&b->lines);
    return fdatasync(b->fd) == 0 ? OK : err_errno(errno, "fdatasync");
}

const struct book_entry *book_next(const struct book *b, struct str reference, const struct book_entry *after) {
    const struct record *r = after == NULL ? first_of(b, reference) : ((const struct record *)after)->next;
    return r != NULL ? &r->entry : NULL;
}
