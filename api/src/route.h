/* The routes: one table (routes.def), from which come dispatch, the metrics' labels and /openapi.json. */
#ifndef API_ROUTE_H
#define API_ROUTE_H

#include <base/str.h>

struct call;

/* SCOPE_ADMIN includes the others, and the jobs and dead jobs of every tenant; orders, payments and notifications are shown to their own
 * tenant alone. */
enum scope {
    SCOPE_NONE = 0,
#define S(id, bit, name) SCOPE_##id = (bit),
#include <api/scopes.def>
#undef S
};
const char *scope_name(enum scope s);  /* NULL: of SCOPE_NONE */
unsigned scope_parse(struct str name); /* enum scope; 0: none of that name */

enum route_flag {
    ROUTE_BODY = 1,     /* application/json is required */
    ROUTE_OPTIONAL = 2, /* may be empty, which means {} */
    ROUTE_LINES = 4,    /* application/x-ndjson is required */
    ROUTE_KEY = 8,      /* Idempotency-Key is required */
    ROUTE_KEY_MAY = 16, /* Idempotency-Key is read; the job type says whether it is required */
    ROUTE_WAIT = 32,    /* Prefer: wait, respond-async */
    ROUTE_ASYNC = 256,  /* without Prefer nobody waits */
    ROUTE_MATCH = 64,   /* If-Match */
    ROUTE_LAX = 128,    /* works while the queue table is not loaded yet */
    ROUTE_PAGE = 512, /* of the dashboard: its parameter may have slashes, its query is its own, and it is not in /openapi.json */
};

struct route {
    const char *id; /* operationId */
    const char *method, *path;
    const char *name; /* "GET /v1/jobs": the metrics' label */
    enum scope scope;
    unsigned flags; /* enum route_flag */
    void (*handler)(struct call *c);
    const char *type; /* the job type that it makes, "notify." with the body's channel behind; NULL: none, or the body's */
    const char *summary;
    const char *query;   /* names of its query parameters, with spaces between; NULL: none */
    const char *param;   /* an example of the path's parameter, "=default", or where to get one, "jobs_post#/id" */
    const char *schema;  /* of the body, in components; NULL: none, or made of the job type's */
    const char *example; /* of the body; works as it stands */
    const char *answers; /* "202 JobAccepted, 200 Job"; media type JSON unless "200 text/plain" */
};

extern const struct route routes[];
extern const size_t routes_n;

/* The route of a path with its parameter, still percent-encoded; HEAD is GET. NULL: none, and then out_allow has the path's methods
 * ("GET, POST"), or is empty. */
enum { ROUTE_ALLOW_BYTES = 64 };
const struct route *route_find(struct str method, struct str path, struct str *out_param, char out_allow[ROUTE_ALLOW_BYTES]);

/* The class of its requests, by which objectives are set (ops/slo.def): "produce", "command", "read", "watch", "operate", "probe"; of no route
 * "none". waited: the answer was to wait for a job. */
const char *route_class(const struct route *r, bool waited);

#endif
