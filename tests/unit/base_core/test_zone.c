/* Zones against the C library's own reading of the same files, one zone at a time. */
#include <base/zone.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "unit.h"

#define YEAR_S INT64_C(31556952)

static struct zone *load(const char *name) {
    struct zone *z = NULL;
    assert_ok(zone_load(str_c(name), &z));
    return z;
}

static int64_t of_glibc(int64_t t) {
    time_t s = (time_t)t;
    struct tm tm;
    assert_non_null(localtime_r(&s, &tm));
    return tm.tm_gmtoff;
}

static void compare(const struct zone *z, const char *name, int64_t t) {
    if (zone_at(z, t).offset != of_glibc(t)) {
        fail_msg("%s at %lld: %d, not %lld", name, (long long)t, zone_at(z, t).offset, (long long)of_glibc(t));
    }
}

/* Month by month from 1950 to 2150, and at each change. */
static void compare_zone(const char *name) {
    int64_t begin = -20 * YEAR_S, end = 180 * YEAR_S;
    struct zone *z = load(name);
    assert_int_equal(0, setenv("TZ", name, 1));
    tzset();
    for (int64_t t = begin; t < end; t += YEAR_S / 12) {
        compare(z, name, t);
    }
    for (struct zone_span s = zone_at(z, begin); s.until < end; s = zone_at(z, s.until)) {
        compare(z, name, s.until - 1);
        compare(z, name, s.until);
    }
    zone_free(z);
}

static void test_zone__every_zone_of_tzdata_then_as_the_c_library_has_it(void **state) {
    char line[512], name[80];
    int n = 0;
    FILE *f = fopen("/usr/share/zoneinfo/tzdata.zi", "re");
    (void)state;
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "Z %79s", name) == 1) {
            compare_zone(name);
            n++;
        }
    }
    (void)fclose(f);
    assert_int_equal(0, unsetenv("TZ"));
    assert_true(n > 300);
}

static void test_zone__utc_then_one_stretch(void **state) {
    (void)state;
    struct zone *z = load("UTC");
    struct zone_span s = zone_at(z, 0);
    assert_true(s.from == INT64_MIN && s.until == INT64_MAX && s.offset == 0);
    assert_int_equal(12345, zone_first_at(z, 12345));
    zone_free(z);
}

static int64_t local(int64_t y, int mo, int d, int h, int mi) { return civil_days(y, mo, d) * 86400 + (h * 60 + mi) * 60; }

static void test_zone__local_times_then_the_first_moment_of_each(void **state) {
    (void)state;
    static const struct {
        const char *zone;
        int y, mo, d, h, mi;
        int64_t unix_s;
    } cases[] = {
        {"Europe/Berlin", 2026, 3, 29, 1, 59, 1774745940},
        {"Europe/Berlin", 2026, 3, 29, 2, 0, 1774746000}, /* skipped */
        {"Europe/Berlin", 2026, 3, 29, 2, 59, 1774746000},
        {"Europe/Berlin", 2026, 3, 29, 3, 0, 1774746000},
        {"Europe/Berlin", 2026, 10, 25, 2, 0, 1792886400},
        {"Europe/Berlin", 2026, 10, 25, 2, 59, 1792889940}, /* twice */
        {"Europe/Berlin", 2026, 10, 25, 3, 0, 1792893600},
        {"Australia/Lord_Howe", 2026, 10, 4, 2, 10, 1791041400},
        {"Australia/Lord_Howe", 2026, 4, 5, 1, 45, 1775313900},
        {"Pacific/Apia", 2011, 12, 30, 12, 0, 1325239200}, /* no such day */
        {"Asia/Kathmandu", 2026, 1, 1, 0, 0, 1767204900},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct zone *z = load(cases[i].zone);
        int64_t l = local(cases[i].y, cases[i].mo, cases[i].d, cases[i].h, cases[i].mi);
        assert_int_equal(cases[i].unix_s, zone_first_at(z, l));
        zone_free(z);
    }
}

static void test_zone__what_is_no_name_then_refused(void **state) {
    (void)state;
    static const char *const names[] = {"",
                                        "Europe/Nowhere",
                                        "../../etc/passwd",
                                        "/etc/localtime",
                                        "Europe/",
                                        "Europe//Berlin",
                                        "Europe",
                                        "europe/berlin",
                                        "tzdata.zi",
                                        "zone.tab",
                                        "Europe/.hidden",
                                        "a b",
                                        "Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct zone *z = NULL;
        struct err e = zone_load(str_c(names[i]), &z);
        assert_err(ERR_INVALID, e);
        assert_null(z);
    }
}

