#include <jobs/retry.h>

#include <base/str.h>
#include <time.h>

enum { RELEASE_MIN_MS = 500, RELEASE_MAX_MS = 2000, SOON_MAX_MS = 1000, AFTER_FLOOR_MS = 60000 };

/* The table. What a class means is said in base/err.h. */
static const enum retry_verdict verdicts[ERR_CLASS_MAX] = {
    [ERR_CLASS_OK] = RETRY_DEAD, /* a failure without an error is a bug: let it be seen */
    [ERR_CLASS_INFRA] = RETRY_RELEASE,  [ERR_CLASS_TRANSIENT] = RETRY_CHARGE, [ERR_CLASS_CONFLICT] = RETRY_SOON,
    [ERR_CLASS_UNKNOWN] = RETRY_CHARGE, /* only where repeating is the policy (webhooks, mail); payments ask first */
    [ERR_CLASS_INVALID] = RETRY_DEAD,   [ERR_CLASS_PERMANENT] = RETRY_DEAD,
};

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t backoff_ceiling(const struct retry_policy *p, uint32_t attempt) {
    int64_t ceiling = p->base_ms;
    for (uint32_t i = 0; i < attempt && ceiling < p->cap_ms; i++) {
        ceiling = ceiling > p->cap_ms / 2 ? p->cap_ms : 2 * ceiling;
    }
    return min64(ceiling, p->cap_ms);
}

enum retry_verdict retry_decide(const struct retry_policy *p, enum err_code code, uint32_t attempt, int64_t after_ms,
                                double random01, int64_t *out_delay_ms) {
    enum retry_verdict v = verdicts[err_class(code)];
    if (v == RETRY_RELEASE) {
        *out_delay_ms = RELEASE_MIN_MS + (int64_t)((RELEASE_MAX_MS - RELEASE_MIN_MS) * random01);
        return v;
    }
    if (v == RETRY_DEAD || attempt >= p->max_attempts || attempt + 1 == p->max_attempts) {
        return RETRY_DEAD;
    }
    int64_t ceiling = v == RETRY_SOON ? min64(p->base_ms, SOON_MAX_MS) : backoff_ceiling(p, attempt);
    int64_t delay = (int64_t)((double)ceiling * random01);
    *out_delay_ms = max64(delay, min64(after_ms, max64(p->cap_ms, AFTER_FLOOR_MS)));
    return v;
}

/* The three that RFC 9110 (5.6.7) makes a recipient read, the one that is written today first. */
static const char *const date_formats[] = {
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%a %b %e %H:%M:%S %Y",
};

int64_t retry_after_parse(const char *p, size_t n, int64_t now_ms) {
    struct str s = str_trim(str_of(p, n));
    int64_t seconds;
    if (str_to_i64(s, &seconds)) {
        return seconds > 0 && seconds < INT64_MAX / 1000 ? seconds * 1000 : 0;
    }
    char text[40];
    if (!str_copy_c(s, text, sizeof text)) {
        return 0;
    }
    for (size_t i = 0; i < sizeof date_formats / sizeof date_formats[0]; i++) {
        struct tm tm = {0};
        const char *end = strptime(text, date_formats[i], &tm);
        if (end != NULL && *end == '\0') {
            return max64((int64_t)timegm(&tm) * 1000 - now_ms, 0);
        }
    }
    return 0;
}
