/* A provider in memory: it books whatever it is sent, ignores keys, honours not_after; what goes wrong is scripted. */
#ifndef FAKE_PROVIDER_H
#define FAKE_PROVIDER_H

#include <io/timer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../jobs/payments/src/provider.h"
#include "unit.h"

enum fake_script {
    FAKE_BOOK,
    FAKE_DECLINE,
    FAKE_DROP_BEFORE,  /* no answer, nothing booked */
    FAKE_DROP_AFTER,   /* no answer, booked */
    FAKE_WRONG_AMOUNT, /* booked with one unit less */
    FAKE_WRONG_CURRENCY,
    FAKE_SAME_REF,       /* booked under the reference of the booking before */
    FAKE_WRONG_SAME_REF, /* both */
    FAKE_NOT_SENT,
    FAKE_REFUSED,
    FAKE_HOLD,        /* kept on its way until fake_let_go */
    FAKE_LOSE_LOOKUP, /* no answer, booked; nor does the next lookup get one */
};

enum { FAKE_MAX = 512 };

struct fake_booking {
    struct uuid reference;
    enum op_kind kind;
    int64_t amount;
    char currency[4], ref[24];
};
struct fake_reply {
    bool used, held;
    struct provider_call call;
    char currency[4];
    struct provider_answer answer;
    provider_cb *cb;
    void *arg;
};

struct fake {
    struct provider base;
    struct loop *loop;
    struct timer *timer;
    struct fake_booking book[FAKE_MAX];
    int booked, calls, lookups, refs;
    struct fake_reply replies[FAKE_MAX];
    enum fake_script script[FAKE_MAX]; /* of the n-th call; FAKE_BOOK unless set */
    bool lose_lookup;
};

static inline const struct fake_booking *fake_book(struct fake *f, const struct provider_call *c, enum fake_script s) {
    assert_in_range(f->booked, 0, FAKE_MAX - 1);
    struct fake_booking *b = &f->book[f->booked++];
    bool wrong_amount = s == FAKE_WRONG_AMOUNT || s == FAKE_WRONG_SAME_REF,
         same_ref = s == FAKE_SAME_REF || s == FAKE_WRONG_SAME_REF;
    *b = (struct fake_booking){.reference = c->reference, .kind = c->kind, .amount = c->amount - wrong_amount};
    (void)snprintf(b->currency, sizeof b->currency, "%s", s == FAKE_WRONG_CURRENCY ? "XXX" : c->currency);
    (void)snprintf(b->ref, sizeof b->ref, "ref-%d", same_ref ? f->refs : ++f->refs);
    return b;
}

static inline void fake_answer_booking(struct provider_answer *a, const struct fake_booking *b, int count) {
    *a = (struct provider_answer){.outcome = PROVIDER_OK,
                                  .kind = b->kind,
                                  .count = count,
                                  .provider_ref = str_c(b->ref),
                                  .amount = b->amount,
                                  .currency = str_c(b->currency)};
}

static inline void fake_process(struct fake *f, const struct provider_call *c, enum fake_script s, struct provider_answer *a) {
    *a = (struct provider_answer){.outcome = PROVIDER_UNKNOWN, .err = {ERR_NET_UNKNOWN, "fake"}};
    if (s == FAKE_NOT_SENT) {
        *a = (struct provider_answer){.outcome = PROVIDER_NOT_SENT, .err = {ERR_NET_NOT_SENT, "fake"}};
    } else if (s == FAKE_REFUSED) {
        *a = (struct provider_answer){.outcome = PROVIDER_REFUSED, .code = STR("busy")};
    } else if (loop_wall(f->loop).ms > c->not_after.ms) {
        *a = (struct provider_answer){.outcome = PROVIDER_TOO_LATE};
    } else if (s == FAKE_DECLINE) {
        *a = (struct provider_answer){.outcome = PROVIDER_DECLINED, .code = STR("card_declined")};
    } else if (s != FAKE_DROP_BEFORE) {
        const struct fake_booking *b = fake_book(f, c, s);
        if (s != FAKE_DROP_AFTER) {
            fake_answer_booking(a, b, 1);
        }
    }
}