static size_t read_berlin(char *bytes, size_t size) {
    FILE *f = fopen("/usr/share/zoneinfo/Europe/Berlin", "re");
    assert_non_null(f);
    size_t n = fread(bytes, 1, size, f);
    (void)fclose(f);
    return n;
}

/* Every prefix, and every byte changed: refused, or some zone; never more than its bytes are read (the sanitizer looks). */
static void test_zone__broken_files_then_no_harm(void **state) {
    (void)state;
    static char bytes[16384];
    size_t n = read_berlin(bytes, sizeof bytes);
    for (size_t cut = 0; cut < n; cut++) {
        struct zone *z = NULL;
        char *copy = malloc(cut > 0 ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        assert_err(ERR_INVALID, zone_parse(str_of(copy, cut), &z));
        free(copy);
    }
    for (size_t i = 0; i < n; i++) {
        for (int change = 1; change < 256; change <<= 1) {
            struct zone *z = NULL;
            bytes[i] = (char)(bytes[i] ^ change);
            if (!err_is_set(zone_parse(str_of(bytes, n), &z))) {
                (void)zone_first_at(z, 1790000000);
                zone_free(z);
            }
            bytes[i] = (char)(bytes[i] ^ change);
        }
    }
}

static void test_zone__the_calendar_goes_there_and_back(void **state) {
    (void)state;
    for (int64_t day = -800000; day < 200000; day += 1) {
        int64_t y;
        int m, d;
        civil_date(day, &y, &m, &d);
        assert_true(m >= 1 && m <= 12 && d >= 1 && d <= 31);
        assert_int_equal(day, civil_days(y, m, d));
    }
    assert_int_equal(0, civil_days(1970, 1, 1));
    assert_int_equal(11016, civil_days(2000, 2, 29));
    assert_int_equal(4, civil_weekday(0));
    assert_int_equal(3, civil_weekday(-1));
}

static void test_zone__of_a_cache_then_read_once(void **state) {
    (void)state;
    struct zone_cache c = {0};
    const struct zone *berlin, *again, *z;
    char name[24];
    assert_ok(zone_cache_load(&c, STR("Europe/Berlin"), &berlin));
    assert_ok(zone_cache_load(&c, STR("UTC"), &z));
    assert_err(ERR_INVALID, zone_cache_load(&c, STR("Europe/Nowhere"), &z));
    assert_ok(zone_cache_load(&c, STR("Europe/Berlin"), &again));
    assert_ptr_equal(berlin, again);
    assert_int_equal(2, c.n);
    for (int hours = -14; hours <= 12; hours++) { /* more than it holds */
        (void)snprintf(name, sizeof name, "Etc/GMT%+d", hours);
        assert_ok(zone_cache_load(&c, str_c(name), &z));
        assert_int_equal(-3600 * hours, zone_at(z, 0).offset);
    }
    assert_int_equal(ZONE_CACHE_MAX, c.n);
    assert_ok(zone_cache_load(&c, STR("Europe/Berlin"), &again));
    assert_int_equal(3600, zone_at(again, 0).offset);
    zone_cache_clear(&c);
    assert_int_equal(0, c.n);
}

static void scenario(void *arg) {
    struct zone_cache c = {0};
    const struct zone *z;
    (void)arg;
    struct err e = zone_cache_load(&c, STR("America/New_York"), &z);
    assert_true(torture_is_failing() || !err_is_set(e));
    zone_cache_clear(&c);
}

static void test_zone__given_no_memory_then_no_leak(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zone__every_zone_of_tzdata_then_as_the_c_library_has_it),
        cmocka_unit_test(test_zone__utc_then_one_stretch),
        cmocka_unit_test(test_zone__local_times_then_the_first_moment_of_each),
        cmocka_unit_test(test_zone__what_is_no_name_then_refused),
        cmocka_unit_test(test_zone__broken_files_then_no_harm),
        cmocka_unit_test(test_zone__the_calendar_goes_there_and_back),
        cmocka_unit_test(test_zone__of_a_cache_then_read_once),
        cmocka_unit_test(test_zone__given_no_memory_then_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
