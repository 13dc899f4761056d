#include "record.h"

#include <base/limits.h>
#include <jobs/sending.h>

#include "accept.h"
#include "card.h"
#include "server.h"

void record_request(struct call *c, const struct http_request *req, int status, size_t bytes) {
    if (c->scope.arena == NULL) {
        return;
    }
    struct str route = str_c(c->route != NULL ? c->route->path : NULL);
    struct str code = arena_printf(&c->arena, "%d", status);
    struct span s = {
        .trace = c->trace,
        .kind = SPAN_SERVER,
        .name = arena_printf(&c->arena, "%.*s%s%.*s", STR_ARG(req->method), route.n > 0 ? " " : "", STR_ARG(route)),
        .began = req->began,
        .ended = loop_now(c->api->rt->loop),
        .error = status >= 500 ? code.p : NULL,
        .message = STR(""),
        SPAN_ATTRS(SA_STR("http.request.method", req->method), SA_C("url.scheme", "http"),
                   SA_STR("url.path", card_hidden(c->path, &c->arena)), SA_STR("http.route", route),
                   SA_INT("http.response.status_code", status), SA_INT("http.response.body.size", bytes),
                   SA_C("penstock.tenant", c->who.tenant), SA_C("penstock.problem", c->problem)),
    };
    memcpy(s.parent, c->trace_parent, sizeof s.parent);
    (void)span_scope_close(&c->scope, &s, status >= 500 && status != 503);
}

void record_query(struct call *c, const char *statement, const struct span_mark *mark, struct err err) {
    struct span s = {
        .kind = SPAN_CLIENT,
        .name = str_c(statement),
        .error = err_is_set(err) ? err_name(err.code) : NULL,
        .message = STR(""),
        SPAN_ATTRS(SA_C("db.system.name", "postgresql"), SA_C("db.query.summary", statement)),
    };
    span_end_in(mark, &c->scope, &s);
}

void record_sending(const struct acceptance *a, struct err err) {
    const struct sending s = {.trace = a->trace,
                              .parent = &a->call->trace,
                              .job = a->id,
                              .queue = str_c(a->queue->name),
                              .type = str_c(a->type->name),
                              .tenant = str_c(a->call->who.tenant),
                              .bytes = a->payload.n,
                              .began = a->began,
                              .err = err};
    sending_record(&s, &a->call->scope);
}

void record_accepted(struct acceptance *const *rows, size_t n, struct mono began, struct err err) {
    const struct trace *of[LIMIT_BATCH];
    if (!span_is_on()) {
        return;
    }
    struct span s = {
        .kind = SPAN_CLIENT,
        .name = str_c(accept_stmt.name),
        .began = began,
        .ended = clock_mono(&clock_system),
        .error = err_is_set(err) ? err_name(err.code) : NULL,
        .message = str_c(err.detail),
        SPAN_ATTRS(SA_C("db.system.name", "postgresql"), SA_C("db.query.summary", accept_stmt.name),
                   SA_INT("db.operation.batch.size", n)),
    };
    s.attrs_n -= n == 1; /* by the convention, batches only */
    for (size_t i = 0; i < n; i++) {
        of[i] = &rows[i]->trace;
    }
    span_emit_batch(&s, of, n);
}
