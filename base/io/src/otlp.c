#include "otlp_pile.h"

#include <base/crypto.h>
#include <base/json.h>
#include <base/metrics.h>
#include <io/http_client.h>
#include <io/otlp.h>
#include <io/timer.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TICK_MS = 1000,
    METRICS_TICKS = 10,
    POST_MS = 10000,
    FLUSH_MS = 1000, /* at the end */
    TRIES = 5,
    BACKOFF_MS = 1000,
    BACKOFF_MAX_MS = 30000,
    RETRY_AFTER_MAX_MS = 300000,
    ANSWER_BYTES = 4096,
    WHY_BYTES = 200,
    TOLD_MS = 60000, /* so often at most is a refusal logged */
    HEADERS_MAX = 16,
    OWN_HEADERS = 2,
    URL_BYTES = 1024,
    RECORD_BYTES = 64 << 10,
    METRICS_BYTES = 4 << 20,
    HEAD_BYTES = 4096,
};

static const char *const signal_names[OTLP_SIGNALS] = {"traces", "metrics", "logs"};

struct lane {
    struct otlp *otlp;
    enum otlp_signal signal;
    char url[URL_BYTES];
    struct buf head; /* how a request begins */
    struct pile pile;
    struct buf flying; /* on its way, or waiting to be sent again */
    size_t flying_n;   /* records in it; 0: nothing flies */
    unsigned tries;
    struct timer *again;
    struct series *sent;
    struct mono told; /* of a refusal */
};

struct otlp {
    struct loop *loop;
    struct http_client *http;
    struct arena arena; /* headers */
    struct http_header headers[OWN_HEADERS + HEADERS_MAX];
    size_t headers_n;
    struct lane lanes[OTLP_SIGNALS];
    struct buf record; /* room for one */
    struct timer *tick;
    struct mono began;
    unsigned ticks;
    bool closing, flushing, down;
};

static void send_pile(struct lane *lane);

static void dropped(const struct lane *lane, const char *reason, size_t n) {
    series_add(metric_series(M_TELEMETRY_DROPPED, signal_names[lane->signal], reason, NULL), (double)n);
}

/* ---- on its way ---- */

static bool is_any_flying(const struct otlp *o) {
    bool any = false;
    for (size_t i = 0; i < OTLP_SIGNALS; i++) {
        any |= o->lanes[i].flying_n > 0;
    }
    return any;
}

static void land(struct lane *lane) {
    struct otlp *o = lane->otlp;
    buf_free(&lane->flying);
    lane->flying_n = 0;
    lane->tries = 0;
    if (o->closing) {
        send_pile(lane);
    }
    if (o->flushing && !is_any_flying(o)) {
        loop_stop(o->loop);
    }
}

static void tell(struct lane *lane, const char *event, const char *why) {
    struct mono now = loop_now(lane->otlp->loop);
    if (lane->told.us == 0 || mono_ms_since(now, lane->told) >= TOLD_MS) {
        lane->told = now;
        LOG(WARN, event, LF_C("signal", signal_names[lane->signal]), LF_C("detail", why));
    }
}

static void refused(struct lane *lane, const char *reason, const char *why) {
    tell(lane, "telemetry.refused", why);
    dropped(lane, reason, lane->flying_n);
    land(lane);
}

static int64_t backoff(unsigned tries) {
    int64_t most = (int64_t)BACKOFF_MS << tries;
    uint32_t random;
    crypto_random(&random, sizeof random);
    most = most < BACKOFF_MAX_MS ? most : BACKOFF_MAX_MS;
    return most / 2 + random % (most / 2 + 1);
}

/* Seconds, or a date (which nobody sends here): then our own while. */
static int64_t wait_ms(const struct lane *lane, const struct http_reply *reply) {
    int64_t asked_s = 0;
    if (reply != NULL && reply->retry_after.p != NULL && str_to_i64(reply->retry_after, &asked_s) && asked_s >= 0) {
        return asked_s < RETRY_AFTER_MAX_MS / 1000 ? asked_s * 1000 : RETRY_AFTER_MAX_MS;
    }
    return backoff(lane->tries);
}

static void again(struct lane *lane, const struct http_reply *reply, const char *why) {
    if (!lane->otlp->down) {
        lane->otlp->down = true;
        tell(lane, "telemetry.down", why);
    }
    if (lane->otlp->closing || ++lane->tries >= TRIES) {
        dropped(lane, "unsent", lane->flying_n);
        land(lane);
    } else {
        timer_start(lane->again, wait_ms(lane, reply));
    }
}

static void took(struct lane *lane, struct str answer) {
    char why[WHY_BYTES];
    int64_t rejected = otlp_rejected(lane->signal, answer, why, sizeof why);
    size_t lost = (uint64_t)rejected < lane->flying_n ? (size_t)rejected : lane->flying_n;
    if (lost > 0) {
        tell(lane, "telemetry.rejected", why);
        dropped(lane, "rejected", lost);
    }
    series_add(lane->sent, (double)(lane->flying_n - lost));
    lane->otlp->down = false;
    land(lane);
}

