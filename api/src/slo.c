#include "slo.h"

#include <io/timer.h>
#include <jobs/slo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "handlers.h"
#include "server.h"

enum { READ_EVERY_MS = 10000, RATE_READINGS = 7, DAY_BYTES = 16, BYTES_MAX = 64 * 1024 };

/* Everything that was ever counted, for the rate. */
struct reading {
    struct mono at; /* 0: none */
    int64_t total[SLOS];
};

struct slo_board {
    struct api *api;
    struct timer *timer;
    bool reading;
    struct wall read; /* 0: not yet */
    char since[DAY_BYTES];
    struct slo_count window[SLOS], today[SLOS];
    struct reading readings[RATE_READINGS]; /* the latest first */
};

static const struct pg_stmt board_stmt = {
    "api.slo",
    "WITH t AS (SELECT (now() AT TIME ZONE 'UTC')::date AS day) SELECT d.slo, "
    "coalesce(sum(d.good) FILTER (WHERE d.day > t.day - 30), 0), coalesce(sum(d.total) FILTER (WHERE d.day > t.day - 30), 0), "
    "coalesce(sum(d.good) FILTER (WHERE d.day = t.day), 0), coalesce(sum(d.total) FILTER (WHERE d.day = t.day), 0), "
    "sum(d.total), min(d.day) FILTER (WHERE d.day > t.day - 30) FROM platform.slo_day d, t GROUP BY d.slo",
    0,
};
static const struct pg_stmt report_stmt = {
    "api.slo_report",
    "SELECT to_char(m, 'YYYY-MM'), slo, sum(good)::bigint, sum(total)::bigint FROM "
    "(SELECT coalesce(to_date($1::text, 'YYYY-MM'), date_trunc('month', now() AT TIME ZONE 'UTC')::date) AS m) AS month "
    "LEFT JOIN platform.slo_day ON day >= m AND day < m + interval '1 month' GROUP BY m, slo",
    1,
};

static const struct slo *find(struct str name) {
    for (size_t i = 0; i < SLOS; i++) {
        if (str_is(name, slos[i].name)) {
            return &slos[i];
        }
    }
    return NULL;
}

/* ---- reading ---- */

static void take_row(struct slo_board *b, const PGresult *res, int row) {
    const struct slo *o = find(pg_col(res, row, 0));
    struct str since = pg_col(res, row, 6);
    if (o == NULL) {
        return; /* an objective of before */
    }
    size_t i = (size_t)(o - slos);
    b->window[i] = (struct slo_count){pg_col_int(res, row, 1), pg_col_int(res, row, 2)};
    b->today[i] = (struct slo_count){pg_col_int(res, row, 3), pg_col_int(res, row, 4)};
    b->readings[0].total[i] = pg_col_int(res, row, 5);
    if (since.n > 0 && since.n < DAY_BYTES && (b->since[0] == '\0' || memcmp(since.p, b->since, since.n) < 0)) {
        (void)str_copy_c(since, b->since, sizeof b->since); /* ISO dates: the order of text is that of time */
    }
}

static void on_board(void *arg, struct err err, const PGresult *res) {
    struct slo_board *b = arg;
    b->reading = false;
    if (err_is_set(err)) {
        return; /* what was known stays, and says when it was read */
    }
    memmove(&b->readings[1], &b->readings[0], sizeof b->readings[0] * (RATE_READINGS - 1));
    b->readings[0] = (struct reading){.at = loop_now(b->api->rt->loop)};
    memset(b->window, 0, sizeof b->window);
    memset(b->today, 0, sizeof b->today);
    b->since[0] = '\0';
    b->read = loop_wall(b->api->rt->loop);
    for (int row = 0; row < PQntuples(res); row++) {
        take_row(b, res, row);
    }
}

static void on_due(void *arg) {
    struct slo_board *b = arg;
    if (!b->reading) {
        b->reading = true;
        pg_exec(b->api->rt->platform, &board_stmt, NULL, 0, 0, on_board, b);
    }
}

struct err slo_board_new(struct api *api, struct slo_board **out) {
    struct slo_board *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return err_make(ERR_NOMEM, "objectives");
    }
    b->api = api;
    struct err e = timer_new(api->rt->loop, on_due, b, &b->timer);
    if (err_is_set(e)) {
        free(b);
        return e;
    }
    *out = b;
    return OK;
}

void slo_board_start(struct slo_board *b) {
    timer_start_every(b->timer, READ_EVERY_MS);
    on_due(b);
}

void slo_board_stop(struct slo_board *b) {
    if (b != NULL) {
        timer_free(b->timer);
        b->timer = NULL;
    }
}

