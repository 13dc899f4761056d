/* How a message is sent, whatever its channel:
 *   1. gate, committed first: the row says 'sending' (a message with a terminal effect passes no more)
 *   2. the call
 *   3. the terminal effect with status 'sent'; or the row says how it failed, and the attempt fails
 * Found 'sending' at the gate, an earlier attempt died between 1 and 3: its outcome is unknown. */
#ifndef NOTIFICATIONS_PRIVATE_H
#define NOTIFICATIONS_PRIVATE_H

#include <base/json.h>
#include <jobs/attempt.h>
#include <jobs/event.h>
#include <notifications/notifications.h>

struct delivery {
    struct attempt *attempt;
    json_t *payload; /* owned; freed before the ending */
    const char *channel;
    struct str recipient;             /* in the payload */
    void (*send)(struct delivery *d); /* step 2; calls delivery_sent or delivery_failed */
    struct dependency_call call;
    struct err err;
    int64_t retry_after_ms;
};

/* Parses the payload and passes the gate, then calls send; or ends the attempt. */
void delivery_start(struct attempt *a, const char *channel, const char *recipient_member, void (*send)(struct delivery *d));
/* Around the call. why: of one that failed. */
void delivery_call_begin(struct delivery *d);
void delivery_call_end(struct delivery *d, enum call_verdict verdict, const char *why, int64_t retry_after_ms);
void delivery_sent(struct delivery *d);
/* retry_after_ms: what the receiver asked for, 0 none. */
void delivery_failed(struct delivery *d, struct err err, int64_t retry_after_ms);

void notify_webhook(struct attempt *a);
void notify_email(struct attempt *a);
void deliver_order_confirmed(struct module_env *env, const struct event *e, event_done_cb *cb, void *arg);

#endif