static void on_answer(void *arg, struct err err, const struct http_reply *reply) {
    struct lane *lane = arg;
    char why[32];
    if (err.code == ERR_INVALID) {
        refused(lane, "refused", err.detail);
        return;
    }
    if (err_is_set(err)) {
        again(lane, NULL, err.detail);
        return;
    }
    (void)snprintf(why, sizeof why, "answered %d", reply->status);
    switch (reply->status) {
    case 429:
    case 502:
    case 503:
    case 504:
        again(lane, reply, why);
        break;
    default:
        if (reply->status >= 200 && reply->status < 300) {
            took(lane, reply->body);
        } else {
            refused(lane, "refused", why);
        }
    }
}

static void post(struct lane *lane) {
    struct otlp *o = lane->otlp;
    const struct http_spec spec = {
        .method = "POST",
        .url = str_c(lane->url),
        .headers = o->headers,
        .headers_n = o->headers_n,
        .body = buf_str(&lane->flying),
        .deadline_ms = o->closing ? FLUSH_MS : POST_MS,
        .max_answer_bytes = ANSWER_BYTES,
    };
    if (http_send(o->http, &spec, on_answer, lane) == NULL) {
        again(lane, NULL, "out of memory");
    }
}

static void on_again(void *arg) { post(arg); }

/* Nothing to send, or something still flies: nothing. */
static void send_pile(struct lane *lane) {
    if (lane->flying_n > 0 || lane->pile.records == 0) {
        return;
    }
    size_t n = lane->pile.records;
    if (err_is_set(pile_take(&lane->pile, &lane->flying, &lane->flying_n))) {
        dropped(lane, "memory", n);
        return;
    }
    post(lane);
}

/* ---- what comes in ---- */

/* Room for a record of the lane; NULL: the pile is full, and nothing need be written. */
static struct buf *begin(struct otlp *o, enum otlp_signal signal) {
    if (pile_is_full(&o->lanes[signal].pile)) {
        dropped(&o->lanes[signal], "full", 1);
        return NULL;
    }
    buf_clear(&o->record);
    return &o->record;
}

static void add(struct otlp *o, enum otlp_signal signal) {
    struct lane *lane = &o->lanes[signal];
    size_t lost = 1;
    if (err_is_set(buf_status(&o->record)) || !pile_add(&lane->pile, buf_str(&lane->head), buf_str(&o->record), &lost)) {
        dropped(lane, "memory", lost);
    }
}

static void on_span(void *arg, const struct span *s) {
    struct buf *record = begin(arg, OTLP_TRACES);
    if (record != NULL) {
        otlp_add_span(record, s);
        add(arg, OTLP_TRACES);
    }
}

static void on_log(void *arg, const struct log_record *r) {
    struct buf *record = begin(arg, OTLP_LOGS);
    if (record != NULL) {
        otlp_add_log(record, r);
        add(arg, OTLP_LOGS);
    }
}

/* Whole: as a heartbeat carries them, every two seconds. What could not leave before is the same, only older. */
static void add_metrics(struct otlp *o) {
    struct lane *lane = &o->lanes[OTLP_METRICS];
    struct buf all;
    size_t lost = 1;
    if (lane->flying_n > 0 || lane->pile.records > 0) {
        return;
    }
    buf_init(&all, METRICS_BYTES);
    otlp_add_metrics(&all, o->began, loop_now(o->loop));
    if (err_is_set(buf_status(&all)) || !pile_add(&lane->pile, buf_str(&lane->head), buf_str(&all), &lost)) {
        dropped(lane, "memory", 1);
    }
    buf_free(&all);
}

static void send_all(struct otlp *o) {
    for (size_t i = 0; i < OTLP_SIGNALS; i++) {
        send_pile(&o->lanes[i]);
    }
}

static void on_tick(void *arg) {
    struct otlp *o = arg;
    if (++o->ticks % METRICS_TICKS == 0) {
        add_metrics(o);
    }
    send_all(o);
}

/* ---- the owner's side ---- */

static struct err read_headers(struct otlp *o, struct str list) {
    struct str pair, name;
    o->headers[o->headers_n++] = (struct http_header){STR("Content-Type"), STR("application/json")};
    o->headers[o->headers_n++] = (struct http_header){STR("Content-Encoding"), STR("gzip")};
    while (str_cut(&list, ',', &pair)) {
        bool named = pair.n > 0 && memchr(pair.p, '=', pair.n) != NULL && str_cut(&pair, '=', &name) && str_trim(name).n > 0;
        if (!named || o->headers_n == OWN_HEADERS + HEADERS_MAX) {
            return err_make(ERR_INVALID, "otlp.headers must be name=value, separated by commas, %d at most", HEADERS_MAX);
        }
        struct str value = http_decode(&o->arena, str_trim(pair));
        struct str kept = arena_str(&o->arena, str_trim(name));
        if (value.p == NULL || kept.p == NULL) {
            return err_make(ERR_INVALID, "otlp.headers: %.*s is not percent-encoded rightly, or there is no memory",
                            STR_ARG(name));
        }
        o->headers[o->headers_n++] = (struct http_header){kept, value};
    }
    return OK;
}

