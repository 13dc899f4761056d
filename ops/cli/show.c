#include "show.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

enum { TABLE_MAX_BYTES = 64 << 20 };

static void print_body(const struct client_answer *a) { (void)printf("%.*s\n", (int)a->body.n, a->body.p); }

static void print_names(const json_t *rows, const struct column *name) {
    char cell[TABLE_CELL_BYTES];
    size_t n = json_is_array(rows) ? json_array_size(rows) : 1;
    for (size_t i = 0; i < n; i++) {
        table_cell(json_is_array(rows) ? json_array_get(rows, i) : rows, name, (struct wall){0}, cell);
        (void)printf("%s\n", cell);
    }
}

static int print_table(const struct options *o, const json_t *rows, const struct column *columns, size_t n) {
    struct buf text;
    buf_init(&text, TABLE_MAX_BYTES);
    table_write(&text, columns, n, rows, clock_wall(&clock_system), o->headers);
    struct err e = buf_status(&text);
    if (!err_is_set(e)) {
        (void)fwrite(text.p, 1, text.n, stdout);
    }
    buf_free(&text);
    return err_is_set(e) ? cli_fail(o, EXIT_INTERNAL, "%s", e.detail) : EXIT_SUCCESS;
}

int show_rows(const struct options *o, const struct client_answer *a, const struct column *columns, size_t n) {
    const json_t *items = json_object_get(a->json, "items");
    const json_t *rows = items != NULL ? items : a->json;
    int code = EXIT_SUCCESS;
    if (o->json) {
        print_body(a);
    } else if (o->quiet) {
        print_names(rows, &columns[0]);
    } else {
        code = print_table(o, rows, columns, n);
    }
    struct str next = json_opt_str(a->json, "next", STR_NONE);
    if (next.p != NULL && !o->json && !o->quiet) {
        (void)fprintf(stderr, "there is more: --cursor %.*s\n", STR_ARG(next));
    }
    return code;
}

int show_change(const struct options *o, const struct client_answer *a, const char *kind, const char *name, const char *done) {
    if (o->json) {
        print_body(a);
    } else if (o->quiet) {
        (void)printf("%s\n", name);
    } else {
        (void)printf("%s/%s %s\n", kind, name, done);
    }
    return EXIT_SUCCESS;
}

int show_asked(const struct options *o, const struct client_request *r, const struct column *columns, size_t n) {
    struct client_answer a;
    int code = client_call(o, r, &a);
    if (code == EXIT_SUCCESS) {
        code = show_rows(o, &a, columns, n);
    }
    client_answer_free(&a);
    return code;
}

int show_changed(const struct options *o, const struct client_request *r, const char *kind, const char *name, const char *done) {
    struct client_answer a;
    int code = client_call(o, r, &a);
    if (code == EXIT_SUCCESS) {
        const char *state = json_string_value(json_object_get(a.json, "state"));
        code = show_change(o, &a, kind, name, done != NULL ? done : state != NULL ? state : "done");
    }
    client_answer_free(&a);
    return code;
}
