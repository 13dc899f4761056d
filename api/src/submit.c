#include "submit.h"

#include <base/json.h>
#include <base/log.h>
#include <io/http_client.h>

#include "door.h"
#include "header.h"
#include "limits.h"
#include "server.h"

static const int64_t DUE_MAX_MS = 24LL * 86400 * 1000; /* delay and retries stay below 25 days */

struct submit *submit_new(struct call *c) {
    struct submit *s = ARENA_NEW(&c->arena, struct submit);
    if (s != NULL) {
        s->a.call = c;
        s->a.key = c->key;
        s->a.deadline = c->deadline;
    }
    return s;
}

static bool refuse(struct submit *s, enum problem_id id, struct str detail) {
    s->problem = (struct problem){.id = id, .detail = detail.p != NULL ? detail : STR("")};
    return false;
}

static bool refuse_all(struct submit *s, const struct schema_error *errors, size_t n) {
    struct arena *a = &s->a.call->arena;
    struct problem_error *kept = ARENA_ARRAY(a, struct problem_error, n);
    if (kept == NULL) {
        return refuse(s, PROBLEM_BUSY, STR("Out of memory"));
    }
    for (size_t i = 0; i < n; i++) {
        kept[i] = (struct problem_error){arena_str(a, str_c(errors[i].pointer)), arena_str(a, str_c(errors[i].detail))};
    }
    (void)refuse(s, PROBLEM_INVALID, arena_printf(a, "%s %s", errors[0].pointer, errors[0].detail));
    s->problem.errors = kept;
    s->problem.errors_n = n;
    return false;
}

bool submit_refuse_member(struct submit *s, const char *pointer, const char *detail) {
    struct schema_error error;
    (void)str_copy_c(str_c(pointer), error.pointer, sizeof error.pointer);
    (void)str_copy_c(str_c(detail), error.detail, sizeof error.detail);
    return refuse_all(s, &error, 1);
}

/* There is room for all errors only when there is one. */
static bool check(struct submit *s, const struct schema *schema, const json_t *value, const char *prefix) {
    struct schema_error first;
    if (schema_check(schema, value, &first, 1) == 0) {
        return true;
    }
    struct check found;
    return types_check(schema, value, prefix, &found) || refuse_all(s, found.errors, found.n);
}

/* ---- the members of a request ---- */

static bool find_type(struct submit *s, const json_t *request) {
    const struct registry *r = s->a.call->api->rt->registry;
    struct arena *a = &s->a.call->arena;
    struct str name = json_opt_str(request, "type", STR(""));
    s->a.type = registry_type(r, name, NULL);
    if (s->a.type == NULL) {
        return refuse(s, PROBLEM_UNKNOWN_TYPE,
                      arena_printf(a, "There is no job type \"%.*s\"; did you mean %s?", STR_ARG(name), types_nearest(r, name)));
    }
    if (s->a.type->internal) {
        return refuse(s, PROBLEM_INTERNAL_TYPE,
                      arena_printf(a, "%s is made by a route of its own, or by the platform", s->a.type->name));
    }
    int64_t version = json_opt_i64(request, "type_version", s->a.type->version);
    if (version != s->a.type->version) {
        return refuse(
            s, PROBLEM_UNKNOWN_VERSION,
            arena_printf(a, "%s is at version %u here, not %lld", s->a.type->name, s->a.type->version, (long long)version));
    }
    return true;
}

static bool find_queue(struct submit *s, const char *name) {
    s->a.queue = queue_table_find(s->a.call->api->rt->queues, str_c(name));
    return s->a.queue != NULL ||
           refuse(s, PROBLEM_UNKNOWN_QUEUE, arena_printf(&s->a.call->arena, "There is no queue \"%s\"", name));
}

