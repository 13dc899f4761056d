/* GET /v1/workers, /v1/workers/{process}: the processes that are alive. */
#include <base/json.h>
#include <stdlib.h>

#include "fleet.h"
#include "handlers.h"
#include "server.h"
#include "worker_find.h"

enum { WORKERS_BYTES_MAX = 4 << 20 };

static int by_name(const void *a, const void *b) {
    const struct process *x = a;
    const struct process *y = b;
    size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int order = memcmp(x->name.p, y->name.p, n);
    return order != 0 ? order : x->name.n < y->name.n ? -1 : x->name.n > y->name.n;
}

/* A beat as it is, but for the metrics: they are at /metrics. */
static struct err write_process(struct buf *b, const struct process *p) {
    (void)json_object_del(p->beat, "metrics");
    if (json_object_set_new(p->beat, "process", json_stringn(p->name.p, p->name.n)) != 0) {
        return err_make(ERR_NOMEM, "processes");
    }
    return json_write(p->beat, b);
}

static struct err write_all(struct buf *b, const struct process *processes, size_t n) {
    struct process sorted[FLEET_MAX];
    for (size_t i = 0; i < n; i++) {
        sorted[i] = processes[i];
    }
    qsort(sorted, n, sizeof sorted[0], by_name);
    buf_add_c(b, "{\"items\":[");
    for (size_t i = 0; i < n; i++) {
        buf_add_c(b, i > 0 ? "," : "");
        TRY(write_process(b, &sorted[i]));
    }
    buf_add_c(b, "]}");
    return OK;
}

static void on_fleet(struct call *c, struct err err, const struct process *processes, size_t n) {
    struct buf b;
    buf_init(&b, WORKERS_BYTES_MAX);
    if (!err_is_set(err)) {
        err = write_all(&b, processes, n);
    }
    if (err_is_set(err)) {
        call_fail(c, err);
    } else {
        call_json(c, 200, &b);
    }
    buf_free(&b);
}

static void on_found(struct call *c, struct err err, const struct process *processes, size_t n) {
    struct buf b;
    if (!worker_there(c, err, n)) {
        return;
    }
    buf_init(&b, WORKERS_BYTES_MAX);
    err = write_process(&b, &processes[0]);
    if (err_is_set(err)) {
        call_fail(c, err);
    } else {
        call_json(c, 200, &b);
    }
    buf_free(&b);
}

void handle_workers_get(struct call *c) { fleet_find_for(c, c->param, on_found); }
void handle_workers_list(struct call *c) { fleet_read_for(c, FLEET_BRIEF, on_fleet); }
