/* Tables: a row per thing, NAME first, AGE last, no wider than 80 characters. Pure. */
#ifndef OPS_CLI_TABLE_H
#define OPS_CLI_TABLE_H

#include <base/clock.h>
#include <base/json.h>

enum column_kind {
    COLUMN_TEXT,    /* text, number, true or false; a list with commas */
    COLUMN_AGE,     /* since a time in text, in unix ms, or inside of an id (UUIDv7) */
    COLUMN_SECONDS, /* a number of seconds, shown as an age */
    COLUMN_PERCENT, /* a ratio, shown as percent */
    COLUMN_NUMBER,  /* of which parts matter */
};

struct column {
    const char *title; /* no spaces */
    const char *path;  /* of members, "depth.waiting"; at a list "last" is its last element */
    enum column_kind kind;
    bool cut; /* its texts may be shortened ("..") where the table would be too wide */
};

enum { TABLE_WIDTH = 80, TABLE_COLUMNS_MAX = 12 };

/* rows: a list of objects, or one object. What is not there shows as "-". */
void table_write(struct buf *out, const struct column *columns, size_t n, const json_t *rows, struct wall now, bool headers);

/* The text of one cell, where names alone are wanted. Control characters show as "?". */
enum { TABLE_CELL_BYTES = 256 };
void table_cell(const json_t *row, const struct column *c, struct wall now, char out[TABLE_CELL_BYTES]);

#endif
