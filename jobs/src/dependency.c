#include <jobs/dependency.h>

#include <ctype.h>
#include <stdio.h>

enum { SECOND_US = 1000000 };

/* The window. A tenth for each bad call, as Netflix' AIMDLimit has it: one straggler among many costs little, a server that stops
 * answering takes all of it within one round of calls. Answers that are wrong but quick are the circuit's business alone. */
static const double SHRINK = 0.9;
enum {
    LATE_MIN_US = SECOND_US, /* a call may take a second, */
    LATE_FACTOR = 2,         /* or twice what is usual */
    USUAL_CALLS = 64,        /* what is usual: of about so many */
};

/* The circuit. Counted in calls and not in time, a rare caller's breaker opens as well as a busy one's: by ten failures on end, whoever is
 * down; by half of 64, whoever is half down, and not who fails now and then (one in four: by chance once in 300,000 calls). */
enum {
    FAILURES_ON_END = 10,
    FAILURES_ASSUMED = 5, /* just closed: half of that will do */
    FAILURES_OF_64 = 32,
    OPEN_MIN_MS = 1000,  /* a restart costs a second */
    OPEN_MAX_MS = 20000, /* whoever is back is found soon; 30 probes in ten minutes hurt nobody */
    CALM_US = 60 * SECOND_US,
    AFTER_MAX_MS = 300000,
};
static const int64_t GONE_US = 86400LL * SECOND_US;

/* The budget: at 20 first calls a second and more, retries are at most a fifth of all; for those who call rarely there is one a second. */
static const double RETRIES_PER_CALL = 0.2, RETRIES_PER_S = 1, RETRIES_BURST = 10;

/* Those who were refused. */
enum { GUESS_US = 100000, PACE_MIN_US = 50, RETRY_PACE_US = 50000, WAIT_MIN_MS = 20, WAIT_MAX_US = 300 * SECOND_US };

static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static double maxd(double a, double b) { return a > b ? a : b; }
static double mind(double a, double b) { return a < b ? a : b; }

enum call_verdict call_verdict_of(enum err_code code) {
    if (code == ERR_NONE || code == ERR_REFUSED) {
        return CALL_OK;
    }
    if (code == ERR_NET_UNKNOWN || code == ERR_TIMEOUT) {
        return CALL_OVERLOADED;
    }
    enum err_class class = err_class(code);
    return class == ERR_CLASS_TRANSIENT || class == ERR_CLASS_UNKNOWN ? CALL_FAILED : CALL_UNTOLD;
}

enum call_verdict call_verdict_of_status(int http_status) {
    if (http_status == 408 || http_status == 429 || http_status == 503 || http_status == 504) {
        return CALL_OVERLOADED;
    }
    return http_status >= 500 ? CALL_FAILED : CALL_OK;
}

bool call_has_failed(enum call_verdict v) { return v == CALL_FAILED || v == CALL_OVERLOADED; }

/* Of a server of which nothing is known half is tried: should it not answer at all, the rest of the process goes on meanwhile. */
static double at_first(size_t most) {
    size_t half = most / 2;
    return half > 0 ? (double)half : 1;
}

void dependency_init(struct dependency *d, struct str name, size_t most) {
    *d = (struct dependency){
        .most = most, .window = at_first(most), .threshold = (double)most, .open_ms = OPEN_MIN_MS, .retries = RETRIES_BURST};
    TAILQ_INIT(&d->calls);
    for (size_t i = 0; i < name.n && i < DEPENDENCY_NAME_MAX; i++) {
        d->name[i] = (char)tolower((unsigned char)name.p[i]);
    }
}

void dependency_bound(struct dependency *d, size_t most) {
    if (d->usual_n == 0 && d->failures == 0) {
        d->window = at_first(most);
        d->threshold = (double)most;
    } else if (d->window >= (double)d->most || d->window > (double)most) {
        d->window = (double)most;
    }
    d->most = most;
}

/* ---- the window ---- */

static void shrink(struct dependency *d) {
    d->window = maxd(1, d->window * SHRINK);
    d->threshold = d->window;
}

/* Not when it is not used: room that nobody tried proves nothing. And only up to half while those come back whom an outage held up: there
 * may be others in the queue, who are to have the rest. */
