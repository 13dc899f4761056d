#include "route.h"

#include "handlers.h"

const struct route routes[] = {
#define R(id, method, path, scope, flags, type, summary, query, param, schema, example, answers) \
    {#id,  method,  path,  method " " path, SCOPE_##scope, flags,   handle_##id,                 \
     type, summary, query, param,           schema,        example, answers},
#include "routes.def"
#undef R
};
const size_t routes_n = sizeof routes / sizeof routes[0];

static const struct {
    const char *name;
    enum scope scope;
} scopes[] = {
#define S(id, bit, name) {name, SCOPE_##id},
#include <api/scopes.def>
#undef S
};
enum { SCOPES = sizeof scopes / sizeof scopes[0] };

const char *route_class(const struct route *r, bool waited) {
    if (r == NULL) {
        return "none";
    }
    if ((r->flags & ROUTE_LAX) != 0) {
        return "probe";
    }
    if (strcmp(r->method, "GET") == 0) {
        return waited ? "watch" : "read";
    }
    if (r->scope == SCOPE_ENQUEUE) {
        return waited ? "command" : "produce";
    }
    return "operate";
}

const char *scope_name(enum scope s) {
    for (size_t i = 0; i < SCOPES; i++) {
        if (scopes[i].scope == s) {
            return scopes[i].name;
        }
    }
    return NULL;
}

unsigned scope_parse(struct str name) {
    for (size_t i = 0; i < SCOPES; i++) {
        if (str_is(name, scopes[i].name)) {
            return scopes[i].scope;
        }
    }
    return 0;
}

/* One parameter at most; it is not empty, and one segment, but for pages. */
static bool is_match(const struct route *r, struct str path, struct str *out_param) {
    const char *template = r->path, *open = strchr(template, '{');
    if (open == NULL) {
        return str_is(path, template);
    }
    size_t before = (size_t)(open - template);
    struct str after = str_c(strchr(open, '}') + 1);
    if (path.n <= before + after.n || memcmp(path.p, template, before) != 0) {
        return false;
    }
    struct str param = str_of(path.p + before, path.n - before - after.n);
    if (((r->flags & ROUTE_PAGE) == 0 && memchr(param.p, '/', param.n) != NULL) ||
        !str_eq(str_of(param.p + param.n, after.n), after)) {
        return false;
    }
    *out_param = param;
    return true;
}

static void allow(char text[ROUTE_ALLOW_BYTES], const char *method) {
    size_t n = strlen(text);
    struct str parts[] = {str_c(n > 0 ? ", " : ""), str_c(method), str_c(strcmp(method, "GET") == 0 ? ", HEAD" : "")};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (n + parts[i].n < ROUTE_ALLOW_BYTES) {
            memcpy(text + n, parts[i].p, parts[i].n);
            n += parts[i].n;
        }
    }
    text[n] = '\0';
}

const struct route *route_find(struct str method, struct str path, struct str *out_param, char out_allow[ROUTE_ALLOW_BYTES]) {
    struct str wanted = str_is(method, "HEAD") ? STR("GET") : method;
    struct str param = STR("");
    out_allow[0] = '\0';
    for (size_t i = 0; i < routes_n; i++) {
        if (!is_match(&routes[i], path, &param)) {
            continue;
        }
        if (str_is(wanted, routes[i].method)) {
            *out_param = param;
            return &routes[i];
        }
        allow(out_allow, routes[i].method);
    }
    return NULL;
}
