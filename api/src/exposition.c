/* GET /metrics: this process's series and those that the others' heartbeats carry. */
#include <base/json.h>
#include <base/log.h>
#include <base/metrics.h>

#include "fleet.h"
#include "handlers.h"
#include "header.h"
#include "server.h"

/* Rendering holds up the loop, and the process label makes the text longer, though never fourfold. */
enum { SNAPSHOT_BYTES_MAX = 1 << 20, SNAPSHOTS_BYTES_MAX = 2 << 20, EXPOSITION_BYTES_MAX = 8 << 20 };

static const char openmetrics_type[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";
static const char text_type[] = "text/plain; version=0.0.4; charset=utf-8";

struct tally {
    int64_t running, busy, draining;
};

/* Worker processes by queue and what they do. */
static void count_workers(struct call *c, const struct process *processes, size_t n) {
    const struct queue_table *t = c->api->rt->queues;
    for (size_t i = 0; i < queue_table_count(t); i++) {
        const char *queue = queue_table_at(t, i)->name;
        struct tally tally = {0};
        for (size_t p = 0; p < n; p++) {
            const json_t *beat = processes[p].beat;
            if (str_is(json_opt_str(beat, "role", STR("")), "worker") && str_is(json_opt_str(beat, "queue", STR("")), queue)) {
                tally.running++;
                tally.busy += json_opt_i64(beat, "busy", 0) > 0;
                tally.draining += json_opt_bool(beat, "draining", false);
            }
        }
        series_set(metric_series(M_WORKERS, queue, "running", NULL), (double)tally.running);
        series_set(metric_series(M_WORKERS, queue, "busy", NULL), (double)tally.busy);
        series_set(metric_series(M_WORKERS, queue, "draining", NULL), (double)tally.draining);
    }
}

/* As many of the others as fit. */
static size_t take_parts(struct call *c, const struct process *processes, size_t n, struct metrics_part parts[FLEET_MAX + 1]) {
    size_t parts_n = 1, bytes = parts[0].snapshot.n, left_out = 0;
    for (size_t i = 0; i < n; i++) {
        struct str snapshot = json_opt_str(processes[i].beat, "metrics", STR_NONE);
        if (snapshot.p == NULL || str_is(processes[i].name, c->api->rt->process)) {
            continue;
        }
        if (bytes + snapshot.n > SNAPSHOTS_BYTES_MAX) {
            left_out++;
            continue;
        }
        bytes += snapshot.n;
        parts[parts_n++] = (struct metrics_part){processes[i].name.p, snapshot};
    }
    if (left_out > 0) {
        LOG(WARN, "metrics.left_out", LF_INT("processes", left_out));
    }
    return parts_n;
}

static void render(struct call *c, const struct process *processes, size_t n, struct buf *own, struct buf *out) {
    struct metrics_part parts[FLEET_MAX + 1] = {{c->api->rt->process, buf_str(own)}};
    size_t parts_n = take_parts(c, processes, n, parts);
    struct str accept = http_request_header(c->req, "Accept");
    bool openmetrics = accept.p != NULL && header_accepts(accept, "application/openmetrics-text");
    metrics_render(out, parts, parts_n, openmetrics);
    if (err_is_set(buf_status(out))) {
        call_fail(c, buf_status(out));
    } else {
        call_answer(c, 200, openmetrics ? openmetrics_type : text_type, buf_str(out));
    }
}

static void on_fleet(struct call *c, struct err err, const struct process *processes, size_t n) {
    struct buf own, out;
    if (c->req == NULL) {
        return;
    }
    if (!err_is_set(err)) {
        count_workers(c, processes, n);
    }
    buf_init(&own, SNAPSHOT_BYTES_MAX);
    buf_init(&out, EXPOSITION_BYTES_MAX);
    metrics_snapshot(&own);
    render(c, processes, n, &own, &out);
    buf_free(&own);
    buf_free(&out);
}

void handle_metrics(struct call *c) { fleet_read_for(c, FLEET_METRICS, on_fleet); }
