#include "client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "answer.h"
#include "cli.h"
#include "text.h"

enum { ANSWER_MAX_BYTES = 64 << 20, URL_MAX_BYTES = 8192, HEADER_MAX_BYTES = 1024, SECRET_MAX = 512, STREAM_SILENCE_S = 60 };

struct exchange {
    CURL *curl;
    const struct client_request *request;
    struct client_answer *answer;
    bool enough; /* of a stream */
};

static bool is_stream(const struct client_request *r, int64_t status) { return r->on_part != NULL && status == 200; }

static size_t on_body(char *p, size_t size, size_t n, void *arg) {
    struct exchange *x = arg;
    struct str part = str_of(p, size * n);
    long status = 0;
    (void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    if (is_stream(x->request, status)) {
        x->enough = !x->request->on_part(x->request->arg, part);
        return x->enough ? 0 : part.n;
    }
    buf_add(&x->answer->body, part);
    return err_is_set(buf_status(&x->answer->body)) ? 0 : part.n;
}

/* ---- where and who ---- */

bool client_is_url(const char *url) {
    char *scheme = NULL;
    CURLU *u = curl_url();
    bool ok = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_url_cleanup(u);
    return ok;
}

static bool is_loopback(const char *host) {
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 || strncmp(host, "127.", 4) == 0;
}

bool client_is_local(const char *url) {
    char *host = NULL;
    CURLU *u = curl_url();
    bool local = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                 curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && is_loopback(host);
    curl_free(host);
    curl_url_cleanup(u);
    return local;
}

/* A proxy could read the key on its way to http://, and its loopback is not ours. */
static bool needs_no_proxy(const char *url) {
    char *scheme = NULL, *host = NULL;
    CURLU *u = curl_url();
    bool direct = u == NULL || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
                  curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK || strcmp(scheme, "https") != 0 ||
                  curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK || is_loopback(host);
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return direct;
}

static void add_escaped(struct buf *b, const char *s) {
    char *text = curl_easy_escape(NULL, s, 0);
    if (text == NULL) {
        b->failed = ERR_NOMEM;
        return;
    }
    buf_add_c(b, text);
    curl_free(text);
}

static void add_url(struct buf *b, const struct options *o, const struct client_request *r) {
    struct str base = str_c(o->url);
    char separator = '?';
    while (base.n > 0 && base.p[base.n - 1] == '/') {
        base.n--;
    }
    buf_add(b, base);
    for (size_t i = 0; i < 3 && r->path[i] != NULL; i++) {
        if (i == 1) {
            add_escaped(b, r->path[i]);
        } else {
            buf_add_c(b, r->path[i]);
        }
    }
    for (size_t i = 0; i < CLIENT_QUERY_MAX; i++) {
        if (r->query[i].value != NULL) {
            buf_addf(b, "%c%s=", separator, r->query[i].name);
            add_escaped(b, r->query[i].value);
            separator = '&';
        }
    }
    buf_add_char(b, '\0');
}

static bool add_header(struct curl_slist **list, const char *name, const char *value) {
    char line[HEADER_MAX_BYTES];
    int n = snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = n > 0 && (size_t)n < sizeof line ? curl_slist_append(*list, line) : NULL;
    *list = longer != NULL ? longer : *list;
    return longer != NULL;
}

static bool make_headers(const struct options *o, const struct client_request *r, struct curl_slist **list) {
    char bearer[SECRET_MAX + 16];
    bool ok = add_header(list, "Accept", r->on_part != NULL ? "text/event-stream" : "application/json");
    if (r->last_event != NULL) {
        ok = ok && add_header(list, "Last-Event-ID", r->last_event);
    }
    if (o->key != NULL && !r->anonymous) {
        (void)snprintf(bearer, sizeof bearer, "Bearer %s", o->key);
        ok = ok && add_header(list, "Authorization", bearer);
    }
    if (r->body.p != NULL) {
        ok = ok && add_header(list, "Content-Type", r->lines ? "application/x-ndjson" : "application/json");
    }
    for (size_t i = 0; i < CLIENT_HEADERS_MAX && r->headers[i].name != NULL; i++) {
        ok = ok && add_header(list, r->headers[i].name, r->headers[i].value);
    }
    if (r->key != NULL) {
        ok = ok && add_header(list, "Idempotency-Key", r->key);
    }
    return ok;
}

bool client_is_key(const char *text) { return text_is_plain(text, SECRET_MAX); }

/* What the environment or the profile says wrong. */
static bool check_settings(const struct options *o, struct buf *why) {
    if (!client_is_url(o->url)) {
        buf_addf(why, "%s \"%.200s\" is no http:// or https:// address", o->url_from, o->url);
        return false;
    }
    if (o->key != NULL && !client_is_key(o->key)) {
        buf_addf(why, "%s is no API key, pen_<id>_<secret>; penstock key create makes one", o->key_from);
        return false;
    }
    return true;
}

/* ---- the exchange ---- */

static int code_of(CURLcode rc) {
    static const struct {
        CURLcode rc;
        int code;
    } rows[] = {
        {CURLE_COULDNT_CONNECT, EXIT_UNAVAILABLE},
        {CURLE_COULDNT_RESOLVE_HOST, EXIT_UNAVAILABLE},
        {CURLE_COULDNT_RESOLVE_PROXY, EXIT_UNAVAILABLE},
        {CURLE_URL_MALFORMAT, EXIT_CONFIG},
        {CURLE_UNSUPPORTED_PROTOCOL, EXIT_CONFIG},
        {CURLE_PEER_FAILED_VERIFICATION, EXIT_CONFIG},
        {CURLE_OUT_OF_MEMORY, EXIT_INTERNAL},
        {CURLE_OPERATION_TIMEDOUT, EXIT_AGAIN},
        {CURLE_GOT_NOTHING, EXIT_AGAIN},
        {CURLE_PARTIAL_FILE, EXIT_AGAIN},
        {CURLE_RECV_ERROR, EXIT_AGAIN},
        {CURLE_SEND_ERROR, EXIT_AGAIN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].rc == rc) {
            return rows[i].code;
        }
    }
    return EXIT_PROTOCOL;
}

