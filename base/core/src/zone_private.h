/* Inside zone.c and zone_rule.c. */
#ifndef BASE_ZONE_PRIVATE_H
#define BASE_ZONE_PRIVATE_H

#include <base/zone.h>

enum { ZONE_YEAR_FIRST = 1970, ZONE_YEAR_LAST = 2200, ZONE_RULE_TRANSITIONS = 2 * (ZONE_YEAR_LAST - ZONE_YEAR_FIRST + 1) };
enum { ZONE_OFFSET_MAX_S = 24 * 3600 };
#define ZONE_TIME_MAX_S (INT64_C(1) << 40)

struct zone {
    int32_t first;   /* offset before the first transition */
    int64_t *at;     /* ascending */
    int32_t *offset; /* from at on */
    size_t n, cap;
};

/* Appends a transition; leaves it out where it is not later than the last one. */
MUST struct err zone_add(struct zone *z, int64_t at, int32_t offset);

/* Writes out what a POSIX TZ rule ("CET-1CEST,M3.5.0,M10.5.0/3") says of the time behind the last transition. */
MUST struct err zone_add_rule(struct zone *z, struct str rule);

#endif
