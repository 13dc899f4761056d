/* GET /openapi.json: OpenAPI 3.1, made of the routes' table, the API's own schemas and those of the job types. Made once for each set of types. */
#include <base/json.h>
#include <stdio.h>

#include "handlers.h"
#include "server.h"
#include "session.h"

enum { NAME_BYTES = 96, REF_BYTES = 160 };

/* Out of memory is noted, and asked for once, at the end. */
static bool put(json_t *o, const char *name, json_t *value) { return json_object_set_new(o, name, value) == 0; }
static bool push(json_t *a, json_t *value) { return json_array_append_new(a, value) == 0; }

static json_t *ref_to(const char *schema) {
    char text[REF_BYTES];
    (void)snprintf(text, sizeof text, "#/components/schemas/%s", schema);
    return json_pack("{s:s}", "$ref", text);
}

static json_t *read_text(const char *text) {
    json_t *v = NULL;
    return err_is_set(json_read(str_c(text), &v)) ? NULL : v;
}

static void component_name(const struct job_type *type, char out[NAME_BYTES]) {
    (void)snprintf(out, NAME_BYTES, "%.64s.v%u", type->name, type->version);
}

/* ---- the body of a route that makes a job ---- */

/* What the path and the headers say is not in the body. */
static void leave_out(json_t *schema, const char *name) {
    json_t *required = json_object_get(schema, "required");
    (void)json_object_del(json_object_get(schema, "properties"), name);
    for (size_t i = json_array_size(required); i > 0; i--) {
        const char *member = json_string_value(json_array_get(required, i - 1));
        if (member != NULL && strcmp(member, name) == 0) {
            (void)json_array_remove(required, i - 1);
        }
    }
}

static bool put_channel(json_t *schema, const char *channel) {
    json_t *required = json_object_get(schema, "required");
    if (required == NULL) {
        required = json_array();
        if (!put(schema, "required", required)) {
            return false;
        }
    }
    return push(required, json_string("channel")) &&
           put(json_object_get(schema, "properties"), "channel", json_pack("{s:s}", "const", channel));
}

static json_t *payload_schema(const struct route *r, const struct job_type *type) {
    json_t *schema = read_text(type->schema);
    (void)json_object_del(schema, "$schema");
    if (r->param != NULL) {
        leave_out(schema, strrchr(r->param, '/') + 1);
    }
    if ((r->flags & ROUTE_MATCH) != 0) {
        leave_out(schema, "if_version");
    }
    return schema;
}

/* One schema, or for a prefix one for each channel. */
static json_t *type_schema(const struct registry *reg, const struct route *r) {
    struct str prefix = str_c(r->type);
    if (prefix.p[prefix.n - 1] != '.') {
        const struct job_type *type = registry_type(reg, prefix, NULL);
        return type != NULL ? payload_schema(r, type) : json_pack("{s:s}", "type", "object");
    }
    json_t *any = json_array();
    bool ok = any != NULL;
    const struct job_type *type;
    for (size_t i = 0; (type = registry_at(reg, i, NULL)) != NULL; i++) {
        if (!str_starts(str_c(type->name), prefix)) {
            continue;
        }
        json_t *schema = payload_schema(r, type);
        ok = ok && put_channel(schema, type->name + prefix.n);
        ok = push(any, schema) && ok;
    }
    if (!ok) {
        json_decref(any);
        return NULL;
    }
    return json_pack("{s:o}", "oneOf", any);
}

static json_t *request_body(const struct registry *reg, const struct route *r) {
    json_t *schema = r->schema != NULL ? ref_to(r->schema) : type_schema(reg, r);
    json_t *media = json_pack("{s:o}", "schema", schema);
    const char *type = "application/json";
    bool ok = media != NULL;
    if ((r->flags & ROUTE_LINES) != 0) {
        type = "application/x-ndjson";
        char line[512];
        (void)snprintf(line, sizeof line, "%s\n", r->example);
        ok = ok && put(media, "example", json_string(line));
    } else if (r->example != NULL) {
        ok = ok && put(media, "example", read_text(r->example));
    }
    if (!ok) {
        json_decref(media);
        return NULL;
    }
    return json_pack("{s:b,s:{s:o}}", "required", (r->flags & ROUTE_OPTIONAL) == 0, "content", type, media);
}

/* ---- parameters ---- */

static bool push_path_parameter(json_t *a, const struct route *r) {
    const char *open = strchr(r->path, '{');
    char name[NAME_BYTES];
    if (open == NULL) {
        return true;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(open + 1, "}"), open + 1);
    json_t *p = json_pack("{s:s,s:s,s:b,s:{s:s}}", "name", name, "in", "path", "required", 1, "schema", "type", "string");
    bool ok = p != NULL;
    if (strcmp(name, "id") == 0) {
        ok = ok && put(json_object_get(p, "schema"), "format", json_string("uuid"));
    } else {
        ok = ok && put(p, "example", json_string(r->param + 1));
    }
    return push(a, p) && ok;
}

