#include "show.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"

enum { REASON_MAX_BYTES = 4096 };

enum { TABLE_MAX_BYTES = 64 << 20 };

bool show_has_color(void) {
    const char *no = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return (no == NULL || no[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0 && isatty(STDOUT_FILENO) == 1;
}

static int out_of_memory(const struct options *o) { return cli_fail(o, EXIT_INTERNAL, "out of memory"); }

static void print_body(const struct client_answer *a) { (void)printf("%.*s\n", (int)a->body.n, a->body.p); }

static int print_value(const struct options *o, const json_t *v) {
    struct buf text;
    buf_init(&text, TABLE_MAX_BYTES);
    if (json_is_string(v)) {
        buf_add_c(&text, json_string_value(v));
    } else if (v != NULL && err_is_set(json_write(v, &text))) {
        buf_free(&text);
        return out_of_memory(o);
    }
    (void)printf("%.*s\n", STR_ARG(buf_str(&text)));
    buf_free(&text);
    return EXIT_SUCCESS;
}

/* The noun of what a command shows, where it is not its own. */
static const char *kind_of(const struct options *o) {
    static const struct {
        const char *noun, *kind;
    } rows[] = {{"dlq", "job"}, {"scale", "queue"}, {"health", "process"}, {"worker", "process"}, {"config", "setting"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].noun, o->command->noun) == 0) {
            return rows[i].kind;
        }
    }
    return o->command->noun;
}

/* ---- rows ---- */

static void print_name(const struct options *o, const json_t *row, const struct column *name) {
    char cell[TABLE_CELL_BYTES];
    table_cell(row, name, (struct wall){0}, cell);
    (void)printf("%s%s%s\n", o->quiet ? "" : kind_of(o), o->quiet ? "" : "/", cell);
}

static int print_table(const struct options *o, const json_t *rows, const struct column *columns, size_t n, bool headers) {
    struct buf text;
    buf_init(&text, TABLE_MAX_BYTES);
    table_write(&text, columns, n, rows, clock_wall(&clock_system),
                (struct table_form){.headers = headers, .wide = o->output == OUTPUT_WIDE});
    struct err e = buf_status(&text);
    if (!err_is_set(e)) {
        (void)fwrite(text.p, 1, text.n, stdout);
    }
    buf_free(&text);
    return err_is_set(e) ? cli_fail(o, EXIT_INTERNAL, "%s", e.detail) : EXIT_SUCCESS;
}

static bool is_table(const struct options *o) { return o->field == NULL && !o->quiet && !o->json && o->output != OUTPUT_NAME; }

/* One row, in every form but a table. */
static int print_row(const struct options *o, const json_t *row, const struct column *columns) {
    if (o->field != NULL) {
        return print_value(o, table_member(row, o->field));
    }
    if (o->json) {
        return print_value(o, row);
    }
    print_name(o, row, &columns[0]);
    return EXIT_SUCCESS;
}

static const json_t *rows_of(const struct client_answer *a) {
    const json_t *items = json_object_get(a->json, "items");
    return items != NULL ? items : a->json;
}
static size_t rows_n(const json_t *rows) { return json_is_array(rows) ? json_array_size(rows) : 1; }
static const json_t *rows_at(const json_t *rows, size_t i) { return json_is_array(rows) ? json_array_get(rows, i) : rows; }

void show_next(const struct options *o, const struct client_answer *a) {
    struct str next = json_opt_str(a->json, "next", STR_NONE);
    if (next.p != NULL && o->output != OUTPUT_JSON && !o->quiet) {
        (void)fprintf(stderr, "there is more: --cursor %.*s\n", STR_ARG(next));
    }
}

