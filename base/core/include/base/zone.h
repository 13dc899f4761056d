/* Time zones by their IANA names, as the machine's tzdata has them (TZif, RFC 9636). A zone is a value that nobody changes: unlike
 * localtime_r under setenv("TZ"), two zones at once are no race. Why not ICU: Debian 12 gives it the rules of 2022, which tzdata updates
 * do not reach, and 36 MB. */
#ifndef BASE_ZONE_H
#define BASE_ZONE_H

#include <base/err.h>
#include <base/str.h>
#include <stdint.h>

struct zone;

enum { ZONE_NAME_BYTES = 64 };

/* Reads /usr/share/zoneinfo/<name>; "UTC" needs no file. Each call reads anew (some kilobytes, from the page cache), so that a long-lived
 * process follows an update of tzdata. ERR_INVALID: it is no name, or there is no such zone, or its file is none; ERR_SYSTEM. */
MUST struct err zone_load(struct str name, struct zone **out);
/* The bytes of a TZif file of version 2 or later. */
MUST struct err zone_parse(struct str bytes, struct zone **out);
void zone_free(struct zone *z); /* NULL is fine */

/* Zones read once for a piece of work with many names, a page or a look, and not kept longer. All zeros is an empty one. */
enum { ZONE_CACHE_MAX = 16 };
struct zone_cache {
    struct zone_cached {
        char name[ZONE_NAME_BYTES + 1];
        struct zone *zone;
    } zones[ZONE_CACHE_MAX];
    size_t n, oldest;
};
/* As zone_load; *out is the cache's, and good until the next call. */
MUST struct err zone_cache_load(struct zone_cache *c, struct str name, const struct zone **out);
void zone_cache_clear(struct zone_cache *c);

/* A stretch of time with one offset: local = UTC + offset, all in seconds, from <= t < until. The first begins at INT64_MIN, the last
 * ends at INT64_MAX. Rules that go on for ever are followed until the year 2200. */
struct zone_span {
    int64_t from, until;
    int32_t offset;
};
struct zone_span zone_at(const struct zone *z, int64_t unix_s);

/* When clocks show this local time (seconds as if it were UTC): the first time where they show it twice; where they skip it, the moment at
 * which they do. */
int64_t zone_first_at(const struct zone *z, int64_t local_s);

/* The proleptic Gregorian calendar: days since 1970-01-01, and back. */
int64_t civil_days(int64_t year, int month, int day);
void civil_date(int64_t days, int64_t *out_year, int *out_month, int *out_day);
static inline int civil_weekday(int64_t days) { return (int)(((days + 4) % 7 + 7) % 7); } /* Sunday 0 */

#endif
