/* TZif: a header, a block of version 1 to be skipped, header and block again with 64-bit times, and a line with the rule that goes on
 * where the block ends. The rule is written out as transitions when the zone is read, so that looking is one binary search. */
#include <base/zone.h>

#include <stdio.h>
#include <stdlib.h>

#include "zone_private.h"

#define ZONE_FOLDER "/usr/share/zoneinfo/"
enum {
    HEADER_BYTES = 44,
    FILE_BYTES_MAX = 64 * 1024,
    TRANSITIONS_MAX = 1024,
    TYPES_MAX = 256,
    TYPE_BYTES = 6,
    EARLIEST_S = 25 * 3600
};

/* ---- reading ---- */

struct counts {
    uint32_t isut, isstd, leap, times, types, chars;
};

static int64_t big_endian(const char *p, size_t n) {
    uint64_t v = (p[0] & 0x80) != 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < n; i++) {
        v = v << 8 | (uint8_t)p[i];
    }
    return (int64_t)v;
}

static struct err bad(const char *why) { return err_make(ERR_INVALID, "not a time zone file: %s", why); }

/* Takes n bytes off the front; what is too short gives a p of NULL. */
static struct str take(struct str *s, size_t n) {
    struct str out = s->n >= n ? str_of(s->p, n) : STR_NONE;
    *s = s->n >= n ? str_of(s->p + n, s->n - n) : STR_NONE;
    return out;
}

static struct err take_header(struct str *s, struct counts *out) {
    struct str h = take(s, HEADER_BYTES);
    if (h.p == NULL || memcmp(h.p, "TZif", 4) != 0 || h.p[4] < '2') {
        return bad("it does not begin with TZif of version 2 or later");
    }
    uint32_t v[6];
    for (size_t i = 0; i < 6; i++) {
        v[i] = (uint32_t)big_endian(h.p + 20 + 4 * i, 4);
        if (v[i] > FILE_BYTES_MAX) {
            return bad("a count is too large");
        }
    }
    *out = (struct counts){v[0], v[1], v[2], v[3], v[4], v[5]};
    return OK;
}

static size_t block_bytes(const struct counts *c, size_t time_bytes) {
    return c->times * (time_bytes + 1) + c->types * TYPE_BYTES + c->chars + c->leap * (time_bytes + 4) + c->isstd + c->isut;
}

struct err zone_add(struct zone *z, int64_t at, int32_t offset) {
    if (z->n > 0 && at <= z->at[z->n - 1]) {
        return OK; /* of the rule, where the block has it already */
    }
    if (z->n == z->cap) {
        return err_make(ERR_INVALID, "not a time zone file: more than %d transitions", TRANSITIONS_MAX);
    }
    z->at[z->n] = at;
    z->offset[z->n++] = offset;
    return OK;
}

static struct err take_offset(struct str types, size_t i, int32_t *out) {
    if (i >= types.n / TYPE_BYTES) {
        return bad("a transition is to a type that is not there");
    }
    int64_t offset = big_endian(types.p + i * TYPE_BYTES, 4);
    if (offset < -ZONE_OFFSET_MAX_S || offset > ZONE_OFFSET_MAX_S) {
        return bad("an offset is more than a day");
    }
    *out = (int32_t)offset;
    return OK;
}

static struct err read_block(struct str block, const struct counts *c, struct zone *z) {
    struct str times = take(&block, 8 * (size_t)c->times);
    struct str indexes = take(&block, c->times);
    struct str types = take(&block, TYPE_BYTES * (size_t)c->types);
    int64_t last = INT64_MIN;
    if (c->times > TRANSITIONS_MAX || c->types == 0 || c->types > TYPES_MAX || c->leap != 0) {
        return bad("too many transitions, no type, or leap seconds");
    }
    if (types.p == NULL) {
        return bad("it ends too early");
    }
    TRY(take_offset(types, 0, &z->first));
    for (size_t i = 0; i < c->times; i++) {
        int64_t at = big_endian(times.p + 8 * i, 8);
        int32_t offset;
        if (at <= last || at > ZONE_TIME_MAX_S) {
            return bad("its transitions are not in order");
        }
        last = at;
        TRY(take_offset(types, (uint8_t)indexes.p[i], &offset));
        TRY(zone_add(z, at, offset));
    }
    return OK;
}

/* "\n<rule>\n" */
static struct err read_footer(struct str s, struct zone *z) {
    if (s.n < 2 || s.p[0] != '\n' || s.p[s.n - 1] != '\n') {
        return bad("its last line is missing");
    }
    s = str_of(s.p + 1, s.n - 2);
    return s.n > 0 ? zone_add_rule(z, s) : OK;
}

static struct err read_file(struct str s, struct zone *z) {
    struct counts c;
    TRY(take_header(&s, &c));
    (void)take(&s, block_bytes(&c, 4));
    TRY(take_header(&s, &c));
    TRY(read_block(take(&s, block_bytes(&c, 8)), &c, z));
    return read_footer(s, z);
}

