#include "top_view.h"

#include <stdio.h>
#include <stdlib.h>

#include "table.h"

/* Top line, message, titles; and the keys below. */
enum { LINES_ABOVE = 3, LINES_BELOW = 1, NAME_LEAST = 10, CELL_BYTES = 32 };

static const char *const sort_names[TOP_SORT_MAX] = {
    [TOP_BY_NAME] = "name", [TOP_BY_AGE] = "age", [TOP_BY_WAITING] = "waiting", [TOP_BY_DEAD] = "dead"};

static const struct {
    struct column column;
    int width;
} cells[] = {
    {{"WAITING", "depth.waiting", COLUMN_TEXT, 0}, 9}, {{"RUNNING", "depth.running", COLUMN_TEXT, 0}, 9},
    {{"DELAYED", "depth.delayed", COLUMN_TEXT, 0}, 9}, {{"DEAD", "depth.dead", COLUMN_TEXT, 0}, 7},
    {{"AGE", "oldest_age_s", COLUMN_SECONDS, 0}, 6},   {{"DRAIN", "drain_eta_s", COLUMN_SECONDS, 0}, 7},
};
enum { CELLS = sizeof cells / sizeof cells[0], STATE_WIDTH = 10, WORKERS_WIDTH = 9 };

/* ---- the rows in order ---- */

struct rows {
    const json_t *at[TOP_QUEUES_MAX];
    size_t n;
};

static const char *name_of(const json_t *queue) {
    const char *name = json_string_value(json_object_get(queue, "name"));
    return name != NULL ? name : "?";
}

static double figure(const json_t *queue, enum top_sort sort) {
    static const char *const paths[TOP_SORT_MAX] = {
        [TOP_BY_AGE] = "oldest_age_s", [TOP_BY_WAITING] = "depth.waiting", [TOP_BY_DEAD] = "depth.dead"};
    return paths[sort] != NULL ? json_number_value(table_member(queue, paths[sort])) : 0;
}

/* The largest first; equal ones by name. */
static int compare(const void *a, const void *b, void *arg) {
    const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
    double fx = figure(x, *(enum top_sort *)arg), fy = figure(y, *(enum top_sort *)arg);
    return fx > fy ? -1 : fx < fy ? 1 : strcmp(name_of(x), name_of(y));
}

static void sort_rows(const struct top_view *v, struct rows *out) {
    const json_t *items = json_object_get(v->snapshot, "queues");
    enum top_sort sort = v->sort;
    size_t n = json_array_size(items);
    out->n = n < TOP_QUEUES_MAX ? n : TOP_QUEUES_MAX;
    for (size_t i = 0; i < out->n; i++) {
        out->at[i] = json_array_get(items, i);
    }
    qsort_r(out->at, out->n, sizeof(const json_t *), compare, &sort);
}

static size_t place_of_selected(const struct top_view *v, const struct rows *rows) {
    for (size_t i = 0; i < rows->n; i++) {
        if (strcmp(name_of(rows->at[i]), v->selected) == 0) {
            return i;
        }
    }
    return 0;
}

const json_t *top_selected(const struct top_view *v) {
    struct rows rows;
    sort_rows(v, &rows);
    return rows.n > 0 ? rows.at[place_of_selected(v, &rows)] : NULL;
}

void top_move(struct top_view *v, int by) {
    struct rows rows;
    sort_rows(v, &rows);
    if (rows.n > 0) {
        int64_t to = (int64_t)place_of_selected(v, &rows) + by;
        to = to < 0 ? 0 : to < (int64_t)rows.n ? to : (int64_t)rows.n - 1;
        (void)str_copy_c(str_c(name_of(rows.at[to])), v->selected, sizeof v->selected);
    }
}

/* ---- lines ---- */

/* text, no more of it than fits; it is ASCII, or what the API wrote. */
static void add_line(struct buf *out, struct buf *text, int columns, const char *attribute) {
    size_t n = 0;
    int seen = 0;
    for (; n < text->n; n++) {
        text->p[n] = (unsigned char)text->p[n] < ' ' || text->p[n] == 0x7f ? '?' : text->p[n];
        seen += ((unsigned char)text->p[n] & 0xc0) != 0x80;
        if (seen > columns) {
            break;
        }
    }
    buf_addf(out, "%s%.*s%s", attribute, (int)n, text->p != NULL ? text->p : "", attribute[0] != '\0' ? "\033[0m" : "");
}

static int64_t sum(const json_t *items, const char *path) {
    int64_t total = 0;
    for (size_t i = 0; i < json_array_size(items); i++) {
        total += json_integer_value(table_member(json_array_get(items, i), path));
    }
    return total;
}

