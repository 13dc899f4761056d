/* Parameters, columns and arrays: between our types and Postgres' text and binary forms. */
#include <base/crypto.h>
#include <io/pg.h>
#include <stdio.h>

struct pg_value pg_int(int64_t v, char room[PG_INT_BYTES]) {
    int n = snprintf(room, PG_INT_BYTES, "%lld", (long long)v);
    return (struct pg_value){room, (size_t)n, false};
}

struct pg_value pg_uuid(struct uuid u, char room[PG_UUID_BYTES]) {
    uuid_text(u, room);
    return (struct pg_value){room, PG_UUID_BYTES - 1, false};
}

struct str pg_col(const PGresult *res, int row, int col) {
    return str_of(PQgetvalue(res, row, col), (size_t)PQgetlength(res, row, col));
}

bool pg_col_null(const PGresult *res, int row, int col) { return PQgetisnull(res, row, col) != 0; }

int64_t pg_col_int(const PGresult *res, int row, int col) {
    int64_t v = 0;
    (void)str_to_i64(pg_col(res, row, col), &v);
    return v;
}

bool pg_col_bool(const PGresult *res, int row, int col) { return str_is(pg_col(res, row, col), "t"); }

bool pg_col_uuid(const PGresult *res, int row, int col, struct uuid *out) { return uuid_parse(pg_col(res, row, col), out); }

struct str pg_col_bytes(const PGresult *res, int row, int col, struct arena *a) {
    struct str text = pg_col(res, row, col);
    if (!str_starts(text, STR("\\x")) || text.n % 2 != 0) {
        return STR_NONE;
    }
    size_t n = (text.n - 2) / 2;
    char *p = arena_alloc(a, n + 1);
    if (p == NULL || !hex_decode((struct str){text.p + 2, 2 * n}, p, n)) {
        return STR_NONE;
    }
    return (struct str){p, n};
}

void pg_array_begin(struct buf *b) { buf_add_char(b, '{'); }

static void add_quoted(struct buf *b, struct str s) {
    buf_add_char(b, '"');
    size_t plain = 0; /* start of what needs no escape */
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') {
            buf_add(b, (struct str){s.p + plain, i - plain});
            buf_add_char(b, '\\');
            plain = i;
        }
    }
    buf_add(b, (struct str){s.p + plain, s.n - plain});
    buf_add_char(b, '"');
}

static void add_hex(struct buf *b, struct str s) {
    char *to = buf_reserve(b, 2 * s.n + 6);
    if (to == NULL) {
        return;
    }
    memcpy(to, "\"\\\\x", 4);
    hex_encode(s.p, s.n, to + 4); /* and a NUL, where the quote goes */
    to[4 + 2 * s.n] = '"';
    buf_commit(b, 2 * s.n + 5);
}

void pg_array_add(struct buf *b, struct pg_value v) {
    if (b->n > 0 && b->p[b->n - 1] != '{') { /* every element ends in a quote or in NULL */
        buf_add_char(b, ',');
    }
    if (v.p == NULL) {
        buf_add_c(b, "NULL");
    } else if (v.binary) {
        add_hex(b, str_of(v.p, v.n));
    } else {
        add_quoted(b, str_of(v.p, v.n));
    }
}

void pg_array_end(struct buf *b) { buf_add_char(b, '}'); }
