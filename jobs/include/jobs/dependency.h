/* What one process knows of a server that its jobs call — the payment provider, the mail relay, the host of a handler or a webhook — by the
 * calls that it made itself:
 *   window   how many attempts may use the server at once. AIMD: one more per round of calls that came back in time, a tenth less for
 *            each that is late, and for each sign of overload. It begins with half of what the process may run.
 *   circuit  whether to call it at all. The last ten calls failed, or half of the last 64: open, and nobody enters; after a second, then
 *            after twice as long each time (20 s at most; Retry-After is heeded), one attempt tries; when its call succeeds the window
 *            begins at 1.
 *   budget   how often calls are repeated: once for five first ones, and once a second.
 * A refused attempt is delayed, and never charged.
 *
 *     an attempt   dependency_enter, its calls, dependency_leave
 *     a call       dependency_retry if it repeats one, dependency_call_begin, dependency_call_end
 *
 * No I/O and no clock: times are passed in (monotonic), and a simulation runs the same code. One thread. */
#ifndef JOBS_DEPENDENCY_H
#define JOBS_DEPENDENCY_H

#include <base/err.h>
#include <base/str.h>
#include <sys/queue.h>

enum circuit { CIRCUIT_CLOSED, CIRCUIT_HALF_OPEN, CIRCUIT_OPEN };
enum dependency_refusal { REFUSED_CIRCUIT, REFUSED_WINDOW, REFUSED_BUDGET, REFUSED_MAX };

/* What an ended call says of the server. */
enum call_verdict {
    CALL_OK,         /* it answered, whatever it said of the request */
    CALL_FAILED,     /* it was not reached, or it is broken */
    CALL_OVERLOADED, /* failed, as it has too much to do: no answer in time, or "not now" */
    CALL_UNTOLD,     /* nothing: it was not made, or taken back */
};
enum call_verdict call_verdict_of(enum err_code code); /* of a call that ended with an error, or ERR_NONE */
enum call_verdict call_verdict_of_status(int http_status);
bool call_has_failed(enum call_verdict v);

struct dependency;

/* One call, where its caller keeps it; may be zero. */
struct dependency_call {
    TAILQ_ENTRY(dependency_call) link; /* in calls, while it may still come back in time */
    struct dependency *dependency;     /* NULL: not on its way */
    int64_t began_us;
    bool unhurried; /* set by the caller: it takes as long as its work does, so that a late one says nothing */
    bool waited;    /* in calls */
};
TAILQ_HEAD(dependency_calls, dependency_call);

/* An attempt's. May be zero: it is nowhere. */
struct dependency_place {
    struct dependency *dependency;
    bool probe;
};

enum { DEPENDENCY_NAME_MAX = 255, DEPENDENCY_WHY_MAX = 127 };

struct dependency {
    char name[DEPENDENCY_NAME_MAX + 1];
    size_t most; /* the window's bound: what the process may run at once */
    size_t entered;
    double window, threshold; /* below the threshold it grows by one with each call: after an outage */
    bool halved;              /* after an outage */
    double usual_us;          /* average of calls that came back */
    int usual_n;
    struct dependency_calls calls; /* oldest first */
    enum circuit circuit;
    bool probing;
    uint64_t failures; /* the last calls, a bit each, the newest lowest */
    int64_t since_us;  /* of circuit: what began before it says nothing any more */
    int64_t until_us;  /* OPEN */
    int64_t asked_us;  /* Retry-After of the failed calls: not before */
    int64_t away_us;   /* since when it is not closed */
    int64_t open_ms;   /* how long, the next time */
    double retries;    /* tokens of the budget */
    int64_t filled_us;
    int64_t later_us, retry_later_us;       /* until when those who were refused are spread */
    uint64_t refused[REFUSED_MAX], retried; /* so far */
    char why[DEPENDENCY_WHY_MAX + 1];       /* what the last call that failed came to, for people; "" before one */
};

/* most: at least 1. name is cut to fit. */
void dependency_init(struct dependency *d, struct str name, size_t most);
void dependency_bound(struct dependency *d, size_t most);

/* What time alone changes: calls are late, and an open circuit lets one attempt try. Before room is asked for, now and then. */
void dependency_look(struct dependency *d, int64_t now_us);
size_t dependency_room(const struct dependency *d, int64_t now_us); /* how many attempts more may enter */

/* False: not now; in *out_wait_ms there may be room, one after the other for those who ask. */
bool dependency_enter(struct dependency *d, struct dependency_place *place, int64_t now_us, int64_t *out_wait_ms);
void dependency_leave(struct dependency_place *place); /* nowhere is fine */

/* An attempt that failed by it is not charged: it is not closed, and has not been away for a day. (Who is away for longer is gone, and
 * jobs must end.) */
bool dependency_spares(const struct dependency *d, int64_t now_us);
int64_t dependency_wait_ms(struct dependency *d, int64_t now_us); /* when to come again after such a failure */

int64_t dependency_asked_ms(const struct dependency *d,
                            int64_t now_us); /* how long it still asks to be left alone; 0: not at all */

/* Takes what the budget allows for repeating a call. False: not now, but in *out_wait_ms. d NULL: any. */
bool dependency_retry(struct dependency *d, int64_t now_us, int64_t *out_wait_ms);
/* d NULL: of no server that is watched. first: it repeats none, and feeds the budget. */
void dependency_call_begin(struct dependency *d, struct dependency_call *c, bool first, int64_t now_us);
/* Before the end of one that failed: why, cut to fit. */
void dependency_call_why(const struct dependency_call *c, const char *why);
/* after_ms: of a failed one, what the server asked for (Retry-After); heeded up to five minutes; 0: nothing. */
void dependency_call_end(struct dependency_call *c, enum call_verdict verdict, int64_t now_us, int64_t after_ms);

#endif