static bool push_query_parameters(json_t *a, const struct route *r) {
    struct str rest = str_c(r->query), name;
    bool ok = true;
    while (str_cut(&rest, ' ', &name)) {
        json_t *p = json_pack("{s:s%,s:s,s:{s:s}}", "name", name.p, name.n, "in", "query", "schema", "type",
                              str_is(name, "limit") ? "integer" : "string");
        ok = push(a, p) && ok;
    }
    return ok;
}

static bool push_header(json_t *a, const char *name, bool required, const char *description) {
    return push(a, json_pack("{s:s,s:s,s:b,s:s,s:{s:s}}", "name", name, "in", "header", "required", (int)required, "description",
                             description, "schema", "type", "string"));
}

static json_t *parameters(const struct route *r) {
    json_t *a = json_array();
    bool ok = a != NULL && push_path_parameter(a, r) && push_query_parameters(a, r);
    if ((r->flags & (ROUTE_KEY | ROUTE_KEY_MAY)) != 0) {
        ok = ok && push_header(a, "Idempotency-Key", (r->flags & ROUTE_KEY) != 0,
                               "New for each operation, the same for each of its retries; 1 to 255 printable ASCII characters");
    }
    if ((r->flags & (ROUTE_KEY | ROUTE_KEY_MAY | ROUTE_LINES)) != 0) {
        ok = ok &&
             push_header(a, "Penstock-Deadline", false,
                         "A time like 2026-11-28T21:13:34.123Z, at most 30 days ahead; a job that has not begun by then expires");
    }
    if ((r->flags & ROUTE_WAIT) != 0) {
        ok = ok && push_header(a, "Prefer", false,
                               "wait=N: answer at the latest after so many seconds (up to 30); respond-async: at once");
    }
    if ((r->flags & ROUTE_MATCH) != 0) {
        ok = ok && push_header(a, "If-Match", false, "Only at this version, as the ETag of the GET says it");
    }
    if (!ok) {
        json_decref(a);
        return NULL;
    }
    return a;
}

/* ---- answers ---- */

/* What can be done with the ids in an answer. */
static bool put_links(json_t *answer, const struct route *r) {
    json_t *links = json_object();
    char from[NAME_BYTES];
    bool ok = links != NULL;
    (void)snprintf(from, sizeof from, "%.80s#", r->id);
    for (size_t i = 0; i < routes_n && ok; i++) {
        struct str param = str_c(routes[i].param);
        if (str_starts(param, str_c(from))) {
            char expression[NAME_BYTES];
            (void)snprintf(expression, sizeof expression, "$response.body#%.*s",
                           STR_ARG(str_of(param.p + strlen(from), param.n - strlen(from))));
            ok =
                put(links, routes[i].id, json_pack("{s:s,s:{s:s}}", "operationId", routes[i].id, "parameters", "id", expression));
        }
    }
    if (ok && json_object_size(links) > 0) {
        return put(answer, "links", links);
    }
    json_decref(links);
    return ok;
}

/* "202 JobAccepted", "304", "200 text/plain". */
static json_t *one_answer(const struct route *r, struct str text, char out_status[4]) {
    struct str status;
    (void)str_cut(&text, ' ', &status);
    (void)str_copy_c(status, out_status, 4);
    json_t *answer = json_pack("{s:s}", "description", str_is(status, "304") ? "Not modified" : "As asked for");
    char schema[NAME_BYTES];
    if (answer == NULL || !str_copy_c(text, schema, sizeof schema) || schema[0] == '\0') {
        return answer;
    }
    bool plain = strchr(schema, '/') != NULL;
    const char *type = plain ? schema : (r->flags & ROUTE_LINES) != 0 ? "application/x-ndjson" : "application/json";
    json_t *body = plain ? json_pack("{s:s}", "type", "string") : ref_to(schema);
    if (!put(answer, "content", json_pack("{s:{s:o}}", type, "schema", body))) {
        json_decref(answer);
        return NULL;
    }
    return answer;
}

static json_t *responses(const struct route *r) {
    json_t *all = json_pack("{s:{s:s,s:{s:{s:o}}}}", "default", "description", "A problem", "content", "application/problem+json",
                            "schema", ref_to("Problem"));
    struct str rest = str_c(r->answers), text, first = STR_NONE;
    bool ok = all != NULL;
    while (ok && str_cut(&rest, ',', &text)) {
        char status[4];
        text = str_trim(text);
        json_t *answer = one_answer(r, text, status);
        struct str schema = str_of(text.p + strlen(status), text.n - strlen(status));
        first = first.p == NULL ? schema : first;
        ok = (!str_eq(first, schema) || put_links(answer, r)) && put(all, status, answer);
    }
    if (!ok) {
        json_decref(all);
        return NULL;
    }
    return all;
}

