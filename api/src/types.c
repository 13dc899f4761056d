#include "types.h"

#include <base/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "server.h"

enum { TYPES_MAX = 128, BODIES_MAX = 64 };

struct types {
    json_t *components; /* name → schema, of the API's own */
    struct {
        const char *name; /* in components */
        struct schema *schema;
    } bodies[BODIES_MAX];
    size_t bodies_n;
    struct {
        const struct job_type *type;
        struct schema *schema;
    } payloads[TYPES_MAX];
    size_t payloads_n;
};

static const char *const documents[] = {
#include "problem.json.inc"
    ,
#include "jobs.json.inc"
    ,
#include "commands.json.inc"
    ,
#include "operator.json.inc"
    ,
#include "console.json.inc"
    ,
#include "schedules.json.inc"
    ,
};

/* ---- making ---- */

static struct err read_documents(struct types *t) {
    t->components = json_object();
    if (t->components == NULL) {
        return err_make(ERR_NOMEM, "schemas");
    }
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        json_t *document;
        TRY(err_wrap(json_read(str_c(documents[i]), &document), "schemas of the API"));
        int rc = json_object_update(t->components, document);
        json_decref(document);
        if (rc != 0) {
            return err_make(ERR_NOMEM, "schemas");
        }
    }
    return OK;
}

/* Only bodies that are read are compiled: what is answered may use more of JSON Schema than we check. */
static struct err compile_bodies(struct types *t) {
    for (size_t i = 0; i < routes_n; i++) {
        const char *name = routes[i].schema;
        if (name == NULL || types_body(t, name) != NULL) {
            continue;
        }
        if (t->bodies_n == BODIES_MAX) {
            return err_make(ERR_TOO_LARGE, "more than %d schemas", BODIES_MAX);
        }
        TRY(err_wrap(schema_compile(json_object_get(t->components, name), &t->bodies[t->bodies_n].schema), name));
        t->bodies[t->bodies_n++].name = name;
    }
    return OK;
}

static struct err compile_type(struct types *t, const struct job_type *type) {
    json_t *document;
    if (t->payloads_n == TYPES_MAX) {
        return err_make(ERR_TOO_LARGE, "more than %d job types", TYPES_MAX);
    }
    TRY(err_wrap(json_read(str_c(type->schema), &document), type->name));
    struct err e = schema_compile(document, &t->payloads[t->payloads_n].schema);
    json_decref(document);
    TRY(err_wrap(e, type->name));
    t->payloads[t->payloads_n++].type = type;
    return OK;
}

static struct err compile(struct types *t, const struct registry *r) {
    TRY(read_documents(t));
    TRY(compile_bodies(t));
    const struct job_type *type;
    for (size_t i = 0; (type = registry_at(r, i, NULL)) != NULL; i++) {
        TRY(compile_type(t, type));
    }
    return OK;
}

struct err types_new(const struct registry *r, struct types **out) {
    struct types *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return err_make(ERR_NOMEM, "schemas");
    }
    struct err e = compile(t, r);
    if (err_is_set(e)) {
        types_free(t);
        return e;
    }
    *out = t;
    return OK;
}

void types_free(struct types *t) {
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->bodies_n; i++) {
        schema_free(t->bodies[i].schema);
    }
    for (size_t i = 0; i < t->payloads_n; i++) {
        schema_free(t->payloads[i].schema);
    }
    json_decref(t->components);
    free(t);
}

/* ---- finding ---- */

const struct schema *types_body(const struct types *t, const char *name) {
    for (size_t i = 0; i < t->bodies_n; i++) {
        if (strcmp(t->bodies[i].name, name) == 0) {
            return t->bodies[i].schema;
        }
    }
    return NULL;
}

const struct schema *types_payload(const struct types *t, const struct job_type *type) {
    for (size_t i = 0; i < t->payloads_n; i++) {
        if (t->payloads[i].type == type) {
            return t->payloads[i].schema;
        }
    }
    return NULL;
}

const json_t *types_components(const struct types *t) { return t->components; }

const struct job_type *types_of_route(const struct registry *r, const struct route *route) {
    struct str name = str_c(route->type);
    if (name.n == 0 || name.p[name.n - 1] != '.') {
        return name.n > 0 ? registry_type(r, name, NULL) : NULL;
    }
    const struct job_type *type = NULL;
    for (size_t i = 0; (type = registry_at(r, i, NULL)) != NULL && !str_starts(str_c(type->name), name); i++) {
    }
    return type;
}

const char *types_nearest(const struct registry *r, struct str name) {
    const struct job_type *type;
    const char *best = "none";
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; (type = registry_at(r, i, NULL)) != NULL; i++) {
        size_t d = type->internal ? SIZE_MAX : str_distance(name, str_c(type->name));
        if (d < best_distance) {
            best_distance = d;
            best = type->name;
        }
    }
    return best;
}

/* ---- checking ---- */

/* "#/text" → "#/payload/text". */
static void put_prefix(char pointer[SCHEMA_POINTER_BYTES], const char *prefix) {
    char old[SCHEMA_POINTER_BYTES];
    (void)str_copy_c(str_c(pointer), old, sizeof old);
    (void)snprintf(pointer, SCHEMA_POINTER_BYTES, "#%.40s%.*s", prefix, SCHEMA_POINTER_BYTES - 42, old[0] == '#' ? old + 1 : old);
}

bool types_check(const struct schema *s, const json_t *value, const char *prefix, struct check *out) {
    out->n = schema_check(s, value, out->errors, CHECK_ERRORS_MAX);
    for (size_t i = 0; i < out->n && prefix[0] != '\0'; i++) {
        put_prefix(out->errors[i].pointer, prefix);
    }
    return out->n == 0;
}

json_t *call_body(struct call *c) {
    json_t *v;
    struct str text = c->req->body;
    if (text.n == 0 && (c->route->flags & ROUTE_OPTIONAL) != 0) {
        text = STR("{}");
    } else if (http_request_header(c->req, "Content-Type").p == NULL) {
        call_problem(c, PROBLEM_MEDIA_TYPE, "Content-Type must be application/json, in UTF-8");
        return NULL;
    }
    struct err e = json_read(text, &v);
    if (err_is_set(e)) {
        if (e.code == ERR_NOMEM) {
            call_fail(c, e);
        } else {
            call_problem(c, PROBLEM_MALFORMED, "%s", e.detail);
        }
        return NULL;
    }
    return v;
}

bool call_check(struct call *c, const struct schema *s, const json_t *value, const char *prefix) {
    struct check check;
    struct problem_error errors[CHECK_ERRORS_MAX];
    if (types_check(s, value, prefix, &check)) {
        return true;
    }
    for (size_t i = 0; i < check.n; i++) {
        errors[i] = (struct problem_error){str_c(check.errors[i].pointer), str_c(check.errors[i].detail)};
    }
    struct str detail = arena_printf(&c->arena, "%zu thing%s to change; the first: %s %s", check.n, check.n == 1 ? "" : "s",
                                     check.errors[0].pointer, check.errors[0].detail);
    struct problem p = {.id = PROBLEM_INVALID, .detail = detail, .errors = errors, .errors_n = check.n};
    call_problem_full(c, &p);
    return false;
}
