/* The limits in a slot table: apart from how it is mapped, for which the simulator has another way. */
#include "slot_table.h"

#include <base/str.h>
#include <string.h>

static struct slot_limit *find(struct slot_table *t, const char *type) {
    uint32_t n = __atomic_load_n(&t->limits_n, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < n && i < SLOT_TABLE_LIMITS; i++) {
        if (strcmp(t->limits[i].type, type) == 0) {
            return &t->limits[i];
        }
    }
    return NULL;
}

void slot_table_limit(struct slot_table *t, const char *type, uint32_t most) {
    struct slot_limit *limit = find(t, type);
    if (limit != NULL) {
        __atomic_store_n(&limit->most, most, __ATOMIC_RELAXED);
    } else if (most != SLOT_UNLIMITED && t->limits_n < SLOT_TABLE_LIMITS) {
        limit = &t->limits[t->limits_n];
        if (str_copy_c(str_c(type), limit->type, sizeof limit->type)) {
            limit->most = most;
            __atomic_store_n(&t->limits_n, t->limits_n + 1, __ATOMIC_RELEASE);
        }
    }
}

uint32_t slot_table_most(const struct slot_table *t, const char *type) {
    const struct slot_limit *limit = find((struct slot_table *)t, type);
    return limit != NULL ? __atomic_load_n(&limit->most, __ATOMIC_RELAXED) : SLOT_UNLIMITED;
}