/* ---- GET /v1/slo ---- */

/* Over the last minute, as far as there are readings. NAN: not yet. */
static double rate(const struct slo_board *b, size_t i) {
    const struct reading *now = &b->readings[0], *before = now;
    for (size_t k = 1; k < RATE_READINGS && b->readings[k].at.us != 0; k++) {
        before = &b->readings[k];
    }
    double s = (double)(now->at.us - before->at.us) / 1e6;
    double n = (double)(now->total[i] - before->total[i]);
    return s > 0 ? fmax(n, 0) / s : (double)NAN; /* fewer: a day of last year was forgotten */
}

static void add_real(struct buf *out, const char *name, double v) {
    if (isnan(v)) {
        buf_addf(out, ",\"%s\":null", name);
    } else {
        buf_addf(out, ",\"%s\":%.6g", name, v);
    }
}

static double attained(struct slo_count n) { return n.total > 0 ? (double)n.good / (double)n.total : (double)NAN; }

static void add_count(struct buf *out, struct slo_count n) {
    buf_addf(out, "\"good\":%lld,\"total\":%lld", (long long)n.good, (long long)n.total);
    add_real(out, "attained", attained(n));
}

/* As far as a month and the window of now have it in common; the object stays open. */
static void add_slo(struct buf *out, const struct slo *o, struct slo_count n) {
    buf_addf(out, "{\"name\":\"%s\",\"kind\":\"%s\",\"of\":\"%s\",\"target\":%.6g", o->name, slo_kind_name(o->kind), o->of,
             o->target);
    if (o->within_s > 0) {
        add_real(out, "within_seconds", o->within_s);
    }
    buf_add_char(out, ',');
    add_count(out, n);
    add_real(out, "budget_left", slo_budget_left(o, n));
}

void handle_slo_list(struct call *c) {
    const struct slo_board *b = c->api->slo;
    struct buf out;
    if (b->read.ms == 0) {
        call_problem(c, PROBLEM_UNAVAILABLE, "This process has just started: what was counted is not read yet");
        return;
    }
    buf_init(&out, BYTES_MAX);
    buf_addf(&out, "{\"window\":{\"days\":30,\"since\":%s%s%s}", b->since[0] != '\0' ? "\"" : "",
             b->since[0] != '\0' ? b->since : "null", b->since[0] != '\0' ? "\"" : "");
    job_add_time(&out, "read_at", b->read);
    buf_add_c(&out, ",\"items\":[");
    for (size_t i = 0; i < SLOS; i++) {
        buf_add_c(&out, i > 0 ? "," : "");
        add_slo(&out, &slos[i], b->window[i]);
        add_real(&out, "per_second", rate(b, i));
        buf_add_c(&out, ",\"today\":{");
        add_count(&out, b->today[i]);
        buf_add_c(&out, "}}");
    }
    buf_add_c(&out, "]}");
    call_json(c, 200, &out);
    buf_free(&out);
}

/* ---- GET /v1/slo/report ---- */

static void on_report(struct call *c, const PGresult *res) {
    struct slo_count counts[SLOS] = {{0}};
    struct buf out;
    for (int row = 0; row < PQntuples(res); row++) {
        const struct slo *o = find(pg_col(res, row, 1));
        if (o != NULL) {
            counts[o - slos] = (struct slo_count){pg_col_int(res, row, 2), pg_col_int(res, row, 3)};
        }
    }
    buf_init(&out, BYTES_MAX);
    buf_addf(&out, "{\"month\":\"%.*s\",\"items\":[", STR_ARG(pg_col(res, 0, 0)));
    for (size_t i = 0; i < SLOS; i++) {
        buf_add_c(&out, i > 0 ? "," : "");
        add_slo(&out, &slos[i], counts[i]);
        buf_add_char(&out, '}');
    }
    buf_add_c(&out, "]}");
    call_json(c, 200, &out);
    buf_free(&out);
}

/* "2026-11" */
static bool is_month(struct str s) {
    int64_t year, month;
    return s.n == 7 && s.p[4] == '-' && str_to_i64(str_of(s.p, 4), &year) && str_to_i64(str_of(s.p + 5, 2), &month) &&
           year >= 2000 && month >= 1 && month <= 12;
}

void handle_slo_report(struct call *c) {
    struct str month = http_query(c->req, "month");
    if (month.p != NULL && !is_month(month)) {
        call_problem(c, PROBLEM_BAD_PARAMETER, "month must be one like 2026-11");
        return;
    }
    const struct pg_value value = pg_text_or_null(month);
    call_query(c, &report_stmt, &value, on_report);
}