/* ---- operations ---- */

/* What is posted to the URL that a job names. */
static bool put_callbacks(json_t *o) {
    json_t *said = json_pack("{s:{s:s}}", "2XX", "description", "Taken");
    json_t *post =
        json_pack("{s:s,s:{s:b,s:{s:{s:o}}},s:o}", "summary", "Tells that the job has ended, signed by Standard Webhooks",
                  "requestBody", "required", 1, "content", "application/json", "schema", ref_to("JobEnded"), "responses", said);
    return put(o, "callbacks", json_pack("{s:{s:{s:o}}}", "jobEnded", "{$request.body#/callback_url}", "post", post));
}

static json_t *operation(const struct registry *reg, const struct route *r) {
    json_t *o = json_pack("{s:s,s:s,s:o,s:o}", "operationId", r->id, "summary", r->summary, "parameters", parameters(r),
                          "responses", responses(r));
    bool ok = o != NULL;
    if ((r->flags & (ROUTE_BODY | ROUTE_LINES)) != 0) {
        ok = ok && put(o, "requestBody", request_body(reg, r));
    }
    if (r->schema != NULL && strcmp(r->schema, "JobRequest") == 0) {
        ok = ok && put_callbacks(o);
    }
    if (r->scope == SCOPE_NONE) {
        ok = ok && put(o, "security", json_array());
    } else {
        ok = ok && put(o, "x-scope", json_string(scope_name(r->scope)));
    }
    if (!ok) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static void lower(const char *method, char out[8]) {
    size_t n = 0;
    for (; method[n] != '\0' && n < 7; n++) {
        out[n] = (char)(method[n] | 0x20);
    }
    out[n] = '\0';
}

static bool put_paths(json_t *document, const struct registry *reg) {
    json_t *paths = json_object();
    bool ok = put(document, "paths", paths);
    for (size_t i = 0; ok && i < routes_n; i++) {
        if ((routes[i].flags & ROUTE_PAGE) != 0) {
            continue;
        }
        json_t *path = json_object_get(paths, routes[i].path);
        char method[8];
        lower(routes[i].method, method);
        if (path == NULL) {
            path = json_object();
            ok = put(paths, routes[i].path, path);
        }
        ok = ok && put(path, method, operation(reg, &routes[i]));
    }
    return ok;
}

/* ---- job types ---- */

static bool put_type(json_t *schemas, json_t *types, const struct job_type *type) {
    char name[NAME_BYTES];
    component_name(type, name);
    json_t *schema = read_text(type->schema);
    (void)json_object_del(schema, "$schema");
    return put(schemas, name, schema) &&
           put(types, type->name,
               json_pack("{s:i,s:s,s:s,s:b,s:o}", "version", type->version, "queue", type->queue, "durability",
                         job_class_name(type->class), "key_required", (int)type->key_required, "payload", ref_to(name)));
}

static bool put_types(json_t *document, json_t *schemas, const struct registry *reg) {
    json_t *types = json_object();
    bool ok = put(document, "x-job-types", types);
    const struct job_type *type;
    for (size_t i = 0; ok && (type = registry_at(reg, i, NULL)) != NULL; i++) {
        ok = type->internal || put_type(schemas, types, type);
    }
    return ok;
}

static json_t *make(const struct api *api) {
    json_t *schemas = json_deep_copy(types_components(api->types));
    json_t *document =
        json_pack("{s:s,s:{s:s,s:s,s:s},s:[{s:s}],s:[{s:[]},{s:[]},{}],s:{s:o,s:{s:{s:s,s:s},s:{s:s,s:s,s:s}}}}", "openapi",
                  "3.1.0", "info", "title", "Penstock", "version", PENSTOCK_VERSION, "description",
                  "Jobs, orders and payments. Errors are application/problem+json.", "servers", "url", "/", "security", "bearer",
                  "session", "components", "schemas", schemas, "securitySchemes", "bearer", "type", "http", "scheme", "bearer",
                  "session", "type", "apiKey", "in", "cookie", "name", SESSION_COOKIE);
    const struct registry *reg = api->rt->registry;
    if (document != NULL && put_paths(document, reg) && put_types(document, schemas, reg)) {
        return document;
    }
    json_decref(document);
    return NULL;
}

void handle_openapi(struct call *c) {
    struct api *api = c->api;
    if (api->openapi.n == 0) {
        json_t *document = make(api);
        struct err e = document != NULL ? json_write(document, &api->openapi) : err_make(ERR_NOMEM, "openapi");
        json_decref(document);
        if (err_is_set(e)) {
            buf_clear(&api->openapi);
            call_fail(c, e);
            return;
        }
    }
    call_answer(c, 200, "application/json", buf_str(&api->openapi));
}
