#include "faults.h"

static const char *const action_names[] = {"none", "delay", "drop_before", "drop_after", "decline", "wrong_amount", "error500"};
_Static_assert(sizeof action_names / sizeof action_names[0] == FAULT_MAX, "one name per action");

enum { DELAY_MS_MAX = 600000 };

static bool action_parse(struct str name, enum fault_action *out) {
    for (int i = FAULT_NONE + 1; i < FAULT_MAX; i++) {
        if (str_is(name, action_names[i])) {
            *out = (enum fault_action)i;
            return true;
        }
    }
    return false;
}

static struct err rule_parse(const json_t *o, struct fault_rule *out) {
    struct fault_rule r = {.probability = 1};
    struct str action;
    struct str op = json_opt_str(o, "op", STR_NONE);
    const json_t *probability = json_object_get(o, "probability");
    r.ms = json_opt_i64(o, "ms", 0);
    r.count = json_opt_i64(o, "count", -1);
    r.any_op = op.p == NULL;
    TRY(json_get_str(o, "action", &action));
    if (!action_parse(action, &r.action) || (!r.any_op && !book_op_parse(op, &r.op))) {
        return err_make(ERR_INVALID, "unknown op or action: %.*s %.*s", STR_ARG(op), STR_ARG(action));
    }
    if (probability != NULL) {
        r.probability = json_number_value(probability);
    }
    if (r.ms < 0 || r.ms > DELAY_MS_MAX || (r.action == FAULT_DELAY && r.ms == 0) ||
        !(r.probability >= 0 && r.probability <= 1)) {
        return err_make(ERR_INVALID, "ms must be 0 to %d (1 for delay), probability 0 to 1", DELAY_MS_MAX);
    }
    *out = r;
    return OK;
}

struct err faults_load(struct faults *f, const json_t *script) {
    struct faults next = {.seed = json_opt_i64(script, "seed", 1)};
    const json_t *rules = json_object_get(script, "rules");
    next.random = (uint64_t)next.seed;
    next.n = json_array_size(rules);
    if (!json_is_array(rules) || next.n > FAULT_RULES_MAX) {
        return err_make(ERR_INVALID, "rules must be an array of at most %d", FAULT_RULES_MAX);
    }
    for (size_t i = 0; i < next.n; i++) {
        TRY(rule_parse(json_array_get(rules, i), &next.rule[i]));
    }
    *f = next;
    return OK;
}

/* splitmix64: the same seed gives the same faults. In [0, 1). */
static double draw(struct faults *f) {
    uint64_t z = f->random += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

struct fault_plan faults_draw(struct faults *f, enum book_op op) {
    struct fault_plan plan = {0, FAULT_NONE};
    for (size_t i = 0; i < f->n && plan.action == FAULT_NONE; i++) {
        struct fault_rule *r = &f->rule[i];
        if ((!r->any_op && r->op != op) || (r->count >= 0 && r->hits >= r->count) || draw(f) >= r->probability) {
            continue;
        }
        r->hits++;
        if (r->action == FAULT_DELAY) {
            plan.delay_ms += r->ms;
        } else {
            plan.action = r->action;
        }
    }
    return plan;
}

void faults_write(const struct faults *f, struct buf *out) {
    buf_addf(out, "{\"seed\":%lld,\"rules\":[", (long long)f->seed);
    for (size_t i = 0; i < f->n; i++) {
        const struct fault_rule *r = &f->rule[i];
        buf_addf(out, "%s{\"op\":\"%s\",\"action\":\"%s\",\"ms\":%lld,\"probability\":%g,\"count\":%lld,\"hits\":%lld}",
                 i > 0 ? "," : "", r->any_op ? "any" : book_op_name(r->op), action_names[r->action], (long long)r->ms,
                 r->probability, (long long)r->count, (long long)r->hits);
    }
    buf_add_c(out, "]}");
}