int show_rows(const struct options *o, const struct client_answer *a, const struct column *columns, size_t n) {
    const json_t *rows = rows_of(a);
    int code = EXIT_SUCCESS;
    if (is_table(o)) {
        code = print_table(o, rows, columns, n, o->headers);
    } else if (o->output == OUTPUT_JSON && o->field == NULL) {
        print_body(a);
    } else {
        for (size_t i = 0; i < rows_n(rows) && code == EXIT_SUCCESS; i++) {
            code = print_row(o, rows_at(rows, i), columns);
        }
    }
    show_next(o, a);
    return code;
}

int show_member(const struct options *o, const struct client_answer *a, const char *member, const struct column *columns,
                size_t n) {
    struct client_answer part = {.json = json_object_get(a->json, member)};
    buf_init(&part.body, TABLE_MAX_BYTES);
    struct err e = part.json != NULL ? json_write(part.json, &part.body) : OK;
    int code = part.json == NULL ? cli_fail(o, EXIT_PROTOCOL, "the answer has no %s", member)
               : err_is_set(e)   ? cli_fail(o, EXIT_INTERNAL, "%s", e.detail)
                                 : show_rows(o, &part, columns, n);
    buf_free(&part.body);
    return code;
}

/* ---- rows that have changed ---- */

/* What shows of a row and does not change by itself. */
static void add_look(const struct options *o, const json_t *row, const struct column *columns, size_t n, struct buf *out) {
    char cell[TABLE_CELL_BYTES];
    if (o->field != NULL) {
        const json_t *v = table_member(row, o->field);
        if (v != NULL && err_is_set(json_write(v, out))) {
            buf_clear(out);
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (columns[i].kind == COLUMN_TEXT && (o->output == OUTPUT_WIDE || o->json || (columns[i].flags & COLUMN_WIDE) == 0)) {
            table_cell(row, &columns[i], (struct wall){0}, cell);
            buf_add_c(out, cell);
            buf_add_char(out, '\n');
        }
    }
}

/* False: it looks as it did. */
static bool is_news(const struct options *o, const json_t *row, const struct column *columns, size_t n, struct shown_rows *seen) {
    char name[TABLE_CELL_BYTES];
    struct buf look;
    buf_init(&look, TABLE_MAX_BYTES);
    table_cell(row, &columns[0], (struct wall){0}, name);
    add_look(o, row, columns, n, &look);
    const char *before = json_string_value(json_object_get(seen->texts, name));
    bool news = before == NULL || !str_is(buf_str(&look), before);
    if (news) {
        (void)json_object_set_new(seen->texts, name, json_stringn(look.n > 0 ? look.p : "", look.n));
    }
    buf_free(&look);
    return news;
}

/* What is gone is forgotten: should it come back, it is news. */
static void forget_gone(const json_t *rows, const struct column *name, struct shown_rows *seen) {
    json_t *now = json_object();
    char cell[TABLE_CELL_BYTES];
    for (size_t i = 0; now != NULL && i < rows_n(rows); i++) {
        table_cell(rows_at(rows, i), name, (struct wall){0}, cell);
        json_t *text = json_object_get(seen->texts, cell);
        (void)json_object_set(now, cell, text);
    }
    if (now != NULL) {
        json_decref(seen->texts);
        seen->texts = now;
    }
}

int show_news(const struct options *o, const struct client_answer *a, const struct column *columns, size_t n,
              struct shown_rows *seen) {
    const json_t *rows = rows_of(a);
    bool first = seen->texts == NULL;
    int code = EXIT_SUCCESS;
    json_t *news = json_array();
    seen->texts = first ? json_object() : seen->texts;
    if (news == NULL || seen->texts == NULL) {
        json_decref(news);
        return out_of_memory(o);
    }
    for (size_t i = 0; i < rows_n(rows); i++) {
        json_t *row = json_is_array(rows) ? json_array_get(rows, i) : a->json;
        if (is_news(o, row, columns, n, seen)) {
            (void)json_array_append(news, row);
        }
    }
    forget_gone(rows, &columns[0], seen);
    if (is_table(o) && (first || json_array_size(news) > 0)) {
        code = print_table(o, news, columns, n, o->headers && first);
    }
    for (size_t i = 0; !is_table(o) && i < json_array_size(news) && code == EXIT_SUCCESS; i++) {
        code = print_row(o, json_array_get(news, i), columns);
    }
    json_decref(news);
    return code;
}

/* ---- changes ---- */

int show_change(const struct options *o, const struct client_answer *a, const char *kind, const char *name, const char *done) {
    if (o->field != NULL) {
        return print_value(o, table_member(a->json, o->field));
    }
    if (o->json) {
        print_body(a);
    } else if (o->quiet) {
        (void)printf("%s\n", name);
    } else {
        (void)printf(o->output == OUTPUT_NAME ? "%s/%s\n" : "%s/%s %s\n", kind, name, done);
    }
    return EXIT_SUCCESS;
}

int show_changed(const struct options *o, const struct client_request *r, const char *kind, const char *name, const char *done) {
    struct client_answer a;
    if (o->dry_run) {
        return show_dry(o, r, kind, name, done != NULL ? done : "changed", NULL);
    }
    int code = client_call(o, r, &a);
    if (code == EXIT_SUCCESS) {
        const char *state = json_string_value(json_object_get(a.json, "state"));
        code = show_change(o, &a, kind, name, done != NULL ? done : state != NULL ? state : "done");
    }
    client_answer_free(&a);
    return code;
}

int show_told(const struct options *o, const char *path, const char *verb, const char *kind, const char *done) {
    const char *reason = o->value[OPTION_REASON];
    struct buf body;
    int code;
    buf_init(&body, REASON_MAX_BYTES);
    buf_add_c(&body, reason != NULL ? "{\"reason\":" : "{");
    if (reason != NULL) {
        json_add_string(&body, str_c(reason));
    }
    buf_add_char(&body, '}');
    if (err_is_set(buf_status(&body))) {
        code = cli_fail(o, EXIT_BAD_INPUT, "--reason is too long");
    } else {
        const struct client_request r = {
            .method = "POST", .path = {path, o->args[0], verb}, .body = buf_str(&body), .timeout_ms = o->timeout_ms};
        code = show_changed(o, &r, kind, o->args[0], done);
    }
    buf_free(&body);
    return code;
}

/* ---- changes that are not made ---- */

static void print_request(const struct client_request *r) {
    (void)printf("{\"dry_run\":true,\"method\":\"%s\",\"path\":\"%s%s%s\",\"body\":%.*s}\n", r->method, r->path[0],
                 r->path[1] != NULL ? r->path[1] : "", r->path[1] != NULL && r->path[2] != NULL ? r->path[2] : "",
                 STR_ARG(r->body.p != NULL ? r->body : STR("null")));
}

static int look_at(const struct options *o, const struct client_request *r, const char *kind, const char *states) {
    const struct client_request look = {.method = "GET", .path = {r->path[0], r->path[1]}, .timeout_ms = r->timeout_ms};
    struct client_answer a;
    int code = client_call(o, &look, &a);
    const char *state = code == EXIT_SUCCESS ? json_string_value(json_object_get(a.json, "state")) : NULL;
    if (states != NULL && state != NULL) {
        struct str rest = str_c(states), one;
        bool may = false;
        while (!may && str_cut(&rest, ' ', &one)) {
            may = str_is(one, state);
        }
        code = may ? code : cli_fail(o, EXIT_FAILED, "the %s is %s", kind, state);
    }
    client_answer_free(&a);
    return code;
}

int show_dry(const struct options *o, const struct client_request *r, const char *kind, const char *name, const char *done,
             const char *states) {
    int code = r->path[1] != NULL ? look_at(o, r, kind, states) : EXIT_SUCCESS;
    if (code != EXIT_SUCCESS) {
        return code;
    }
    if (o->json) {
        print_request(r);
    } else if (o->quiet) {
        (void)printf("%s\n", name);
    } else {
        (void)printf("%s/%s %s (dry run)\n", kind, name, done);
    }
    return EXIT_WORK;
}
