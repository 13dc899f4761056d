/* penstock-sim --listen 127.0.0.1:8090 --book FILE --secret-file FILE [--lateness-ms 0]; the secret is the file's first line. */
#include "sim.h"

#include <base/conf.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "order.h"

enum { EXIT_USAGE = 2, MAX_CONNECTIONS = 4096, HEADER_MS = 5000, IDLE_MS = 60000, BODY_BYTES_PER_S = 1024 };

static const char *const count_names[] = {"authorize", "capture", "void",    "refund",  "declined", "too_late",
                                          "dropped",   "errors",  "invalid", "lookups", "hooks"};
_Static_assert(sizeof count_names / sizeof count_names[0] == COUNT_MAX, "one name per count");

void sim_die(const char *what, struct err e) {
    (void)fprintf(stderr, "penstock-sim: %s: %s: %s\n", what, err_name(e.code), e.detail);
    exit(EXIT_FAILURE);
}

void sim_answer_buf(struct http_request *req, int status, struct buf *body) {
    bool whole = !err_is_set(buf_status(body));
    http_respond(req, &(struct http_answer){.status = whole ? status : 500,
                                            .content_type = "application/json",
                                            .body = whole ? buf_str(body) : STR("{\"outcome\":\"error\"}")});
    buf_free(body);
}

void sim_answer(struct http_request *req, int status, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    http_respond(req, &(struct http_answer){.status = status, .content_type = "application/json", .body = str_c(text)});
}

static void authorize(struct sim *s, struct http_request *req) { provider_call(s, req, BOOK_AUTHORIZE); }
static void capture(struct sim *s, struct http_request *req) { provider_call(s, req, BOOK_CAPTURE); }
static void void_(struct sim *s, struct http_request *req) { provider_call(s, req, BOOK_VOID); }
static void refund(struct sim *s, struct http_request *req) { provider_call(s, req, BOOK_REFUND); }

static void faults_get(struct sim *s, struct http_request *req) {
    struct buf body;
    buf_init(&body, LIMIT_HTTP_BODY_BYTES);
    faults_write(&s->faults, &body);
    sim_answer_buf(req, 200, &body);
}

static void faults_post(struct sim *s, struct http_request *req) {
    json_t *script = NULL;
    struct err e = json_read(req->body, &script);
    if (!err_is_set(e)) {
        e = faults_load(&s->faults, script);
    }
    json_decref(script);
    if (err_is_set(e)) {
        (void)fprintf(stderr, "penstock-sim: faults: %s\n", e.detail);
        sim_answer(req, 400, "{\"outcome\":\"invalid\"}");
        return;
    }
    faults_get(s, req);
}

static void stats(struct sim *s, struct http_request *req) {
    struct buf body;
    buf_init(&body, LIMIT_HTTP_BODY_BYTES);
    for (int i = 0; i < COUNT_MAX; i++) {
        buf_addf(&body, "%c\"%s\":%lld", i == 0 ? '{' : ',', count_names[i], (long long)s->count[i]);
    }
    buf_add_char(&body, '}');
    sim_answer_buf(req, 200, &body);
}

static const struct route {
    const char *method, *path;
    bool prefix;
    void (*handle)(struct sim *s, struct http_request *req);
} routes[] = {
    {"POST", "/v1/authorize", false, authorize},
    {"POST", "/v1/capture", false, capture},
    {"POST", "/v1/void", false, void_},
    {"POST", "/v1/refund", false, refund},
    {"GET", "/v1/lookup", false, provider_lookup},
    {"GET", "/v1/faults", false, faults_get},
    {"POST", "/v1/faults", false, faults_post},
    {"POST", "/v1/hook-faults", false, hooks_script},
    {"GET", "/v1/stats", false, stats},
    {"POST", "/hook/", true, hooks_receive},
};

static void on_request(void *arg, struct http_request *req) {
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const struct route *r = &routes[i];
        if (str_is(req->method, r->method) && (r->prefix ? str_starts(req->path, str_c(r->path)) : str_is(req->path, r->path))) {
            r->handle(arg, req);
            return;
        }
    }
    sim_answer(req, 404, "{\"outcome\":\"invalid\",\"detail\":\"no such route\"}");
}

static void on_bad(void *arg, int status, const char *reason, struct buf *body) {
    struct sim *s = arg;
    (void)status;
    s->count[COUNT_INVALID]++;
    buf_add_c(body, "{\"outcome\":\"invalid\",\"detail\":");
    json_add_string(body, str_c(reason));
    buf_add_char(body, '}');
}

struct options {
    const char *listen, *book, *secret_file;
    int64_t lateness_ms;
};

static bool options_read(int argc, char **argv, struct options *out) {
    static const struct option known[] = {{"listen", required_argument, NULL, 'l'},
                                          {"book", required_argument, NULL, 'b'},
                                          {"secret-file", required_argument, NULL, 's'},
                                          {"lateness-ms", required_argument, NULL, 'm'},
                                          {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c == 'l') {
            out->listen = optarg;
        } else if (c == 'b') {
            out->book = optarg;
        } else if (c == 's') {
            out->secret_file = optarg;
        } else if (c != 'm' || !str_to_i64(str_c(optarg), &out->lateness_ms) || out->lateness_ms < 0) {
            return false;
        }
    }
    return optind == argc && out->listen != NULL && out->book != NULL && out->secret_file != NULL && out->secret_file[0] != '\0';
}

static struct err start(struct sim *s, const struct options *o) {
    struct http_server *server;
    char *secret;
    const struct http_server_options server_options = {.listen = o->listen,
                                                       .max_connections = MAX_CONNECTIONS,
                                                       .max_body_bytes = LIMIT_HTTP_BODY_BYTES,
                                                       .header_ms = HEADER_MS,
                                                       .idle_ms = IDLE_MS,
                                                       .body_bytes_per_s = BODY_BYTES_PER_S,
                                                       .on_request = on_request,
                                                       .on_bad = on_bad,
                                                       .arg = s};
    json_setup();
    TAILQ_INIT(&s->due);
    s->commit = (struct turn_end){.run = order_commit, .arg = s};
    TRY(conf_secret(o->secret_file, &secret));
    s->secret = str_c(secret);
    s->lateness_ms = o->lateness_ms;
    TRY(book_open(o->book, &s->book));
    TRY(hooks_open(s, o->book));
    TRY(loop_new(&s->loop));
    TRY(http_server_new(s->loop, &server_options, &server));
    (void)printf("penstock-sim listening on %d, book %s\n", http_server_port(server), o->book);
    (void)fflush(stdout);
    return OK;
}

int main(int argc, char **argv) {
    static struct sim s;
    struct options o = {0};
    if (!options_read(argc, argv, &o)) {
        (void)fprintf(stderr, "usage: penstock-sim --listen ADDRESS:PORT --book FILE --secret-file FILE [--lateness-ms MS]\n");
        return EXIT_USAGE;
    }
    struct err e = start(&s, &o);
    if (err_is_set(e)) {
        sim_die("start", e);
    }
    loop_run(s.loop); /* until a signal: the book needs no farewell */
    return EXIT_SUCCESS;
}