static struct err open_lane(struct otlp *o, enum otlp_signal signal, struct str endpoint, const struct otlp_resource *resource) {
    struct lane *lane = &o->lanes[signal];
    lane->otlp = o;
    lane->signal = signal;
    lane->sent = metric_series(M_TELEMETRY_SENT, signal_names[signal], NULL, NULL);
    series_add(metric_series(M_TELEMETRY_DROPPED, signal_names[signal], "full", NULL), 0);
    pile_init(&lane->pile);
    buf_init(&lane->head, HEAD_BYTES);
    otlp_begin(&lane->head, signal, resource);
    TRY(buf_status(&lane->head));
    (void)snprintf(lane->url, sizeof lane->url, "%.*s/v1/%s", STR_ARG(endpoint), signal_names[signal]);
    return timer_new(o->loop, on_again, lane, &lane->again);
}

static struct err open(struct otlp *o, const struct otlp_options *options) {
    const struct http_client_options http = {
        .max_in_flight = OTLP_SIGNALS, .max_waiting = OTLP_SIGNALS, .user_agent = "penstock/" PENSTOCK_VERSION};
    struct str endpoint = str_c(options->endpoint);
    while (endpoint.n > 0 && endpoint.p[endpoint.n - 1] == '/') {
        endpoint.n--;
    }
    if (endpoint.n > URL_BYTES / 2 || (!str_starts(endpoint, STR("http://")) && !str_starts(endpoint, STR("https://")))) {
        return err_make(ERR_INVALID, "otlp.endpoint must be a URL like http://127.0.0.1:4318");
    }
    for (size_t i = 0; i < OTLP_SIGNALS; i++) {
        TRY(open_lane(o, (enum otlp_signal)i, endpoint, &options->resource));
    }
    TRY(read_headers(o, str_c(options->headers)));
    TRY(http_client_new(o->loop, &http, &o->http));
    return timer_new(o->loop, on_tick, o, &o->tick);
}

static void otlp_free(struct otlp *o) {
    for (size_t i = 0; i < OTLP_SIGNALS; i++) {
        timer_free(o->lanes[i].again);
        pile_free(&o->lanes[i].pile);
        buf_free(&o->lanes[i].head);
        buf_free(&o->lanes[i].flying);
    }
    timer_free(o->tick);
    arena_free(&o->arena);
    buf_free(&o->record);
    free(o);
}

struct err otlp_new(struct loop *l, const struct otlp_options *options, struct otlp **out) {
    struct otlp *o = calloc(1, sizeof *o);
    if (o == NULL) {
        return err_make(ERR_NOMEM, "telemetry");
    }
    o->loop = l;
    o->began = loop_now(l);
    arena_init(&o->arena, HEAD_BYTES, RECORD_BYTES);
    buf_init(&o->record, RECORD_BYTES);
    struct err e = open(o, options);
    if (err_is_set(e)) {
        http_client_close(o->http);
        otlp_free(o);
        return e;
    }
    timer_start_every(o->tick, TICK_MS);
    span_setup(options->sample_per_million, on_span, o);
    log_also(on_log, o);
    *out = o;
    return OK;
}

static void on_flush_over(void *arg) {
    struct otlp *o = arg;
    loop_stop(o->loop);
}

/* What waits to be sent again is tried once more, now. */
static void flush(struct otlp *o) {
    struct timer *bound;
    if (err_is_set(timer_new(o->loop, on_flush_over, o, &bound))) {
        return;
    }
    timer_stop(o->tick);
    add_metrics(o);
    for (size_t i = 0; i < OTLP_SIGNALS; i++) {
        struct lane *lane = &o->lanes[i];
        if (timer_is_active(lane->again)) {
            timer_stop(lane->again);
            post(lane);
        }
    }
    send_all(o);
    if (is_any_flying(o)) {
        timer_start(bound, FLUSH_MS);
        o->flushing = true;
        loop_run(o->loop);
        o->flushing = false;
    }
    timer_free(bound);
}

void otlp_close(struct otlp *o) {
    if (o == NULL) {
        return;
    }
    span_setup(0, NULL, NULL);
    log_also(NULL, NULL);
    o->closing = true;
    flush(o);
    http_client_close(o->http); /* what is on its way is answered, and dropped */
    otlp_free(o);
}
