/* One HTTP call: what libcurl is told, and what its result means.
 *
 * libcurl sends a request again by itself when a kept connection dies before the first byte of the answer, a POST too. For a
 * charge that is fatal. A body that comes from a read callback without a seek callback cannot be sent again, so the second
 * attempt fails (CURLE_SEND_FAIL_REWIND) once a byte of the body has left; a POST without a body takes a fresh connection. */
#include "http_call.h"
#include "http_vet.h"

#include <base/buf.h>
#include <base/limits.h>

#include <stdlib.h>
#include <sys/socket.h>

enum { RETRY_AFTER_BYTES = 64 };

struct request {
    struct http_client *client;
    struct lane *lane;
    CURL *easy;
    CURLU *url;
    struct curl_slist *headers;
    char *body;
    size_t body_n, body_sent;
    struct buf answer;
    size_t answer_head_bytes;
    char retry_after[RETRY_AFTER_BYTES];
    const char *method;     /* as the caller gave it, static */
    bool is_secret;         /* what stands behind the host in the url: users name such urls, and some let in whoever knows them */
    bool is_public;         /* https on a public port: any allowed address will do */
    bool cut;               /* the answer passed max_answer_bytes */
    size_t opened, refused; /* sockets, of a vetted call */
    char why[CURL_ERROR_SIZE];
};

static size_t on_body_wanted(char *to, size_t size, size_t n, void *arg) {
    struct request *r = arg;
    size_t take = r->body_n - r->body_sent < size * n ? r->body_n - r->body_sent : size * n;
    if (take > 0) {
        memcpy(to, r->body + r->body_sent, take);
    }
    r->body_sent += take;
    return take;
}

/* Returning less than n ends the transfer with CURLE_WRITE_ERROR. */
static size_t on_answer(char *data, size_t size, size_t n, void *arg) {
    struct request *r = arg;
    size_t room = r->answer.max - r->answer.n;
    size_t take = size * n < room ? size * n : room;
    buf_add(&r->answer, str_of(data, take));
    if (err_is_set(buf_status(&r->answer))) {
        return 0;
    }
    r->cut = take < size * n;
    return take;
}

static size_t on_answer_header(char *data, size_t size, size_t n, void *arg) {
    struct request *r = arg;
    struct str name;
    struct str line = {data, size * n};
    r->answer_head_bytes += line.n;
    if (r->answer_head_bytes > LIMIT_HTTP_HEAD_BYTES) {
        return 0;
    }
    while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r')) {
        line.n--;
    }
    if (str_cut(&line, ':', &name) && str_eq_nocase(name, STR("retry-after"))) {
        (void)str_copy_c(str_trim(line), r->retry_after, sizeof r->retry_after);
    }
    return size * n;
}

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a) {
    struct request *r = arg;
    bool exempt = http_cidr_has(r->client->allow_cidr, &a->addr);
    if (purpose != CURLSOCKTYPE_IPCXN || (!exempt && !(r->is_public && http_address_allowed(&a->addr, NULL)))) {
        r->refused++;
        return CURL_SOCKET_BAD;
    }
    r->opened++;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static struct err set_url(struct request *r, const struct http_spec *spec) {
    TRY(http_url_parse(spec->url, &r->url));
    return spec->vetted ? http_vet_url(r->url, r->client->allow_cidr[0] != '\0', &r->is_public) : OK;
}

static bool is_token(struct str s) {
    static const char allowed[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < s.n; i++) {
        if (memchr(allowed, s.p[i], sizeof allowed - 1) == NULL) {
            return false;
        }
    }
    return s.n > 0;
}

static bool is_one_line(struct str s) {
    return s.n == 0 || (memchr(s.p, '\r', s.n) == NULL && memchr(s.p, '\n', s.n) == NULL && memchr(s.p, '\0', s.n) == NULL);
}

static struct err add_line(struct request *r, const char *line) {
    struct curl_slist *longer = line != NULL ? curl_slist_append(r->headers, line) : NULL;
    if (longer == NULL) {
        return err_make(ERR_NOMEM, "http headers");
    }
    r->headers = longer;
    return OK;
}

static struct err add_header(struct request *r, const struct http_header *h) {
    struct buf line;
    if (!is_token(h->name) || !is_one_line(h->value)) {
        return err_make(ERR_INVALID, "header %.*s: not a token, or a value of more than one line", STR_ARG(h->name));
    }
    buf_init(&line, LIMIT_HTTP_HEAD_BYTES);
    buf_add(&line, h->name);
    /* libcurl takes "Name:" for the wish to leave the header out, and "Name;" for an empty one. */
    buf_add_c(&line, h->value.n > 0 ? ": " : ";");
    buf_add(&line, h->value);
    buf_add_char(&line, '\0');
    struct err e = buf_status(&line);
    if (!err_is_set(e)) {
        e = add_line(r, line.p);
    }
    buf_free(&line);
    return e;
}

static struct err add_traceparent(struct request *r, const struct span_mark *mark, struct str given) {
    char own[TRACEPARENT_BYTES];
    if (given.p == NULL) {
        return OK;
    }
    if (mark->scope != 0) {
        trace_text(&mark->trace, own);
        given = str_c(own);
    }
    return add_header(r, &(struct http_header){STR("traceparent"), given});
}

static struct err set_headers(struct request *r, const struct span_mark *mark, const struct http_spec *spec) {
    bool has_type = false;
    for (size_t i = 0; i < spec->headers_n; i++) {
        TRY(add_header(r, &spec->headers[i]));
        has_type |= str_eq_nocase(spec->headers[i].name, STR("content-type"));
    }
    if (!has_type) {
        TRY(add_line(r, "Content-Type:")); /* libcurl would call it a form */
    }
    TRY(add_traceparent(r, mark, spec->traceparent));
    return add_line(r, "Expect:");
}

static struct err set_body(struct request *r, const struct http_spec *spec) {
    if (spec->body.n > 0) {
        r->body = malloc(spec->body.n);
        if (r->body == NULL) {
            return err_make(ERR_NOMEM, "http body");
        }
        memcpy(r->body, spec->body.p, spec->body.n);
        r->body_n = spec->body.n;
    }
    return OK;
}

static bool set_method(struct request *r, const char *method) {
    if (strcmp(method, "GET") == 0) {
        return curl_easy_setopt(r->easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    }
    return curl_easy_setopt(r->easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_n) == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_READFUNCTION, on_body_wanted) == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_READDATA, r) == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_FRESH_CONNECT, (long)(r->body_n == 0)) == CURLE_OK;
}

