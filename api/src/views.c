/* GETs of what modules show, through their services. */
#include <stdio.h>

#include "handlers.h"
#include "server.h"

enum { ETAG_BYTES = 32 };

static void answer(struct call *c, int64_t version, struct str json) {
    char etag[ETAG_BYTES];
    (void)snprintf(etag, sizeof etag, "\"%lld\"", (long long)version);
    call_tagged(c, str_c(etag), json);
}

static void answer_nothing(struct call *c) { call_problem(c, PROBLEM_NOT_FOUND, "There is nothing of this id"); }

static void on_view(void *arg, struct err err, const struct view *view) {
    struct call *c = arg;
    if (err.code == ERR_NOT_FOUND) {
        answer_nothing(c);
    } else if (err_is_set(err)) {
        call_fail(c, err);
    } else {
        answer(c, view->version, view->json);
    }
    call_release(c);
}

typedef void get_fn(void *self, struct str tenant, struct uuid id, view_cb *cb, void *arg);

static void show(struct call *c, get_fn *get, void *self, view_cb *cb) {
    struct uuid id;
    if (!call_param_uuid(c, &id)) {
        return;
    }
    if (get == NULL) {
        call_problem(c, PROBLEM_NO_ROUTE, "This build does not have the module");
        return;
    }
    call_hold(c);
    get(self, str_c(c->who.tenant), id, cb, c);
}

void handle_orders_get(struct call *c) { show(c, c->api->rt->services.orders.get, c->api->rt->services.orders.self, on_view); }
void handle_payments_get(struct call *c) {
    show(c, c->api->rt->services.payments.get, c->api->rt->services.payments.self, on_view);
}

/* ---- notifications ---- */

/* The module knows of a notification from its first attempt on; before it there is its job. */
static const struct pg_stmt queued_stmt = {
    "api.notification",
    "SELECT type, state FROM platform.job WHERE id = $1::uuid AND tenant = $2 AND type LIKE 'notify.%'",
    2,
};

static void on_queued(struct call *c, const PGresult *res) {
    if (PQntuples(res) == 0) {
        answer_nothing(c);
        return;
    }
    struct str type = pg_col(res, 0, 0);
    struct str state = pg_col(res, 0, 1);
    struct str channel = str_of(type.p + STR("notify.").n, type.n - STR("notify.").n);
    answer(c, 0,
           arena_printf(&c->arena,
                        "{\"notification_id\":\"%.*s\",\"channel\":\"%.*s\",\"status\":\"%.*s\",\"attempts\":0,\"version\":0}",
                        STR_ARG(c->param), STR_ARG(channel), STR_ARG(str_is(state, "waiting") ? STR("queued") : state)));
}

static void on_notification(void *arg, struct err err, const struct view *view) {
    struct call *c = arg;
    if (err.code != ERR_NOT_FOUND) {
        on_view(arg, err, view);
        return;
    }
    const struct pg_value values[] = {pg_text(c->param), pg_text(str_c(c->who.tenant))};
    call_query(c, &queued_stmt, values, on_queued);
    call_release(c);
}

void handle_notifications_get(struct call *c) {
    show(c, c->api->rt->services.notifications.get, c->api->rt->services.notifications.self, on_notification);
}
