#include "shares.h"

#include <base/limits.h>
#include <math.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(row) ((row)->hashed = false)
#include <uthash.h>

static const double LEAST = 0.5; /* less than that is nothing */

struct share_row {
    double jobs;
    bool hashed;
    UT_hash_handle hh;
    size_t tenant_n;
    char tenant[LIMIT_NAME_BYTES];
};

static struct share_row *find(const struct shares *s, struct str tenant) {
    struct share_row *row = NULL;
    HASH_FIND(hh, s->rows, tenant.p, tenant.n, row);
    return row;
}

static struct share_row *add(struct shares *s, struct str tenant) {
    struct share_row *row = NULL;
    if (tenant.n > LIMIT_NAME_BYTES || HASH_COUNT(s->rows) >= SHARES_MAX || (row = calloc(1, sizeof *row)) == NULL) {
        return NULL;
    }
    memcpy(row->tenant, tenant.p, tenant.n);
    row->tenant_n = tenant.n;
    row->hashed = true;
    HASH_ADD_KEYPTR(hh, s->rows, row->tenant, row->tenant_n, row);
    if (!row->hashed) {
        free(row);
        return NULL;
    }
    return row;
}

void shares_add(struct shares *s, struct str tenant) {
    struct share_row *row = find(s, tenant);
    if (row == NULL && (row = add(s, tenant)) == NULL) {
        return;
    }
    row->jobs++;
    s->sum++;
}

void shares_drain(struct shares *s, int64_t ended, int64_t left) {
    double keep = left > 0 ? (double)left / (double)(left + (ended > 0 ? ended : 0)) : 0;
    keep = fmin(keep, (double)left / fmax(s->sum, 1)); /* never more than there is */
    struct share_row *row, *next;
    s->sum = 0;
    HASH_ITER(hh, s->rows, row, next) {
        row->jobs *= keep;
        if (row->jobs < LEAST) {
            HASH_DEL(s->rows, row);
            free(row);
        } else {
            s->sum += row->jobs;
        }
    }
}

struct share shares_find(const struct shares *s, struct str tenant) {
    const struct share_row *row = find(s, tenant);
    unsigned n = shares_tenants(s);
    return row != NULL ? (struct share){row->jobs, n} : (struct share){0, n + 1};
}

unsigned shares_tenants(const struct shares *s) { return HASH_COUNT(s->rows); }

void shares_free(struct shares *s) {
    struct share_row *row, *next;
    HASH_ITER(hh, s->rows, row, next) {
        HASH_DEL(s->rows, row);
        free(row);
    }
    s->sum = 0;
}