static inline struct fake_reply *fake_reply_new(struct fake *f, provider_cb *cb, void *arg) {
    for (int i = 0; i < FAKE_MAX; i++) {
        if (!f->replies[i].used) {
            f->replies[i] = (struct fake_reply){.used = true, .cb = cb, .arg = arg};
            timer_start(f->timer, 1);
            return &f->replies[i];
        }
    }
    fail_msg("too many calls at once");
    return NULL;
}

static inline void fake_call(struct provider *p, const struct provider_call *c, provider_cb *cb, void *arg) {
    struct fake *f = (struct fake *)p;
    struct fake_reply *r = fake_reply_new(f, cb, arg);
    assert_in_range(f->calls, 0, FAKE_MAX - 1);
    enum fake_script s = f->script[f->calls++];
    if (s == FAKE_HOLD) {
        r->held = true;
        r->call = *c;
        (void)snprintf(r->currency, sizeof r->currency, "%s", c->currency);
        r->call.currency = r->currency;
        return;
    }
    f->lose_lookup = s == FAKE_LOSE_LOOKUP;
    fake_process(f, c, s == FAKE_LOSE_LOOKUP ? FAKE_DROP_AFTER : s, &r->answer);
}

static inline void fake_lookup(struct provider *p, struct uuid reference, int64_t deadline_ms, provider_cb *cb, void *arg) {
    struct fake *f = (struct fake *)p;
    struct fake_reply *r = fake_reply_new(f, cb, arg);
    const struct fake_booking *first = NULL;
    int count = 0;
    (void)deadline_ms;
    f->lookups++;
    for (int i = 0; i < f->booked; i++) {
        if (uuid_eq(f->book[i].reference, reference)) {
            first = first != NULL ? first : &f->book[i];
            count++;
        }
    }
    r->answer = (struct provider_answer){.outcome = PROVIDER_NOT_FOUND};
    if (f->lose_lookup) {
        f->lose_lookup = false;
        r->answer = (struct provider_answer){.outcome = PROVIDER_UNKNOWN, .err = {ERR_NET_UNKNOWN, "fake"}};
    } else if (first != NULL) {
        fake_answer_booking(&r->answer, first, count);
    }
}

static inline void fake_tick(void *arg) {
    struct fake *f = arg;
    for (int i = 0; i < FAKE_MAX; i++) {
        struct fake_reply r = f->replies[i];
        if (r.used && !r.held) {
            f->replies[i].used = false;
            r.cb(r.arg, &r.answer);
        }
    }
}

/* The held calls reach the provider now. */
static inline void fake_let_go(struct fake *f) {
    for (int i = 0; i < FAKE_MAX; i++) {
        if (f->replies[i].used && f->replies[i].held) {
            f->replies[i].held = false;
            fake_process(f, &f->replies[i].call, FAKE_BOOK, &f->replies[i].answer);
        }
    }
    timer_start(f->timer, 1);
}

static inline void fake_close(struct provider *p) {
    struct fake *f = (struct fake *)p;
    timer_free(f->timer);
    free(f);
}

static inline struct fake *fake_new(struct loop *l, int64_t lateness_ms) {
    struct fake *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->loop = l;
    f->base = (struct provider){.name = "fake",
                                .honours_not_after = true,
                                .lateness_ms = lateness_ms,
                                .call = fake_call,
                                .lookup = fake_lookup,
                                .close = fake_close};
    assert_ok(timer_new(l, fake_tick, f, &f->timer));
    return f;
}

static inline void fake_forget(struct fake *f) {
    f->booked = f->calls = f->lookups = 0;
    f->lose_lookup = false;
    memset(f->script, 0, sizeof f->script);
}

#endif
