#include "op.h"

static const char *const kind_names[OP_KIND_MAX] = {
    [OP_AUTHORIZE] = "authorize",
    [OP_CAPTURE] = "capture",
    [OP_VOID] = "void",
    [OP_REFUND] = "refund",
};
static const char *const state_names[OP_STATE_MAX] = {
    [OP_INIT] = "init",       [OP_SENT] = "sent",       [OP_SUCCEEDED] = "succeeded", [OP_DECLINED] = "declined",
    [OP_ERRORED] = "errored", [OP_UNKNOWN] = "unknown", [OP_CANCELED] = "canceled",
};

#define E(from, to) {MACHINE, #from, #to},
const struct edge payment_edges[] = {
#define MACHINE "payment"
#include "payment_edges.def"
#undef MACHINE
#define MACHINE "payment_op"
#include "payment_op_edges.def"
#undef MACHINE
#define MACHINE "refund"
#include "refund_edges.def"
#undef MACHINE
};
#undef E
const size_t payment_edges_n = sizeof payment_edges / sizeof payment_edges[0];

enum { ASK_MIN_MS = 100, ASK_MAX_MS = 1000 };

static int name_find(const char *const *names, int n, struct str s) {
    for (int i = 0; i < n; i++) {
        if (str_is(s, names[i])) {
            return i;
        }
    }
    return -1;
}

const char *op_kind_name(enum op_kind k) { return kind_names[k]; }

bool op_kind_parse(struct str s, enum op_kind *out) {
    int i = name_find(kind_names, OP_KIND_MAX, s);
    if (i >= 0) {
        *out = (enum op_kind)i;
    }
    return i >= 0;
}

const char *op_state_name(enum op_state s) { return state_names[s]; }

bool op_state_parse(struct str s, enum op_state *out) {
    int i = name_find(state_names, OP_STATE_MAX, s);
    if (i >= 0) {
        *out = (enum op_state)i;
    }
    return i >= 0;
}

bool op_state_is_decided(enum op_state s) { return s == OP_SUCCEEDED || s == OP_DECLINED || s == OP_CANCELED; }

const char *provider_outcome_name(enum provider_outcome o) {
    static const char *const names[] = {
        [PROVIDER_OK] = "ok",           [PROVIDER_DECLINED] = "declined", [PROVIDER_TOO_LATE] = "too_late",
        [PROVIDER_REFUSED] = "refused", [PROVIDER_NOT_SENT] = "not_sent", [PROVIDER_NOT_FOUND] = "not_found",
        [PROVIDER_UNKNOWN] = "unknown",
    };
    return names[o];
}

bool payment_edge_exists(const char *machine, struct str from, const char *to) {
    for (size_t i = 0; i < payment_edges_n; i++) {
        const struct edge *e = &payment_edges[i];
        if (strcmp(e->machine, machine) == 0 && str_is(from, e->from) && strcmp(e->to, to) == 0) {
            return true;
        }
    }
    return false;
}

enum op_act op_next(const struct op_row *o, bool no_sending) {
    if (op_state_is_decided(o->state)) {
        return OP_ACT_NONE;
    }
    if (o->state == OP_SENT || o->state == OP_UNKNOWN) {
        return OP_ACT_ASK;
    }
    if (no_sending || o->frozen) {
        return OP_ACT_CANCEL;
    }
    if (!o->must_not_send) {
        return OP_ACT_GATE;
    }
    return o->dead ? OP_ACT_NONE : OP_ACT_CANCEL;
}

const char *op_mismatch(const struct op_row *o, const struct provider_answer *a) {
    if (a->count != 1) {
        return "count";
    }
    if (a->kind != o->kind) {
        return "kind";
    }
    if (a->amount != o->amount) {
        return "amount";
    }
    return str_is(a->currency, o->currency) ? NULL : "currency";
}

enum op_record op_judge(const struct op_row *o, const struct provider_answer *a, bool asked) {
    switch (a->outcome) {
    case PROVIDER_OK:
        return op_mismatch(o, a) != NULL ? OP_RECORD_FROZEN : OP_RECORD_SUCCEEDED;
    case PROVIDER_DECLINED:
        return OP_RECORD_DECLINED;
    case PROVIDER_NOT_FOUND:
        return o->late_in_ms < 0 ? OP_RECORD_ERRORED : OP_RECORD_NOTHING;
    case PROVIDER_TOO_LATE:
    case PROVIDER_REFUSED:
    case PROVIDER_NOT_SENT:
        return asked ? OP_RECORD_NOTHING : OP_RECORD_ERRORED;
    case PROVIDER_UNKNOWN:
        break;
    }
    return asked ? OP_RECORD_NOTHING : OP_RECORD_UNKNOWN;
}

/* The answer may be in the book at any moment, when the runner that sent it died; so not only once it is late. */
int64_t op_ask_again_ms(const struct op_row *o) {
    int64_t ms = o->late_in_ms + 1;
    if (ms < ASK_MIN_MS) {
        return ASK_MIN_MS;
    }
    return ms < ASK_MAX_MS ? ms : ASK_MAX_MS;
}

int64_t payment_left(const struct payment_sums *p, enum op_kind kind) {
    return kind == OP_REFUND ? p->captured - p->refunded - p->refund_pending
                             : p->authorized - p->captured - p->capture_pending - p->voided;
}

static bool status_allows(struct str status, enum op_kind kind) {
    static const char *const refundable[] = {"captured", "partially_captured", "closed"};
    if (kind == OP_REFUND) {
        return name_find(refundable, sizeof refundable / sizeof refundable[0], status) >= 0;
    }
    return payment_edge_exists("payment", status, kind == OP_CAPTURE ? "capturing" : "voiding");
}

bool payment_allows(const struct payment_sums *p, enum op_kind kind) {
    return status_allows(p->status, kind) && payment_left(p, kind) > 0;
}

enum release_act payment_release_next(const struct payment_sums *p, bool has_op) {
    static const char *const nothing_held[] = {"canceled", "failed", "voided", "expired"};
    if (str_is(p->status, "frozen")) {
        return RELEASE_REFUSE;
    }
    if (name_find(nothing_held, sizeof nothing_held / sizeof nothing_held[0], p->status) >= 0) {
        return RELEASE_DONE;
    }
    if (has_op) {
        return RELEASE_DECIDE_OP;
    }
    if (payment_allows(p, OP_VOID)) {
        return RELEASE_VOID;
    }
    if (payment_allows(p, OP_REFUND)) {
        return RELEASE_REFUND;
    }
    bool settled = status_allows(p->status, OP_REFUND) && p->refund_pending == 0;
    return settled ? RELEASE_DONE : RELEASE_WAIT;
}

enum open_verdict op_open_judge(bool found, const struct payment_sums *p, int64_t version, const struct open_request *r) {
    if (!found) {
        return OPEN_NOT_FOUND;
    }
    if (r->if_version != 0 && r->if_version != version) {
        return OPEN_STALE;
    }
    if (!status_allows(p->status, r->kind)) {
        return OPEN_ILLEGAL;
    }
    int64_t left = payment_left(p, r->kind);
    return left <= 0 || r->amount > left ? OPEN_TOO_MUCH : OPEN_AGAIN;
}
