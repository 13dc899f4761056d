/* Strict reading of a request head: what llhttp 8.1 leaves open (folded lines, empty names, Host exactly once, transfer
 * codings on HTTP/1.0 or beside chunked, an absolute target that names another host than Host), and once more what request
 * smuggling lives on: no CR but in CRLF (CVE-2023-30589), one Content-Length at most, never both framings. */
#include "http_parse.h"

#include <base/json.h>
#include <base/limits.h>

static const struct http_verdict fine = {0, NULL};

static struct http_verdict bad(const char *reason) { return (struct http_verdict){400, reason}; }

/* The next line without its CRLF. */
static bool take_line(struct str *rest, struct str *out) {
    struct str line;
    if (!str_cut(rest, '\n', &line) || line.n == 0 || line.p[line.n - 1] != '\r') {
        return false;
    }
    line.n--;
    if (memchr(line.p, '\r', line.n) != NULL) {
        return false;
    }
    *out = line;
    return true;
}

static size_t count_lines(struct str s) {
    size_t n = 0;
    struct str line;
    while (str_cut(&s, '\n', &line)) {
        n++;
    }
    return n;
}

static bool starts_nocase(struct str s, struct str prefix) {
    return s.n >= prefix.n && str_eq_nocase(str_of(s.p, prefix.n), prefix);
}

/* Cuts scheme and authority off an absolute target; what is left starts with '/' or '?', or is empty. */
static bool take_authority(struct str *target, struct str *out_authority) {
    struct str t = *target;
    struct str scheme = starts_nocase(t, STR("http://")) ? STR("http://") : STR("https://");
    if (!starts_nocase(t, scheme)) {
        return false;
    }
    t = str_of(t.p + scheme.n, t.n - scheme.n);
    size_t n = 0;
    while (n < t.n && t.p[n] != '/' && t.p[n] != '?') {
        n++;
    }
    if (n == 0) {
        return false;
    }
    *out_authority = str_of(t.p, n);
    *target = str_of(t.p + n, t.n - n);
    return true;
}

/* RFC 9112 3.2: origin form, absolute form, "*" for OPTIONS, authority form for CONNECT. */
static struct http_verdict split_target(struct http_request *req, struct str *out_authority) {
    struct str t = req->target;
    if (t.n == 0 || memchr(t.p, '#', t.n) != NULL) {
        return bad("the request target is not valid");
    }
    if (str_is(req->method, "CONNECT") || (str_is(t, "*") && str_is(req->method, "OPTIONS"))) {
        req->path = t;
        return fine;
    }
    if (t.p[0] != '/' && !take_authority(&t, out_authority)) {
        return bad("the request target must be a path or an http URL");
    }
    const char *mark = t.n > 0 ? memchr(t.p, '?', t.n) : NULL;
    size_t path_n = mark != NULL ? (size_t)(mark - t.p) : t.n;
    req->path = path_n > 0 ? str_of(t.p, path_n) : STR("/");
    req->query = mark != NULL ? str_of(mark + 1, t.n - path_n - 1) : STR_NONE;
    return fine;
}

static struct http_verdict read_request_line(struct str line, struct http_request *req, struct http_framing *f) {
    if (!str_cut(&line, ' ', &req->method) || !str_cut(&line, ' ', &req->target)) {
        return bad("the request line is not valid");
    }
    f->version_1_0 = str_is(line, "HTTP/1.0");
    if (!f->version_1_0 && !str_is(line, "HTTP/1.1")) {
        return bad("the version must be HTTP/1.0 or HTTP/1.1");
    }
    return fine;
}

static struct http_verdict read_header(struct str line, struct http_header *out) {
    if (line.n == 0 || line.p[0] == ' ' || line.p[0] == '\t') {
        return bad("folded header lines are not accepted");
    }
    const char *colon = memchr(line.p, ':', line.n);
    if (colon == NULL || colon == line.p) {
        return bad("a header without a name");
    }
    out->name = str_of(line.p, (size_t)(colon - line.p));
    out->value = str_trim(str_of(colon + 1, line.n - out->name.n - 1));
    return fine;
}

static bool is_host(struct str s) {
    static const char extra[] = "-._~%!$&'()*+,;=:[]";
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && memchr(extra, c, sizeof extra - 1) == NULL) {
            return false;
        }
    }
    return true;
}

/* Headers that decide about the connection. */
struct seen {
    size_t hosts, lengths, codings;
    struct str host, length, coding;
};

static void note(struct seen *seen, const struct http_header *h, struct http_framing *f) {
    if (str_eq_nocase(h->name, STR("Host"))) {
        seen->hosts++;
        seen->host = h->value;
    } else if (str_eq_nocase(h->name, STR("Content-Length"))) {
        seen->lengths++;
        seen->length = h->value;
    } else if (str_eq_nocase(h->name, STR("Transfer-Encoding"))) {
        seen->codings++;
        seen->coding = h->value;
    } else if (str_eq_nocase(h->name, STR("Expect"))) {
        f->expects_continue = !f->version_1_0 && str_eq_nocase(h->value, STR("100-continue"));
    }
}