/* Queues are dimensioned for their own types: who may put others there is who runs them. */
static bool read_queue(struct submit *s, const json_t *request) {
    const char *own = s->a.type->queue;
    const char *queue = json_string_value(json_object_get(request, "queue"));
    bool may = (s->a.call->who.scopes & (SCOPE_OPERATE | SCOPE_ADMIN)) != 0;
    if (queue != NULL && strcmp(queue, own) != 0 && !may) {
        return refuse(s, PROBLEM_FORBIDDEN,
                      arena_printf(&s->a.call->arena, "%s belongs to queue %s; another one needs the scope %s", s->a.type->name,
                                   own, scope_name(SCOPE_OPERATE)));
    }
    return find_queue(s, queue != NULL ? queue : own);
}

static bool read_due(struct submit *s, const json_t *request, struct wall now) {
    struct str at = json_opt_str(request, "due_at", STR_NONE);
    int64_t delay_ms = json_opt_i64(request, "delay_ms", 0);
    struct wall due = {now.ms + delay_ms};
    if (at.p != NULL && delay_ms > 0) {
        return submit_refuse_member(s, "#/delay_ms", "must be left out where due_at is given");
    }
    if (at.p != NULL && !header_time(at, &due)) {
        return submit_refuse_member(s, "#/due_at", "must be a time like 2026-11-28T21:13:34.123Z");
    }
    if (due.ms - now.ms > DUE_MAX_MS) {
        return submit_refuse_member(s, at.p != NULL ? "#/due_at" : "#/delay_ms", "must be at most 24 days ahead");
    }
    s->a.due = due.ms > now.ms ? due : (struct wall){0};
    return true;
}

/* A repetition must be judged as the first request was: what counts from now is not compared with what does not. */
static bool read_times(struct submit *s, const json_t *request) {
    struct wall now = loop_wall(s->a.call->api->rt->loop);
    int64_t deadline_ms = json_opt_i64(request, "deadline_ms", 0);
    struct wall latest = deadline_ms > 0 ? (struct wall){now.ms + deadline_ms} : (struct wall){0};
    if (!read_due(s, request, now)) {
        return false;
    }
    if (deadline_ms > 0 && (s->a.deadline.ms == 0 || latest.ms < s->a.deadline.ms)) {
        s->a.deadline = latest; /* the earlier one counts */
    }
    if (json_object_get(request, "due_at") != NULL) {
        latest = s->a.deadline;
    }
    if (latest.ms != 0 && s->a.due.ms >= latest.ms) {
        return submit_refuse_member(s, deadline_ms > 0 ? "#/deadline_ms" : "#", "the deadline must not be before the job is due");
    }
    return true;
}

/* Where it would not be told later is refused now. What can be known of a name only when it is resolved is judged then. */
static bool read_callback(struct submit *s, const json_t *request) {
    struct str url = json_opt_str(request, "callback_url", STR_NONE);
    if (url.p == NULL) {
        return true;
    }
    if (s->a.type->class != CLASS_JOURNAL) {
        return submit_refuse_member(
            s, "#/callback_url",
            "must be left out: the end of a job of class stream is not told; follow it by /v1/jobs/{id}/events");
    }
    struct err e = http_url_vet(url, s->a.call->api->rt->conf->webhook_allow_cidr);
    if (err_is_set(e)) {
        return e.code == ERR_NOMEM ? refuse(s, PROBLEM_BUSY, STR("Out of memory"))
                                   : submit_refuse_member(s, "#/callback_url", e.detail);
    }
    s->a.callback = arena_str(&s->a.call->arena, url);
    return s->a.callback.p != NULL || refuse(s, PROBLEM_BUSY, STR("Out of memory"));
}

static bool read_line_key(struct submit *s, const json_t *request) {
    struct str key = json_opt_str(request, "key", STR_NONE);
    if (key.p == NULL) {
        return true;
    }
    if (!header_key(key, &s->a.call->arena, &s->a.key)) {
        return refuse(s, PROBLEM_KEY_MALFORMED, STR("\"key\" cannot be used as a key"));
    }
    return true;
}

/* ---- the job ---- */

