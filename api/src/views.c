/* GETs of what modules show, through their services. */
#include <stdio.h>

#include "handlers.h"
#include "server.h"

static void on_view(void *arg, struct err err, const struct view *view) {
    struct call *c = arg;
    char etag[32];
    if (err.code == ERR_NOT_FOUND) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is nothing of this id");
    } else if (err_is_set(err)) {
        call_fail(c, err);
    } else {
        (void)snprintf(etag, sizeof etag, "\"%lld\"", (long long)view->version);
        call_tagged(c, str_c(etag), view->json);
    }
    call_release(c);
}

typedef void get_fn(void *self, struct str tenant, struct uuid id, view_cb *cb, void *arg);

static void show(struct call *c, get_fn *get, void *self) {
    struct uuid id;
    if (!call_param_uuid(c, &id)) {
        return;
    }
    if (get == NULL) {
        call_problem(c, PROBLEM_NO_ROUTE, "This build does not have the module");
        return;
    }
    call_hold(c);
    get(self, str_c(c->who.tenant), id, on_view, c);
}

void handle_orders_get(struct call *c) { show(c, c->api->rt->services.orders.get, c->api->rt->services.orders.self); }
void handle_payments_get(struct call *c) { show(c, c->api->rt->services.payments.get, c->api->rt->services.payments.self); }
void handle_notifications_get(struct call *c) {
    show(c, c->api->rt->services.notifications.get, c->api->rt->services.notifications.self);
}
