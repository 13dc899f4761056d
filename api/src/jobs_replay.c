/* POST /v1/jobs/{id}/replay: a dead job with another payload, as a new root (jobs/edit.h). */
#include <base/json.h>
#include <jobs/edit.h>

#include "dead_groups.h"
#include "handlers.h"
#include "server.h"

/* In the call's arena. */
struct replaying {
    struct edit edit;
    struct call *call;
    json_t *change;
};

static bool check(struct edit *e, const json_t *payload) {
    struct call *c = ((struct replaying *)e->arg)->call;
    return call_check(c, types_payload(c->api->types, e->type), payload, "/payload");
}

static void answer_made(struct call *c, struct uuid new_id) {
    char id[UUID_TEXT_BYTES];
    uuid_text(new_id, id);
    dead_groups_expire(c->api);
    call_answer(c, 202, "application/json",
                arena_printf(&c->arena, "{\"id\":\"%s\",\"state\":\"waiting\",\"generation\":0,\"replay_of\":\"%.*s\"}", id,
                             STR_ARG(c->param)));
}

static void on_edited(struct edit *e, enum edit_verdict verdict) {
    struct replaying *r = e->arg;
    struct call *c = r->call;
    switch (verdict) {
    case EDIT_MADE:
        answer_made(c, e->id);
        break;
    case EDIT_NOT_FOUND:
        call_problem(c, PROBLEM_NOT_FOUND, "There is no job of this id");
        break;
    case EDIT_NOT_DEAD:
        call_problem(c, PROBLEM_NOT_DEAD, "It has not died, or was run again or put away already, or died more than 25 days ago");
        break;
    case EDIT_UNKNOWN_TYPE:
        call_problem(c, PROBLEM_UNKNOWN_TYPE, "This build does not know its type or its queue");
        break;
    case EDIT_INTERNAL_TYPE:
        call_problem(c, PROBLEM_INTERNAL_TYPE, "A job of type %s cannot be edited; retry it as it is", e->type->name);
        break;
    case EDIT_STREAM_CLASS:
        call_problem(c, PROBLEM_STREAM_TYPE, "Only jobs of durability journal can be edited; enqueue a new one");
        break;
    case EDIT_ACTED:
        call_problem(c, PROBLEM_ACTED, "Its steps or its calls of servers outside are not undone by another payload");
        break;
    case EDIT_FAILED:
        call_fail(c, e->err);
        break;
    case EDIT_INVALID: /* check has answered */
    case EDIT_VERDICTS:
    default:
        break;
    }
    json_decref(r->change);
    call_release(c);
}

static void start(struct call *c, struct replaying *r, const json_t *body) {
    const json_t *patch = json_object_get(body, "patch");
    struct pg_value tenant = call_tenant(c);
    struct str reason = json_opt_str(body, "reason", STR(""));
    r->call = c;
    r->change = json_incref((json_t *)(uintptr_t)(patch != NULL ? patch : json_object_get(body, "payload")));
    r->edit = (struct edit){.rt = c->api->rt,
                            .arena = &c->arena,
                            .old = c->job,
                            .of_tenant = str_of(tenant.p, tenant.n),
                            .change = r->change,
                            .is_patch = patch != NULL,
                            .author = str_c(c->who.author),
                            .tenant = str_c(c->who.tenant),
                            .reason = arena_str(&c->arena, reason),
                            .parent = &c->trace,
                            .scope = &c->scope,
                            .check = check,
                            .done = on_edited,
                            .arg = r};
    call_hold(c);
    edit_start(&r->edit);
}

void handle_jobs_replay(struct call *c) {
    struct replaying *r = ARENA_NEW(&c->arena, struct replaying);
    json_t *body = call_param_uuid(c, &c->job) ? call_body(c) : NULL;
    if (body == NULL) {
        return;
    }
    if (r == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "replay"));
    } else if (call_check(c, types_body(c->api->types, "ReplayRequest"), body, "")) {
        start(c, r, body);
    }
    json_decref(body);
}