static bool take_payload(struct submit *s, const json_t *payload) {
    struct buf text;
    buf_init(&text, LIMIT_PAYLOAD_BYTES);
    struct err e = json_write(payload, &text);
    if (!err_is_set(e)) {
        s->a.payload = arena_str(&s->a.call->arena, buf_str(&text));
    }
    buf_free(&text);
    if (e.code == ERR_TOO_LARGE) {
        return refuse(s, PROBLEM_TOO_LARGE, STR("The payload is larger than 65536 bytes"));
    }
    return s->a.payload.p != NULL || refuse(s, PROBLEM_BUSY, STR("Out of memory"));
}

static bool take_fingerprint(struct submit *s, struct str raw) {
    const struct call *c = s->a.call;
    const struct str parts[] = {str_c(c->route->method), STR(" "), c->path, STR("\n"), raw};
    return !err_is_set(sha256_parts(parts, 5, s->a.fingerprint)) || refuse(s, PROBLEM_BUSY, STR("Out of memory"));
}

static bool read_payload(struct submit *s, const json_t *payload, const char *prefix) {
    return check(s, types_payload(s->a.call->api->types, s->a.type), payload, prefix) && take_payload(s, payload);
}

/* Type and queue are known: what is refused for pressure costs no more than that. */
static bool take_job(struct submit *s, const json_t *payload, const char *prefix, struct str raw) {
    if (s->a.type->key_required && s->a.key.p == NULL) {
        return refuse(s, PROBLEM_KEY_MISSING,
                      arena_printf(&s->a.call->arena, "Jobs of type %s take effects once per key", s->a.type->name));
    }
    if (!door_admits(s->a.call, s->a.queue, &s->problem) || !limits_admit_job(s->a.call, s->a.type, s->a.queue, &s->problem) ||
        !read_payload(s, payload, prefix) || !take_fingerprint(s, raw)) {
        return false;
    }
    return !err_is_set(acceptance_prepare(&s->a)) || refuse(s, PROBLEM_BUSY, STR("Out of memory"));
}

bool submit_job(struct submit *s, const struct job_type *type, const json_t *payload, const char *prefix, struct str raw) {
    s->a.type = type;
    return find_queue(s, type->queue) && take_job(s, payload, prefix, raw);
}

bool submit_request(struct submit *s, const json_t *request, const char *schema, struct str raw) {
    if (!check(s, types_body(s->a.call->api->types, schema), request, "") || !find_type(s, request)) {
        return false;
    }
    return read_queue(s, request) && read_times(s, request) && read_callback(s, request) && read_line_key(s, request) &&
           take_job(s, json_object_get(request, "payload"), "/payload", raw);
}

bool submit_template(struct submit *s, const json_t *request) {
    return find_type(s, request) && read_queue(s, request) && read_payload(s, json_object_get(request, "payload"), "/payload");
}

static void refuse_failed(struct submit *s, struct err e) {
    enum problem_id id = e.code == ERR_CONFLICT ? PROBLEM_UNDECIDED : problem_of(e.code);
    if (id == PROBLEM_INTERNAL) {
        LOG(ERROR, "http.failed", LF_ERR(e), LF_TRACE(&s->a.call->trace));
        (void)refuse(s, id, str_c(err_name(e.code)));
        return;
    }
    (void)refuse(s, id, arena_str(&s->a.call->arena, str_c(e.detail)));
    s->problem.retry_after_s = 1;
}

bool submit_refused(struct submit *s) {
    switch (s->a.verdict) {
    case ACCEPTED_MISMATCH:
        return !refuse(s, PROBLEM_KEY_REUSED,
                       STR("Another request, with other bytes or to another path, came with this key before"));
    case ACCEPTED_FULL:
        door_full(s->a.call, s->a.queue, &s->problem);
        return true;
    case ACCEPTED_FAILED:
        refuse_failed(s, s->a.err);
        return true;
    case ACCEPTED_FRESH:
    case ACCEPTED_KNOWN:
    default:
        return false;
    }
}
