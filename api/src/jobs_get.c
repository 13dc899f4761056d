/* GET /v1/jobs/{id}: a look at it; with wait not before it has ended, or the time is up. */
#include <base/crypto.h>

#include "handlers.h"
#include "jobs_look.h"
#include "server.h"

enum { ETAG_BYTES = 40 };

static void answer(struct job_look *l, struct str state, struct str body, bool ended) {
    uint8_t hash[SHA256_BYTES];
    char etag[ETAG_BYTES];
    (void)state;
    (void)ended;
    wait_remove(&l->call->waiter);
    struct err e = sha256(body, hash);
    if (err_is_set(e)) {
        call_fail(l->call, e);
        return;
    }
    etag[0] = '"';
    hex_encode(hash, 16, etag + 1);
    etag[33] = '"';
    etag[34] = '\0';
    call_tagged(l->call, str_c(etag), body);
}

static void answer_missing(struct job_look *l) {
    wait_remove(&l->call->waiter);
    job_look_answer_missing(l->call);
}

static void answer_failure(struct job_look *l, struct err err) {
    wait_remove(&l->call->waiter);
    call_fail(l->call, err);
}

static void on_waited(struct waiter *w, const struct job_row *row) {
    struct call *c = call_of_waiter(w);
    if (row == NULL) {
        job_look(c->state);
    } else {
        job_look_tell(c->state, row);
    }
}

void handle_jobs_get(struct call *c) {
    struct job_look *l = ARENA_NEW(&c->arena, struct job_look);
    int64_t wait_ms;
    if (l == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "job"));
        return;
    }
    if (!job_look_init(c, l) || (wait_ms = call_wait_ms(c, 0)) < 0) {
        return;
    }
    l->shown = answer;
    l->missing = answer_missing;
    l->failed = answer_failure;
    c->state = l;
    if (wait_ms > 0) {
        struct err e = wait_add(c->api->waits, &c->waiter, l->id, wait_ms, on_waited);
        if (err_is_set(e)) {
            call_fail(c, e);
            return;
        }
    }
    job_look(l);
}
