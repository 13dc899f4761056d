/* E-mail through a relay. A relay that is away is ours to wait for, and costs the job nothing; one that answers 4yz is asked again by the retry
 * policy; 5yz ends it. */
#include "notifications.h"

#include <io/timer.h>
#include <jobs/runtime.h>
#include <stdio.h>

enum { CALL_MS = 20000, SLOW_MS = 3000 };

/* In the attempt's arena. */
struct mailing {
    struct delivery *d;
    struct timer *slow; /* a relay that does not answer for so long is down, whatever comes of it */
};

static void on_slow(void *arg) {
    const struct mailing *m = arg;
    runtime_dependency(m->d->attempt->env->runtime, "mail", false);
}

/* What it says of one mail is not about the relay; with 421 (RFC 5321, 3.8) it closes. */
static bool is_answer(struct err e) {
    bool closes = str_starts(str_c(e.detail), STR("the relay said 421"));
    return e.code == ERR_NONE || e.code == ERR_REFUSED || (e.code == ERR_TRANSIENT && !closes);
}

static void tell_state(const struct mailing *m, struct err e) {
    bool answers = is_answer(e);
    if (answers || e.code == ERR_NET_NOT_SENT || e.code == ERR_NET_UNKNOWN || e.code == ERR_TRANSIENT) {
        runtime_dependency(m->d->attempt->env->runtime, "mail", answers);
    }
}

static void on_mailed(void *arg, struct err err) {
    const struct mailing *m = arg;
    struct delivery *d = m->d;
    timer_free(m->slow);
    tell_state(m, err);
    delivery_call_end(d, is_answer(err) ? CALL_OK : attempt_call_verdict(d->attempt, err.code), err.detail, 0);
    if (!err_is_set(err)) {
        delivery_sent(d);
    } else if (err.code == ERR_NET_NOT_SENT) { /* the relay is our own dependency: never a failure of the job */
        delivery_failed(d, err_make(ERR_BUSY, "mail relay: %s", err.detail), 0);
    } else {
        delivery_failed(d, err, 0);
    }
}

static void send(struct delivery *d) {
    struct attempt *a = d->attempt;
    char id[UUID_TEXT_BYTES], message_id[UUID_TEXT_BYTES + 16];
    int64_t left = attempt_call_ms(a);
    uuid_text(a->job.root, id);
    (void)snprintf(message_id, sizeof message_id, "%s@penstock", id);
    const struct mail_spec spec = {
        .url = a->env->conf->mail_url,
        .from = str_c(a->env->conf->mail_from),
        .to = d->recipient,
        .subject = json_opt_str(d->payload, "subject", STR("")),
        .message_id = str_c(message_id),
        .text = json_opt_str(d->payload, "text", STR("")),
        .deadline_ms = left < CALL_MS ? left : CALL_MS,
    };
    struct mailing *m = ARENA_NEW(a->arena, struct mailing);
    struct err e = m != NULL ? timer_new(a->env->loop, on_slow, m, &m->slow) : err_make(ERR_NOMEM, "mail");
    if (err_is_set(e)) {
        delivery_failed(d, e, 0);
        return;
    }
    m->d = d;
    timer_start(m->slow, SLOW_MS);
    delivery_call_begin(d);
    if (mail_send(a->env->http, &spec, on_mailed, m) == NULL) {
        delivery_call_end(d, CALL_UNTOLD, "", 0);
        timer_free(m->slow);
        delivery_failed(d, err_make(ERR_NOMEM, "mail"), 0);
    }
}

void notify_email(struct attempt *a) { delivery_start(a, "email", "to", send); }