static void grow(struct dependency *d, int64_t now_us) {
    if (d->halved && now_us >= d->later_us) {
        d->halved = false;
    }
    double most = (double)d->most / (d->halved ? 2 : 1);
    if (2 * (double)d->entered >= d->window && d->window < most) {
        d->window = mind(most, d->window + (d->window < d->threshold ? 1 : 1 / d->window));
    }
}

static int64_t late_us(const struct dependency *d) {
    return d->usual_n == 0 ? INT64_MAX : max64(LATE_MIN_US, (int64_t)(LATE_FACTOR * d->usual_us));
}

/* A call that is late is known to be before it ends. */
static void find_late(struct dependency *d, int64_t now_us) {
    struct dependency_call *c;
    while ((c = TAILQ_FIRST(&d->calls)) != NULL && now_us - c->began_us > late_us(d)) {
        TAILQ_REMOVE(&d->calls, c, link);
        c->waited = false;
        if (c->began_us >= d->since_us) {
            shrink(d);
        }
    }
}

/* ---- the circuit ---- */

static void move(struct dependency *d, enum circuit to, int64_t now_us) {
    d->circuit = to;
    d->since_us = now_us;
}

static void open_circuit(struct dependency *d, int64_t now_us) {
    if (d->circuit == CIRCUIT_CLOSED) {
        d->open_ms = now_us - d->since_us > CALM_US ? OPEN_MIN_MS : d->open_ms;
        d->away_us = now_us;
        d->threshold = d->window / 2;
        d->window = 1;
        d->halved = true;
    }
    move(d, CIRCUIT_OPEN, now_us);
    d->until_us = max64(now_us + d->open_ms * 1000, d->asked_us);
    d->open_ms = min64(2 * d->open_ms, OPEN_MAX_MS);
}

static void close_circuit(struct dependency *d, int64_t now_us) {
    move(d, CIRCUIT_CLOSED, now_us);
    d->failures = (1U << FAILURES_ASSUMED) - 1;
}

static void count(struct dependency *d, bool failed, int64_t now_us) {
    static const uint64_t on_end = (1U << FAILURES_ON_END) - 1;
    d->failures = d->failures << 1 | failed;
    if ((d->failures & on_end) == on_end || __builtin_popcountll(d->failures) >= FAILURES_OF_64) {
        open_circuit(d, now_us);
    }
}

void dependency_look(struct dependency *d, int64_t now_us) {
    find_late(d, now_us);
    if (d->circuit == CIRCUIT_OPEN && now_us >= d->until_us) {
        move(d, CIRCUIT_HALF_OPEN, now_us);
    }
}

size_t dependency_room(const struct dependency *d, int64_t now_us) {
    if (d->circuit != CIRCUIT_CLOSED) {
        return now_us >= d->until_us && !d->probing;
    }
    return d->entered < (size_t)d->window ? (size_t)d->window - d->entered : 0;
}

bool dependency_spares(const struct dependency *d, int64_t now_us) {
    return d->circuit != CIRCUIT_CLOSED && now_us - d->away_us < GONE_US;
}

int64_t dependency_asked_ms(const struct dependency *d, int64_t now_us) { return max64(d->asked_us - now_us, 0) / 1000; }

/* ---- attempts ---- */

/* One behind the other: what comes back all at once is refused all at once. */
static int64_t spread(int64_t *later_us, int64_t from_us, int64_t pace_us, int64_t now_us, int64_t most_us) {
    *later_us = max64(*later_us, from_us) + pace_us;
    *later_us = min64(*later_us, now_us + most_us);
    return max64((*later_us - now_us) / 1000, WAIT_MIN_MS);
}

int64_t dependency_wait_ms(struct dependency *d, int64_t now_us) {
    double usual_us = d->usual_n > 0 ? d->usual_us : GUESS_US;
    int64_t pace_us = (int64_t)maxd(PACE_MIN_US, usual_us / maxd(d->window, d->threshold));
    bool guessed = d->usual_n == 0 && d->circuit == CIRCUIT_CLOSED; /* the first answers tell better */
    return spread(&d->later_us, d->circuit == CIRCUIT_OPEN ? d->until_us : now_us, pace_us, now_us,
                  guessed ? SECOND_US : WAIT_MAX_US);
}

