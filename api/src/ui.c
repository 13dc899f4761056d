/* The dashboard's files, from this binary: public, what they show is not. */
#include <base/crypto.h>

#include "handlers.h"
#include "header.h"
#include "server.h"

struct file {
    const char *name; /* below /ui/ */
    struct {
        const char *p;
        size_t n;
    } plain, gzip, brotli;
};
#include "pages.inc"

static const size_t files_n = sizeof files / sizeof files[0];

#define CSP                                                                                                                \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " \
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

static const struct {
    const char *suffix, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
};

static const struct file *find(struct str name) {
    for (size_t i = 0; i < files_n; i++) {
        if (str_is(name, files[i].name)) {
            return &files[i];
        }
    }
    return NULL;
}

static const char *type_of(const char *name) {
    const char *suffix = strrchr(name, '.');
    for (size_t i = 0; suffix != NULL && i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(suffix, types[i].suffix) == 0) {
            return types[i].type;
        }
    }
    return "application/octet-stream";
}

static void add_rules(struct call *c) {
    call_header(c, "Content-Security-Policy", STR(CSP));
    call_header(c, "X-Content-Type-Options", STR("nosniff"));
    call_header(c, "Referrer-Policy", STR("no-referrer"));
    call_header(c, "Cross-Origin-Opener-Policy", STR("same-origin"));
}

/* In the best encoding that the client takes. */
static struct str encode(struct call *c, const struct file *file) {
    struct str accept = http_request_header(c->req, "Accept-Encoding");
    call_header(c, "Vary", STR("Accept-Encoding"));
    if (accept.p != NULL && header_accepts(accept, "br")) {
        call_header(c, "Content-Encoding", STR("br"));
        return str_of(file->brotli.p, file->brotli.n);
    }
    if (accept.p != NULL && header_accepts(accept, "gzip")) {
        call_header(c, "Content-Encoding", STR("gzip"));
        return str_of(file->gzip.p, file->gzip.n);
    }
    return str_of(file->plain.p, file->plain.n);
}

void handle_ui_asset(struct call *c) {
    struct str name = arena_printf(&c->arena, "assets/%.*s", STR_ARG(c->param));
    const struct file *file = name.p != NULL ? find(name) : NULL;
    add_rules(c);
    if (file == NULL) {
        call_problem(c, PROBLEM_NO_ROUTE, "There is nothing at %.*s", STR_ARG(c->path));
        return;
    }
    struct str body = encode(c, file);
    call_header(c, "Cache-Control", STR("public, max-age=31536000, immutable")); /* its name has its hash */
    call_answer(c, 200, type_of(file->name), body);
}

static void answer_index(struct call *c) {
    const struct file *file = find(STR("index.html"));
    uint8_t hash[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    add_rules(c);
    if (file == NULL) {
        call_problem(c, PROBLEM_NO_ROUTE, "This build has no dashboard");
        return;
    }
    struct str body = encode(c, file);
    if (err_is_set(sha256(body, hash))) {
        call_fail(c, err_make(ERR_NOMEM, "page"));
        return;
    }
    hex_encode(hash, sizeof hash, hex);
    struct str etag = arena_printf(&c->arena, "\"%.32s\"", hex);
    struct str known = http_request_header(c->req, "If-None-Match");
    call_header(c, "Cache-Control", STR("no-cache"));
    call_header(c, "ETag", etag);
    if (known.p != NULL && header_etag_is_in(known, etag)) {
        call_answer(c, 304, NULL, STR_NONE);
    } else {
        call_answer(c, 200, type_of(file->name), body);
    }
}

void handle_ui_start(struct call *c) { answer_index(c); }

/* Its pages are made in the browser. */
void handle_ui_page(struct call *c) { answer_index(c); }

void handle_ui_home(struct call *c) {
    struct str accept = http_request_header(c->req, "Accept");
    if (accept.p == NULL || !header_accepts(accept, "text/html")) {
        call_problem(c, PROBLEM_NO_ROUTE, "There is nothing here; the dashboard is at /ui/");
        return;
    }
    call_header(c, "Location", STR("/ui/"));
    call_answer(c, 303, NULL, STR_NONE);
}