static struct zone *zone_new(size_t cap) {
    struct zone *z = calloc(1, sizeof *z);
    if (z == NULL) {
        return NULL;
    }
    z->cap = cap;
    z->at = calloc(cap, sizeof *z->at);
    z->offset = calloc(cap, sizeof *z->offset);
    if (z->at == NULL || z->offset == NULL) {
        zone_free(z);
        return NULL;
    }
    return z;
}

void zone_free(struct zone *z) {
    if (z != NULL) {
        free(z->at);
        free(z->offset);
        free(z);
    }
}

struct err zone_parse(struct str bytes, struct zone **out) {
    struct zone *z = zone_new(TRANSITIONS_MAX + ZONE_RULE_TRANSITIONS);
    if (z == NULL) {
        return err_make(ERR_NOMEM, "time zone");
    }
    struct err e = read_file(bytes, z);
    if (err_is_set(e)) {
        zone_free(z);
        return e;
    }
    *out = z;
    return OK;
}

/* "Area/Place": letters, digits, _ + -, and no way out of the folder. */
static bool is_zone_name(struct str s) {
    bool begins = true;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool other = (c >= '0' && c <= '9') || c == '_' || c == '+' || c == '-';
        if (!letter && (begins || (!other && c != '/'))) {
            return false;
        }
        begins = c == '/';
    }
    return s.n > 0 && s.n <= ZONE_NAME_BYTES && !begins;
}

static struct err load(const char *path, struct str name, struct zone **out) {
    char bytes[FILE_BYTES_MAX];
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return err_make(ERR_INVALID, "there is no time zone \"%.*s\" here; names are like Europe/Berlin", STR_ARG(name));
    }
    size_t n = fread(bytes, 1, sizeof bytes, f);
    bool failed = ferror(f) != 0; /* a folder, too */
    (void)fclose(f);
    if (failed || n == sizeof bytes) {
        return err_make(ERR_INVALID, "\"%.*s\" is no time zone", STR_ARG(name));
    }
    return err_wrap(zone_parse(str_of(bytes, n), out), path);
}

struct err zone_load(struct str name, struct zone **out) {
    char path[sizeof ZONE_FOLDER + ZONE_NAME_BYTES];
    if (!is_zone_name(name)) {
        return err_make(ERR_INVALID, "a time zone has a name like Europe/Berlin or UTC");
    }
    if (str_is(name, "UTC")) {
        struct zone *z = zone_new(1);
        if (z == NULL) {
            return err_make(ERR_NOMEM, "time zone");
        }
        *out = z;
        return OK;
    }
    (void)snprintf(path, sizeof path, ZONE_FOLDER "%.*s", STR_ARG(name));
    return load(path, name, out);
}

struct err zone_cache_load(struct zone_cache *c, struct str name, const struct zone **out) {
    struct zone *z;
    for (size_t i = 0; i < c->n; i++) {
        if (str_is(name, c->zones[i].name)) {
            *out = c->zones[i].zone;
            return OK;
        }
    }
    TRY(zone_load(name, &z));
    size_t at = c->n < ZONE_CACHE_MAX ? c->n++ : c->oldest++ % ZONE_CACHE_MAX;
    zone_free(c->zones[at].zone);
    c->zones[at].zone = z;
    (void)str_copy_c(name, c->zones[at].name, sizeof c->zones[at].name); /* it is one: it fits */
    *out = z;
    return OK;
}

void zone_cache_clear(struct zone_cache *c) {
    for (size_t i = 0; i < c->n; i++) {
        zone_free(c->zones[i].zone);
    }
    *c = (struct zone_cache){0};
}

/* ---- looking ---- */

struct zone_span zone_at(const struct zone *z, int64_t unix_s) {
    size_t low = 0, high = z->n; /* transitions before low have happened, those from high on have not */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (z->at[middle] <= unix_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (struct zone_span){
        .from = low > 0 ? z->at[low - 1] : INT64_MIN,
        .until = low < z->n ? z->at[low] : INT64_MAX,
        .offset = low > 0 ? z->offset[low - 1] : z->first,
    };
}

int64_t zone_first_at(const struct zone *z, int64_t local_s) {
    /* No clock shows this time as early as that. */
    struct zone_span s = zone_at(z, local_s - EARLIEST_S);
    while (local_s - s.offset >= s.until) {
        s = zone_at(z, s.until);
    }
    return local_s - s.offset >= s.from ? local_s - s.offset : s.from;
}

/* ---- the calendar: http://howardhinnant.github.io/date_algorithms.html, years that begin in March ---- */

int64_t civil_days(int64_t year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void civil_date(int64_t days, int64_t *out_year, int *out_month, int *out_day) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153; /* March 0 */
    *out_day = (int)(of_year - (153 * month + 2) / 5 + 1);
    *out_month = (int)(month < 10 ? month + 3 : month - 9);
    *out_year = year + era * 400 + (*out_month <= 2 ? 1 : 0);
}
