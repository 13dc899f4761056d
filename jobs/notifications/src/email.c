/* E-mail through a relay. A relay that is away or answers 4yz is ours to wait for; 5yz ends it. */
#include "notifications.h"

#include <stdio.h>

enum { CALL_MS = 20000 };

static void on_mailed(void *arg, struct err err) {
    struct delivery *d = arg;
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
    int64_t left = attempt_ms_left(a);
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
    if (mail_send(a->env->http, &spec, on_mailed, d) == NULL) {
        delivery_failed(d, err_make(ERR_NOMEM, "mail"), 0);
    }
}

void notify_email(struct attempt *a) { delivery_start(a, "email", "to", send); }
