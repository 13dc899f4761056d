#include "store_values.h"

#include <stdlib.h>

enum { COLUMNS_MAX = 12 };

/* ---- results ---- */

PGresult *res_new(int columns) {
    static PGresAttDesc names[COLUMNS_MAX];
    static char name[] = "c";
    PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    for (int i = 0; i < columns; i++) {
        names[i].name = name;
    }
    if (r == NULL || (columns > 0 && PQsetResultAttrs(r, columns, names) == 0)) {
        abort();
    }
    return r;
}

void res_set(PGresult *r, int row, int column, struct str s) {
    (void)PQsetvalue(r, row, column, (char *)(uintptr_t)s.p, s.p != NULL ? (int)s.n : -1);
}

void res_set_c(PGresult *r, int row, int column, const char *text) { res_set(r, row, column, str_c(text)); }

void res_set_int(PGresult *r, int row, int column, int64_t v) {
    char room[I64_TEXT_BYTES];
    res_set(r, row, column, str_from_i64(v, room));
}

void res_set_uuid(PGresult *r, int row, int column, struct uuid u) {
    char text[UUID_TEXT_BYTES];
    uuid_text(u, text);
    res_set_c(r, row, column, text);
}

void res_set_bool(PGresult *r, int row, int column, bool v) { res_set_c(r, row, column, v ? "t" : "f"); }

/* ---- parameters ---- */

int64_t param_int(struct pg_value v) {
    int64_t n = 0;
    (void)str_to_i64(str_of(v.p, v.n), &n);
    return n;
}

struct uuid param_uuid(struct pg_value v) {
    struct uuid u;
    if (!uuid_parse(str_of(v.p, v.n), &u)) {
        abort();
    }
    return u;
}

/* '{"a","b",NULL}': quoted or bare, none of ours has an escape where it is read. */
size_t param_list(struct pg_value v, struct str out[LIMIT_BATCH]) {
    size_t n = 0;
    struct str rest = str_of(v.p + 1, v.n - 2), item;
    while (n < LIMIT_BATCH && str_cut(&rest, ',', &item)) {
        if (item.n >= 2 && item.p[0] == '"') {
            item = str_of(item.p + 1, item.n - 2);
        }
        out[n++] = item;
    }
    return n;
}

size_t param_uuids(struct pg_value v, struct uuid out[LIMIT_BATCH]) {
    struct str items[LIMIT_BATCH];
    size_t n = param_list(v, items);
    for (size_t i = 0; i < n; i++) {
        if (!uuid_parse(items[i], &out[i])) {
            abort();
        }
    }
    return n;
}

void param_ints(struct pg_value v, int64_t out[LIMIT_BATCH]) {
    struct str items[LIMIT_BATCH];
    size_t n = param_list(v, items);
    for (size_t i = 0; i < n; i++) {
        out[i] = param_int((struct pg_value){items[i].p, items[i].n, false});
    }
}