static bool set_answer(struct request *r) {
    return curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r) == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_HEADERFUNCTION, on_answer_header) == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_HEADERDATA, r) == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->why) == CURLE_OK;
}

static bool set_rules(struct request *r, bool vetted) {
    const char *protocols = vetted && r->client->allow_cidr[0] == '\0' ? "https" : "http,https";
    if (vetted && (curl_easy_setopt(r->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket) != CURLE_OK ||
                   curl_easy_setopt(r->easy, CURLOPT_OPENSOCKETDATA, r) != CURLE_OK)) {
        return false;
    }
    return curl_easy_setopt(r->easy, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(r->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
}

static struct err set_options(struct http_call *call, const struct http_spec *spec) {
    struct request *r = call->part;
    r->easy = curl_easy_init();
    bool good = r->easy != NULL && curl_easy_setopt(r->easy, CURLOPT_CURLU, r->url) == CURLE_OK &&
                curl_easy_setopt(r->easy, CURLOPT_PRIVATE, call) == CURLE_OK &&
                curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
                /* else giving up a call whose name is being resolved waits for getaddrinfo */
                curl_easy_setopt(r->easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
                curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers) == CURLE_OK &&
                curl_easy_setopt(r->easy, CURLOPT_USERAGENT, r->client->user_agent) == CURLE_OK && set_method(r, spec->method) &&
                set_answer(r) && set_rules(r, spec->vetted);
    return good ? OK : err_make(ERR_NOMEM, "http call");
}

static struct err prepare(struct http_call *call, const struct http_spec *spec) {
    struct request *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return err_make(ERR_NOMEM, "http call");
    }
    call->part = r;
    r->client = call->client;
    r->method = spec->method;
    r->is_secret = spec->vetted;
    r->lane = spec->vetted ? call->client->vetted : call->client->plain;
    buf_init(&r->answer, spec->max_answer_bytes);
    if (strcmp(spec->method, "POST") != 0 && (strcmp(spec->method, "GET") != 0 || spec->body.n > 0)) {
        return err_make(ERR_INVALID, "neither POST nor GET without a body");
    }
    TRY(set_url(r, spec));
    TRY(set_headers(r, &call->mark, spec));
    TRY(set_body(r, spec));
    return set_options(call, spec);
}

static struct err request_start(struct http_call *call) {
    struct request *r = call->part;
    return lane_add(r->lane, r->easy);
}

static bool may_have_arrived(const struct request *r) {
    curl_off_t body = 0;
    long head = 0;
    (void)curl_easy_getinfo(r->easy, CURLINFO_REQUEST_SIZE, &head);
    (void)curl_easy_getinfo(r->easy, CURLINFO_SIZE_UPLOAD_T, &body);
    return head > 0 || body > 0;
}

static struct err request_stop(struct http_call *call, struct err why) {
    struct request *r = call->part;
    lane_remove(r->lane, r->easy);
    return may_have_arrived(r) ? err_make(ERR_NET_UNKNOWN, "given up after the request was sent") : why;
}

static struct err judge(const struct request *r, CURLcode rc) {
    const char *why = r->why[0] != '\0' ? r->why : curl_easy_strerror(rc);
    if (rc == CURLE_OK || (rc == CURLE_WRITE_ERROR && r->cut)) {
        return OK;
    }
    if (may_have_arrived(r)) {
        return err_make(ERR_NET_UNKNOWN, "%s", why);
    }
    if (r->refused > 0 && r->opened == 0) {
        return err_make(ERR_NET_ADDRESS, "the rules for outside addresses refuse this address, scheme or port");
    }
    if (rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL) {
        return err_make(ERR_INVALID, "url: %s", why);
    }
    return err_make(rc == CURLE_OUT_OF_MEMORY ? ERR_NOMEM : ERR_NET_NOT_SENT, "%s", why);
}

void http_send_ended(struct http_call *call, CURLcode rc) {
    struct request *r = call->part;
    struct err e = judge(r, rc);
    lane_remove(r->lane, r->easy);
    http_call_finish(call, e);
}

/* The part in the arena; p NULL: there is none. */
static struct str url_part(const struct request *r, CURLUPart part, struct arena *a) {
    char *text = NULL;
    if (curl_url_get(r->url, part, &text, part == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0) != CURLUE_OK) {
        return STR_NONE;
    }
    struct str kept = arena_str(a, str_c(text));
    curl_free(text);
    return kept;
}

static struct str url_full(const struct request *r, struct arena *a, struct str host, struct str port) {
    struct str scheme = url_part(r, CURLUPART_SCHEME, a);
    struct str path = r->is_secret ? STR("/REDACTED") : url_part(r, CURLUPART_PATH, a);
    return arena_printf(a, "%.*s://%.*s:%.*s%.*s", STR_ARG(scheme), STR_ARG(host), STR_ARG(port), STR_ARG(path));
}

static void end_span(const struct http_call *call, long status) {
    struct span_scope *scope = span_mark_scope(&call->mark);
    const struct request *r = call->part;
    if (scope == NULL || r == NULL) {
        return;
    }
    struct arena *a = scope->arena;
    struct str host = url_part(r, CURLUPART_HOST, a), port = url_part(r, CURLUPART_PORT, a);
    struct str code = arena_printf(a, "%ld", status);
    int64_t number = 0;
    (void)str_to_i64(port, &number);
    struct span s = {
        .kind = SPAN_CLIENT,
        .name = str_c(r->method),
        .error = err_is_set(call->err) ? err_name(call->err.code)
                 : status >= 400       ? code.p
                                       : NULL,
        .message = err_is_set(call->err) ? arena_str(a, str_c(call->err.detail)) : STR(""),
        SPAN_ATTRS(SA_C("http.request.method", r->method), SA_STR("server.address", host), SA_INT("server.port", number),
                   SA_STR("url.full", url_full(r, a, host, port)), SA_INT("http.response.status_code", status)),
    };
    s.attrs_n -= status == 0; /* there was no answer */
    span_end(&call->mark, &s);
}

static void request_deliver(struct http_call *call) {
    struct request *r = call->part;
    long status = 0;
    if (err_is_set(call->err)) {
        end_span(call, 0);
        call->cb.http(call->arg, call->err, NULL);
        return;
    }
    (void)curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    end_span(call, status);
    struct http_reply reply = {.status = (int)status, .body = buf_str(&r->answer)};
    if (r->retry_after[0] != '\0') {
        reply.retry_after = str_c(r->retry_after);
    }
    call->cb.http(call->arg, OK, &reply);
}

static void request_free(struct http_call *call) {
    struct request *r = call->part;
    if (r != NULL) {
        curl_easy_cleanup(r->easy);
        curl_url_cleanup(r->url);
        curl_slist_free_all(r->headers);
        buf_free(&r->answer);
        free(r->body);
        free(r);
    }
}

static const struct call_kind kind_request = {"an answer by HTTP", request_start, request_stop, request_deliver, request_free};

struct http_call *http_send(struct http_client *c, const struct http_spec *spec, http_cb *cb, void *arg) {
    struct http_call *call = http_call_new(c, &kind_request, arg);
    if (call != NULL) {
        call->cb.http = cb;
        if (!err_is_set(call->err)) {
            http_call_refuse(call, prepare(call, spec));
        }
        http_call_submit(call, spec->deadline_ms);
    }
    return call;
}
