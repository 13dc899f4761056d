#include "deeds.h"

#include <base/json.h>
#include <jobs/module_sql.h>

#include "handlers.h"
#include "server.h"

enum { JSON_BYTES_MAX = 512 * 1024 };

static void finish(struct deeds *d, struct err err) {
    struct call *c = d->call;
    d->done(d, err_is_set(err) ? err : buf_status(&d->json));
    call_release(c);
}

/* ---- what was asked of servers outside ---- */

static void ask_calls(struct deeds *d);

static void on_calls(void *arg, struct err err, const PGresult *res) {
    struct deeds *d = arg;
    struct buf *b = &d->json;
    if (err_is_set(err)) {
        finish(d, err);
        return;
    }
    for (int row = 0; row < PQntuples(res); row++) {
        struct str state = pg_col(res, row, 1);
        d->acted |= !str_is(state, "init") && !str_is(state, "canceled");
        buf_add_c(b, b->n > 0 && b->p[b->n - 1] != '[' ? ",{\"kind\":" : "{\"kind\":");
        json_add_string(b, pg_col(res, row, 0));
        job_add_text(b, "state", state);
        job_add_time(b, "at", (struct wall){pg_col_int(res, row, 2)});
        if (!pg_col_null(res, row, 3)) {
            job_add_text(b, "reference", pg_col(res, row, 3));
        }
        buf_add_char(b, '}');
    }
    ask_calls(d);
}

static void ask_calls(struct deeds *d) {
    struct runtime *rt = d->call->api->rt;
    const struct registry *r = rt->registry;
    while (d->next < r->modules_n && r->modules[d->next]->calls == NULL) {
        d->next++;
    }
    if (d->next >= r->modules_n) {
        buf_add_char(&d->json, ']');
        finish(d, OK);
        return;
    }
    const struct module *m = r->modules[d->next++];
    const struct pg_value values[] = {pg_text(str_c(d->root))};
    pg_exec(runtime_module(rt, m)->db, m->calls, values, 0, 0, on_calls, d);
}

/* ---- effects ---- */

static void on_effects(void *arg, struct err err, const PGresult *res) {
    struct deeds *d = arg;
    struct buf *b = &d->json;
    if (err_is_set(err)) {
        finish(d, err);
        return;
    }
    for (int row = 0; row < PQntuples(res); row++) {
        struct str step = pg_col(res, row, 0), outcome = pg_col(res, row, 1);
        d->acted |= step.n > 0 || !str_is(outcome, "dead");
        buf_add_c(b, row > 0 ? ",{\"step\":" : "{\"step\":");
        json_add_string(b, step);
        job_add_text(b, "outcome", outcome);
        buf_addf(b, ",\"generation\":%lld,\"status\":%lld", (long long)pg_col_int(res, row, 2),
                 (long long)pg_col_int(res, row, 3));
        job_add_time(b, "at", (struct wall){pg_col_int(res, row, 4)});
        buf_add_char(b, '}');
    }
    buf_add_c(b, "],\"calls\":[");
    ask_calls(d);
}

void deeds_read(struct deeds *d) {
    struct runtime *rt = d->call->api->rt;
    const struct pg_value values[] = {pg_text(str_c(d->root))};
    call_hold(d->call);
    d->acted = false;
    d->next = 0;
    buf_init(&d->json, JSON_BYTES_MAX);
    buf_add_c(&d->json, "\"effects\":[");
    if (d->module != NULL) {
        pg_exec(runtime_module(rt, d->module)->db, &d->module->sql->effects, values, 0, 0, on_effects, d);
    } else {
        buf_add_c(&d->json, "],\"calls\":[");
        ask_calls(d);
    }
}