bool dependency_enter(struct dependency *d, struct dependency_place *place, int64_t now_us, int64_t *out_wait_ms) {
    dependency_look(d, now_us);
    if (dependency_room(d, now_us) == 0) {
        d->refused[d->circuit == CIRCUIT_CLOSED ? REFUSED_WINDOW : REFUSED_CIRCUIT]++;
        *out_wait_ms = dependency_wait_ms(d, now_us);
        return false;
    }
    *place = (struct dependency_place){d, d->circuit == CIRCUIT_HALF_OPEN};
    d->probing |= place->probe;
    d->entered++;
    return true;
}

void dependency_leave(struct dependency_place *place) {
    struct dependency *d = place->dependency;
    if (d == NULL) {
        return;
    }
    d->entered--;
    d->probing &= !place->probe; /* without a call of its own it has shown nothing: another one may */
    *place = (struct dependency_place){NULL, false};
}

/* ---- calls ---- */

static void fill(struct dependency *d, int64_t now_us) {
    d->retries = mind(RETRIES_BURST, d->retries + RETRIES_PER_S * (double)(now_us - d->filled_us) / SECOND_US);
    d->filled_us = now_us;
}

bool dependency_retry(struct dependency *d, int64_t now_us, int64_t *out_wait_ms) {
    if (d == NULL) {
        return true;
    }
    fill(d, now_us);
    if (d->retries < 1) {
        d->refused[REFUSED_BUDGET]++;
        *out_wait_ms = spread(&d->retry_later_us, now_us, RETRY_PACE_US, now_us, WAIT_MAX_US);
        return false;
    }
    d->retries--;
    d->retried++;
    return true;
}

void dependency_call_begin(struct dependency *d, struct dependency_call *c, bool first, int64_t now_us) {
    c->dependency = d;
    c->began_us = now_us;
    c->waited = d != NULL && !c->unhurried;
    if (c->waited) {
        TAILQ_INSERT_TAIL(&d->calls, c, link);
    }
    if (d != NULL && first) {
        d->retries = mind(RETRIES_BURST, d->retries + RETRIES_PER_CALL);
    }
}

static void came_back(struct dependency *d, const struct dependency_call *c, bool in_time, int64_t now_us) {
    d->usual_n = d->usual_n < USUAL_CALLS ? d->usual_n + 1 : USUAL_CALLS;
    d->usual_us += ((double)(now_us - c->began_us) - d->usual_us) / d->usual_n;
    if (d->circuit == CIRCUIT_HALF_OPEN) {
        close_circuit(d, now_us);
        if (c->unhurried) { /* a step for each job's length would take hours */
            d->window = maxd(d->window, d->threshold);
        }
        return;
    }
    if (in_time) {
        grow(d, now_us);
    }
    count(d, false, now_us);
}

static void failed(struct dependency *d, bool overloaded, bool known_late, int64_t now_us) {
    if (d->circuit == CIRCUIT_HALF_OPEN) {
        open_circuit(d, now_us);
        return;
    }
    if (overloaded && !known_late) {
        shrink(d);
    }
    count(d, true, now_us);
}

void dependency_call_why(const struct dependency_call *c, const char *why) {
    if (c->dependency != NULL) {
        (void)snprintf(c->dependency->why, sizeof c->dependency->why, "%s", why);
    }
}

void dependency_call_end(struct dependency_call *c, enum call_verdict verdict, int64_t now_us, int64_t after_ms) {
    struct dependency *d = c->dependency;
    if (d == NULL) {
        return;
    }
    find_late(d, now_us);
    bool known_late = !c->waited && !c->unhurried;
    if (c->waited) {
        TAILQ_REMOVE(&d->calls, c, link);
        c->waited = false;
    }
    c->dependency = NULL;
    if (call_has_failed(verdict) && after_ms > 0) {
        d->asked_us = max64(d->asked_us, now_us + min64(after_ms, AFTER_MAX_MS) * 1000);
    }
    if (verdict == CALL_UNTOLD || d->circuit == CIRCUIT_OPEN || c->began_us < d->since_us) {
        return;
    }
    if (verdict == CALL_OK) {
        came_back(d, c, !known_late, now_us);
    } else {
        failed(d, verdict == CALL_OVERLOADED, known_late, now_us);
    }
}
