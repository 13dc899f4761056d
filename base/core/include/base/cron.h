/* Cron expressions, as crontab(5) has them: minute, hour, day of month, month, day of week.
 *   *  a value  a-b  lists with commas  steps over * or a range (a-b/n)  JAN-DEC, SUN-SAT of either case  0 and 7 are Sunday
 *   @yearly @annually @monthly @weekly @daily @midnight @hourly
 * When both day fields are restricted (do not begin with *), a day that fits either of them fits.
 *
 * Ticks are local times of a zone. Where its clocks change:
 *   - minute or hour begins with "*": the ticks follow elapsed time. Local times that are skipped have no tick, those shown twice have two.
 *   - otherwise each local time ticks once a day: one that is skipped at the end of the gap (together with others that are), one that is
 *     shown twice the first time. */
#ifndef BASE_CRON_H
#define BASE_CRON_H

#include <base/clock.h>
#include <base/zone.h>

enum { CRON_TEXT_BYTES = 200 };

struct cron {
    uint64_t minutes; /* bit n: at n; as all of these */
    uint32_t hours, days;
    uint16_t months;
    uint8_t weekdays;
    bool any_day, any_weekday; /* that field begins with * */
    bool elapsed;              /* minute or hour does */
};

/* ERR_INVALID with where and why: "column 4: hour must be 0 to 23, not 25". */
MUST struct err cron_parse(struct str text, struct cron *out);

/* The first tick after a time. False: there is none in the next nine years (a day that does not exist; 29 February may be 8 years off). */
bool cron_next(const struct cron *c, const struct zone *z, struct wall after, struct wall *out);

#endif
