/* How many of a queue's waiting jobs are whose, as far as this process let them in: an estimate that costs no round trip. What ends
 * takes from each tenant in the proportion in which it waits. */
#ifndef API_SHARES_H
#define API_SHARES_H

#include <base/str.h>

#include "admission.h"

struct share_row;
struct shares {
    struct share_row *rows; /* a hash table; NULL: empty */
    double sum;
};
enum { SHARES_MAX = 1024 }; /* tenants beyond are not told apart: each looks as if it had nothing */

void shares_add(struct shares *s, struct str tenant); /* one job more */
/* Of the jobs that were there, so many ended and so many are left. */
void shares_drain(struct shares *s, int64_t ended, int64_t left);
struct share shares_find(const struct shares *s, struct str tenant); /* counts the tenant among those who have some */
unsigned shares_tenants(const struct shares *s);
void shares_free(struct shares *s);

#endif
