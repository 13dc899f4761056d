/* The book: one line of JSON per effect, appended and synced before anybody is told. It is the truth that a kill -9 leaves,
 * and what an independent checker reads:
 *   {"seq":1,"at_ms":…,"op":"authorize","reference":"…","provider_ref":"ch_1","parent":null,"amount":100,"currency":"EUR"} */
#ifndef SIM_BOOK_H
#define SIM_BOOK_H

#include <base/buf.h>
#include <base/clock.h>
#include <base/limits.h>

struct book;

enum book_op { BOOK_AUTHORIZE, BOOK_CAPTURE, BOOK_VOID, BOOK_REFUND, BOOK_OP_MAX };
const char *book_op_name(enum book_op op);
bool book_op_parse(struct str name, enum book_op *out);

enum { BOOK_CURRENCY_BYTES = 4, BOOK_ENTRIES_MAX = 4000000 };

struct book_entry {
    int64_t seq; /* 1, 2, …; the provider's reference is ch_<seq> */
    struct wall at;
    enum book_op op;
    int64_t parent; /* seq of the authorization; 0 for an authorization */
    int64_t amount;
    char currency[BOOK_CURRENCY_BYTES];
    char reference[LIMIT_KEY_BYTES + 1];
};

/* Reads what is there; cuts off a last line that was torn. ERR_INVALID for a book that is none, ERR_BUSY when another
 * process has it. */
MUST struct err book_open(const char *path, struct book **out);

/* NULL, or the code of the decline: a capture of more than was authorized, another currency, … seq and at are not looked at. */
const char *book_objection(const struct book *b, const struct book_entry *e);
/* Enters it under the next seq, which is written to *e, for the next flush. */
MUST struct err book_add(struct book *b, struct book_entry *e);
/* Writes and syncs what was added: one write, one fdatasync. On failure the process must end. */
MUST struct err book_flush(struct book *b);

/* The entries with this reference, first one first: start with NULL; NULL at the end. */
const struct book_entry *book_next(const struct book *b, struct str reference, const struct book_entry *after);
int64_t book_parse_ref(struct str provider_ref); /* the seq of "ch_7", or 0 */
void book_entry_write(const struct book_entry *e, struct buf *out);

#endif