/* Out of memory is all that can go wrong. */
static CURLcode configure(struct exchange *x, const char *url, const struct curl_slist *headers, char *text) {
    CURL *curl = x->curl;
    const struct client_request *r = x->request;
    unsigned rc = curl_easy_setopt(curl, CURLOPT_URL, url);
    rc |= curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
    rc |= curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    rc |= curl_easy_setopt(curl, CURLOPT_USERAGENT, "penstock-cli/" PENSTOCK_VERSION);
    rc |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    rc |= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(curl, r->on_part != NULL ? CURLOPT_CONNECTTIMEOUT_MS : CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    if (r->on_part != NULL) { /* every 15 s there is a comment at least */
        rc |= curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        rc |= curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STREAM_SILENCE_S);
    }
    rc |= curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
    rc |= curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    rc |= curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
    if (needs_no_proxy(url)) {
        rc |= curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    }
    if (r->body.p != NULL) {
        rc |= curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
        rc |= curl_easy_setopt(curl, CURLOPT_POSTFIELDS, r->body.p);
    }
    return rc == CURLE_OK ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

static CURLcode result_of(struct exchange *x, CURLcode rc) {
    long status = 0;
    rc = x->enough ? CURLE_OK : rc;
    rc = rc != CURLE_OK ? rc : curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    x->answer->status = (int)status;
    return rc;
}

static CURLcode exchange(const char *url, const struct curl_slist *headers, const struct client_request *r, char *text,
                         struct client_answer *out) {
    struct exchange x = {.curl = curl_easy_init(), .request = r, .answer = out};
    if (x.curl == NULL) {
        return CURLE_OUT_OF_MEMORY;
    }
    CURLcode rc = configure(&x, url, headers, text);
    rc = result_of(&x, rc != CURLE_OK ? rc : curl_easy_perform(x.curl));
    curl_easy_cleanup(x.curl);
    return rc;
}

static int judge(const struct options *o, const struct client_request *r, CURLcode rc, const char *text,
                 struct client_answer *out, struct buf *why) {
    if (rc != CURLE_OK) {
        buf_addf(why, "no answer from %.200s: %s", o->url, text[0] != '\0' ? text : curl_easy_strerror(rc));
        buf_add_c(why, code_of(rc) == EXIT_UNAVAILABLE ? "; is penstock api running there? PENSTOCK_URL says where it is" : "");
        return code_of(rc);
    }
    if (is_stream(r, out->status) || out->status == 204 || (r->lines && out->status == 200)) {
        return EXIT_SUCCESS;
    }
    if (err_is_set(json_read(buf_str(&out->body), &out->json))) {
        out->json = NULL;
    }
    return answer_judge(out->status, out->json, why);
}

static int perform(const struct options *o, const struct client_request *r, struct client_answer *out, struct buf *why) {
    char text[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    struct buf url;
    CURLcode rc = CURLE_OUT_OF_MEMORY;
    buf_init(&url, URL_MAX_BYTES);
    add_url(&url, o, r);
    if (!err_is_set(buf_status(&url)) && make_headers(o, r, &headers)) {
        rc = exchange(url.p, headers, r, text, out);
    }
    curl_slist_free_all(headers);
    buf_free(&url);
    return judge(o, r, rc, text, out, why);
}

int client_ask(const struct options *o, const struct client_request *r, struct client_answer *out, struct buf *why) {
    *out = (struct client_answer){0};
    buf_init(&out->body, ANSWER_MAX_BYTES);
    return check_settings(o, why) ? perform(o, r, out, why) : EXIT_CONFIG;
}

void client_answer_free(struct client_answer *a) {
    json_decref(a->json);
    a->json = NULL;
    buf_free(&a->body);
}

int client_call(const struct options *o, const struct client_request *r, struct client_answer *out) {
    struct buf why;
    buf_init(&why, CLI_LINE_BYTES);
    int code = client_ask(o, r, out, &why);
    if (code != EXIT_SUCCESS) {
        cli_complain(o, &why);
    }
    buf_free(&why);
    return code;
}

/* ---- a stream beside other work ---- */

struct client_stream {
    const struct options *o;
    struct client_request request;
    struct client_answer answer;
    struct exchange exchange;
    CURLM *multi;
    struct curl_slist *headers;
    char text[CURL_ERROR_SIZE];
};

static bool begin(struct client_stream *s) {
    struct exchange *x = &s->exchange;
    struct buf url;
    buf_init(&url, URL_MAX_BYTES);
    add_url(&url, s->o, &s->request);
    *x = (struct exchange){.curl = curl_easy_init(), .request = &s->request, .answer = &s->answer};
    s->multi = curl_multi_init();
    bool ok = !err_is_set(buf_status(&url)) && x->curl != NULL && s->multi != NULL &&
              make_headers(s->o, &s->request, &s->headers) && configure(x, url.p, s->headers, s->text) == CURLE_OK &&
              curl_multi_add_handle(s->multi, x->curl) == CURLM_OK;
    buf_free(&url);
    return ok;
}

struct client_stream *client_stream_open(const struct options *o, const struct client_request *r, int *out_code,
                                         struct buf *why) {
    if (!check_settings(o, why)) {
        *out_code = EXIT_CONFIG;
        return NULL;
    }
    struct client_stream *s = calloc(1, sizeof *s);
    if (s != NULL) {
        s->o = o;
        s->request = *r;
        buf_init(&s->answer.body, ANSWER_MAX_BYTES);
    }
    if (s == NULL || !begin(s)) {
        client_stream_close(s);
        buf_add_c(why, "out of memory");
        *out_code = EXIT_INTERNAL;
        return NULL;
    }
    return s;
}

bool client_stream_wait(struct client_stream *s, int fd, int64_t ms, int *out_code, struct buf *why) {
    struct curl_waitfd other = {.fd = fd, .events = CURL_WAIT_POLLIN};
    int running = 0, left;
    (void)curl_multi_perform(s->multi, &running);
    if (running > 0) {
        (void)curl_multi_poll(s->multi, &other, fd >= 0, ms > 0 ? (int)ms : 0, NULL);
        (void)curl_multi_perform(s->multi, &running);
    }
    const CURLMsg *m = curl_multi_info_read(s->multi, &left);
    if (m == NULL) {
        return true;
    }
    *out_code = judge(s->o, &s->request, result_of(&s->exchange, m->data.result), s->text, &s->answer, why);
    return false;
}

void client_stream_close(struct client_stream *s) {
    if (s != NULL) {
        if (s->multi != NULL && s->exchange.curl != NULL) {
            (void)curl_multi_remove_handle(s->multi, s->exchange.curl);
        }
        curl_easy_cleanup(s->exchange.curl);
        (void)curl_multi_cleanup(s->multi);
        curl_slist_free_all(s->headers);
        client_answer_free(&s->answer);
        free(s);
    }
}
