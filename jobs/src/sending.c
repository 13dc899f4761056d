#include <jobs/sending.h>

#include <stdio.h>

enum { SCRATCH_BYTES = 1024, NAME_BYTES = 80 };

static void fill(struct span *s, const struct sending *from, struct arena *a) {
    bool failed = err_is_set(from->err);
    *s = (struct span){
        .trace = from->trace,
        .kind = SPAN_PRODUCER,
        .name = arena_printf(a, "send %.*s", STR_ARG(from->queue)),
        .began = from->began,
        .ended = clock_mono(&clock_system),
        .error = failed ? err_name(from->err.code) : NULL,
        .message = failed ? arena_str(a, str_c(from->err.detail)) : STR(""),
        .links = from->link,
        .links_n = from->link != NULL,
    };
    if (from->parent != NULL) {
        memcpy(s->parent, from->parent->span_id, sizeof s->parent);
    }
}

void sending_record(const struct sending *from, struct span_scope *scope) {
    struct arena scratch;
    struct span s;
    char job[UUID_TEXT_BYTES];
    bool open = scope != NULL && scope->arena != NULL;
    if (!span_is_on() || (open ? !span_scope_takes(scope) : !trace_is_sampled(&from->trace))) {
        return;
    }
    arena_init(&scratch, SCRATCH_BYTES, SCRATCH_BYTES);
    struct arena *a = open ? scope->arena : &scratch;
    uuid_text(from->job, job);
    fill(&s, from, a);
    const struct span_attr attrs[] = {
        SA_C("messaging.system", "redis"),
        SA_C("messaging.operation.name", "send"),
        SA_C("messaging.operation.type", "send"),
        SA_STR("messaging.destination.name", arena_str(a, from->queue)),
        SA_STR("messaging.message.id", arena_str(a, str_c(job))),
        SA_INT("messaging.message.body.size", from->bytes),
        SA_STR("penstock.job.type", arena_str(a, from->type)),
        SA_STR("penstock.tenant", arena_str(a, from->tenant)),
    };
    s.attrs = attrs;
    s.attrs_n = sizeof attrs / sizeof attrs[0];
    if (open) {
        span_scope_add(scope, &s);
    } else {
        span_emit(&s);
    }
    arena_free(&scratch);
}

void sending_record_call(const char *function, const struct trace *const *of, size_t n, struct mono began, struct err err) {
    char name[NAME_BYTES];
    struct span s = {
        .kind = SPAN_CLIENT,
        .name = str_of(name, (size_t)snprintf(name, sizeof name, "FCALL %s", function)),
        .began = began,
        .ended = clock_mono(&clock_system),
        .error = err_is_set(err) ? err_name(err.code) : NULL,
        .message = str_c(err.detail),
        SPAN_ATTRS(SA_C("db.system.name", "redis"), SA_C("db.operation.name", "FCALL"),
                   SA_C("db.stored_procedure.name", function), SA_INT("db.operation.batch.size", n)),
    };
    s.attrs_n -= n == 1; /* by the convention, batches only */
    span_emit_batch(&s, of, n);
}
