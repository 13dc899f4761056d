/* Scripted misbehaviour: rules that hit operations by a seeded draw. Delays add up; of the other actions the first one wins. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include <base/json.h>

#include "book.h"

enum fault_action {
    FAULT_NONE,
    FAULT_DELAY,        /* waits ms before anything else, so that a request can become late */
    FAULT_DROP_BEFORE,  /* closes the connection, books nothing */
    FAULT_DROP_AFTER,   /* books, then closes the connection without an answer */
    FAULT_DECLINE,      /* books nothing */
    FAULT_WRONG_AMOUNT, /* books rightly, answers one less */
    FAULT_ERROR500,     /* books nothing */
    FAULT_MAX
};

enum { FAULT_RULES_MAX = 32 };

struct fault_rule {
    bool any_op;
    enum book_op op;
    enum fault_action action;
    int64_t ms;
    double probability;
    int64_t count; /* hits at most; -1: no limit */
    int64_t hits;
};

struct faults {
    struct fault_rule rule[FAULT_RULES_MAX];
    size_t n;
    int64_t seed;
    uint64_t random;
};

struct fault_plan {
    int64_t delay_ms;
    enum fault_action action;
};

/* {"rules":[{"op":"authorize","action":"delay","ms":100,"probability":0.5,"count":3}, …],"seed":7}. Without op: all; without
 * probability: 1; without count: no limit. Replaces the script, but not when it is bad: ERR_INVALID. */
MUST struct err faults_load(struct faults *f, const json_t *script);
struct fault_plan faults_draw(struct faults *f, enum book_op op);
void faults_write(const struct faults *f, struct buf *out); /* the script with its hits */

#endif
