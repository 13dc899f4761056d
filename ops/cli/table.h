/* Tables: a row per thing, NAME first, AGE last, no wider than 80 characters. Pure. */
#ifndef OPS_CLI_TABLE_H
#define OPS_CLI_TABLE_H

#include <base/clock.h>
#include <base/json.h>

/* The member of v at path, "depth.waiting"; at a list a number or "last" is one of its elements. NULL: there is none. */
const json_t *table_member(const json_t *v, const char *path);

enum column_kind {
    COLUMN_TEXT,    /* text, number, true or false; a list with commas */
    COLUMN_AGE,     /* since a time in text, in unix ms, or inside of an id (UUIDv7) */
    COLUMN_SECONDS, /* a number of seconds, shown as an age */
    COLUMN_PERCENT, /* a ratio, shown as percent */
    COLUMN_NUMBER,  /* of which parts matter */
};

struct column {
    const char *title; /* no spaces */
    const char *path;  /* as table_member takes it */
    enum column_kind kind;
    unsigned flags; /* enum column_flag */
};
enum column_flag {
    COLUMN_CUT = 1,  /* its texts may be shortened ("..") where the table would be too wide */
    COLUMN_WIDE = 2, /* only in the wide form */
};

enum { TABLE_WIDTH = 80, TABLE_COLUMNS_MAX = 16 };

/* rows: a list of objects, or one object. What is not there shows as "-". wide: every column, as wide as it wants to be. */
struct table_form {
    bool headers, wide;
};
void table_write(struct buf *out, const struct column *columns, size_t n, const json_t *rows, struct wall now,
                 struct table_form form);

/* The text of one cell, where names alone are wanted. Control characters show as "?". */
enum { TABLE_CELL_BYTES = 256 };
void table_cell(const json_t *row, const struct column *c, struct wall now, char out[TABLE_CELL_BYTES]);

#endif