static struct http_verdict judge_host(const struct seen *seen, struct str authority, bool version_1_0) {
    if (seen->hosts > 1 || (seen->hosts == 0 && !version_1_0)) {
        return bad("exactly one Host header is needed");
    }
    if (!is_host(seen->host)) {
        return bad("the Host header is not valid");
    }
    if (authority.p != NULL && (!is_host(authority) || (seen->hosts == 1 && !str_eq_nocase(authority, seen->host)))) {
        return bad("the request target names another host than the Host header");
    }
    return fine;
}

static struct http_verdict judge_framing(const struct seen *seen, struct http_framing *f) {
    if (seen->codings > 0 && f->version_1_0) {
        return bad("Transfer-Encoding is not part of HTTP/1.0");
    }
    if (seen->codings > 0 && seen->lengths > 0) {
        return bad("Content-Length and Transfer-Encoding exclude each other");
    }
    if (seen->codings > 1 || (seen->codings == 1 && !str_eq_nocase(seen->coding, STR("chunked")))) {
        return bad("the only transfer coding is chunked");
    }
    /* llhttp 8.1 does not know chunked before a tab, and a proxy in front may not either. The line's CR follows its value. */
    if (seen->codings == 1 && seen->coding.p[seen->coding.n] != '\r') {
        return bad("nothing may follow the transfer coding");
    }
    if (seen->lengths > 1 || (seen->lengths == 1 && !str_to_u64(seen->length, &f->length))) {
        return bad("Content-Length must be one number");
    }
    f->chunked = seen->codings == 1;
    f->has_length = seen->lengths == 1;
    return fine;
}

struct http_verdict http_parse_head(struct str head, struct arena *a, struct http_request *req, struct http_framing *out) {
    struct http_framing f = {0};
    struct seen seen = {0};
    struct str authority = STR_NONE;
    struct str line;
    size_t lines = count_lines(head);
    if (lines < 2 || !take_line(&head, &line)) {
        return bad("lines must end in CRLF");
    }
    size_t n = lines - 2; /* without the request line and the empty line */
    if (n > HTTP_HEADERS_MAX) {
        return (struct http_verdict){431, "too many headers"};
    }
    struct http_verdict v = read_request_line(line, req, &f);
    if (v.status != 0) {
        return v;
    }
    struct http_header *headers = ARENA_ARRAY(a, struct http_header, n > 0 ? n : 1);
    if (headers == NULL) {
        return (struct http_verdict){503, "out of memory"};
    }
    for (size_t i = 0; i < n; i++) {
        if (!take_line(&head, &line)) {
            return bad("lines must end in CRLF");
        }
        v = read_header(line, &headers[i]);
        if (v.status != 0) {
            return v;
        }
        note(&seen, &headers[i], &f);
    }
    if (!str_is(head, "\r\n")) {
        return bad("lines must end in CRLF");
    }
    req->headers = headers;
    req->headers_n = n;
    v = split_target(req, &authority);
    v = v.status == 0 ? judge_host(&seen, authority, f.version_1_0) : v;
    v = v.status == 0 ? judge_framing(&seen, &f) : v;
    if (v.status == 0) {
        *out = f;
    }
    return v;
}

struct str http_request_header(const struct http_request *req, const char *name) {
    struct str wanted = str_c(name);
    for (size_t i = 0; i < req->headers_n; i++) {
        if (str_eq_nocase(req->headers[i].name, wanted)) {
            return req->headers[i].value;
        }
    }
    return STR_NONE;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char l = (char)(c | 0x20);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

struct str http_decode(struct arena *a, struct str s) {
    struct str copy = arena_str(a, s);
    if (copy.p == NULL) {
        return STR_NONE;
    }
    char *to = (char *)(uintptr_t)copy.p; /* the arena's, which is ours to write */
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%') {
            to[n++] = s.p[i];
            continue;
        }
        int high = s.n - i > 2 ? hex_digit(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;
        if (low < 0 || (high == 0 && low == 0)) {
            return STR_NONE;
        }
        to[n++] = (char)(high * 16 + low);
        i += 2;
    }
    to[n] = '\0';
    return str_of(to, n);
}

static struct str decode_text(struct arena *a, struct str s) {
    struct str text = http_decode(a, s);
    return text.p != NULL && json_is_utf8(text) ? text : STR_NONE;
}

bool http_query_next(struct http_request *req, struct str *rest, struct str *out_name, struct str *out_value) {
    struct str pair = STR_NONE, name = STR_NONE;
    while (pair.n == 0) { /* "a=1&&b=2" has two */
        if (!str_cut(rest, '&', &pair)) {
            return false;
        }
    }
    (void)str_cut(&pair, '=', &name);
    *out_name = decode_text(req->arena, name);
    *out_value = decode_text(req->arena, pair);
    return true;
}

struct str http_query(struct http_request *req, const char *name) {
    struct str rest = req->query, found, value;
    while (http_query_next(req, &rest, &found, &value)) {
        if (str_is(found, name)) {
            return value;
        }
    }
    return STR_NONE;
}