static void add_totals(const struct top_view *v, struct buf *line) {
    const json_t *items = json_object_get(v->snapshot, "queues");
    const json_t *degraded = json_object_get(v->snapshot, "degraded");
    bool ready = json_is_true(json_object_get(v->snapshot, "ready"));
    buf_addf(line, "penstock %s  %s", !ready ? "not ready" : json_array_size(degraded) > 0 ? "degraded" : "ready", v->url);
    buf_addf(line, "  waiting %lld  running %lld  dead %lld", (long long)sum(items, "depth.waiting"),
             (long long)sum(items, "depth.running"), (long long)sum(items, "depth.dead"));
    for (size_t i = 0; i < json_array_size(degraded); i++) {
        const char *what = json_string_value(json_array_get(degraded, i));
        buf_addf(line, "%s%s", i == 0 ? "  degraded: " : ", ", what != NULL ? what : "?");
    }
}

/* Worker processes of the queue that are alive. */
static int64_t processes_of(const json_t *queue) { return json_integer_value(table_member(queue, "workers.running")); }

static const char *state_of(const json_t *queue) {
    const char *state = json_string_value(json_object_get(queue, "state"));
    return json_is_true(json_object_get(queue, "paused")) ? "paused" : state != NULL ? state : "-";
}

static int name_width(int columns) {
    int others = STATE_WIDTH + WORKERS_WIDTH;
    for (size_t i = 0; i < CELLS; i++) {
        others += cells[i].width;
    }
    return columns - others > NAME_LEAST ? columns - others : NAME_LEAST;
}

static void add_titles(struct buf *line, int columns) {
    buf_addf(line, "%-*s%-*s", name_width(columns), "NAME", STATE_WIDTH, "STATE");
    for (size_t i = 0; i < CELLS; i++) {
        buf_addf(line, "%*s", cells[i].width, cells[i].column.title);
    }
    buf_addf(line, "%*s", WORKERS_WIDTH, "WORKERS");
}

static void add_queue(const json_t *queue, int columns, struct wall now, struct buf *line) {
    char cell[TABLE_CELL_BYTES], workers[CELL_BYTES];
    int width = name_width(columns);
    buf_addf(line, "%-*.*s %-*s", width - 1, width - 1, name_of(queue), STATE_WIDTH, state_of(queue));
    for (size_t i = 0; i < CELLS; i++) {
        table_cell(queue, &cells[i].column, now, cell);
        buf_addf(line, " %*s", cells[i].width - 1, cell);
    }
    (void)snprintf(workers, sizeof workers, "%lld/%lld", (long long)processes_of(queue),
                   (long long)json_integer_value(table_member(queue, "workers.desired")));
    buf_addf(line, " %*s", WORKERS_WIDTH - 1, workers);
}

/* Red: jobs wait and nobody takes them, or none are taken in. Yellow: somebody wanted it so, or some are refused. */
static const char *color_of(const struct top_view *v, const json_t *queue, bool selected) {
    const char *state = state_of(queue);
    bool waits = json_integer_value(table_member(queue, "depth.waiting")) > 0;
    bool bad = strcmp(state, "closed") == 0 || (waits && processes_of(queue) == 0);
    if (selected) {
        return "\033[7m";
    }
    return !v->color ? "" : bad ? "\033[31m" : strcmp(state, "open") != 0 ? "\033[33m" : "";
}

/* As many as there is room for, the selected one among them. */
static void add_queues(const struct top_view *v, int rows, int columns, struct wall now, struct buf *out) {
    struct rows sorted;
    struct buf line;
    sort_rows(v, &sorted);
    size_t room = rows > LINES_ABOVE + LINES_BELOW ? (size_t)(rows - LINES_ABOVE - LINES_BELOW) : 0;
    size_t chosen = place_of_selected(v, &sorted);
    size_t first = chosen >= room && room > 0 ? chosen - room + 1 : 0;
    buf_init(&line, out->max);
    for (size_t i = first; i < sorted.n && i < first + room; i++) {
        buf_clear(&line);
        add_queue(sorted.at[i], columns, now, &line);
        add_line(out, &line, columns, color_of(v, sorted.at[i], i == chosen));
        buf_add_char(out, '\n');
    }
    for (size_t i = sorted.n - first; i < room; i++) {
        buf_add_char(out, '\n');
    }
    buf_free(&line);
}

void top_write(const struct top_view *v, int rows, int columns, struct wall now, struct buf *out) {
    struct buf line;
    buf_init(&line, out->max);
    add_totals(v, &line);
    add_line(out, &line, columns, v->color ? "\033[1m" : "");
    buf_add_char(out, '\n');
    buf_clear(&line);
    buf_add_c(&line, v->message);
    add_line(out, &line, columns, "");
    buf_add_char(out, '\n');
    buf_clear(&line);
    add_titles(&line, columns);
    add_line(out, &line, columns, v->color ? "\033[1m" : "");
    buf_add_char(out, '\n');
    add_queues(v, rows, columns, now, out);
    buf_clear(&line);
    buf_addf(&line, "q quit  up down select  p pause/resume  + - workers  s sort (%s)", sort_names[v->sort]);
    add_line(out, &line, columns, "");
    buf_free(&line);
}
