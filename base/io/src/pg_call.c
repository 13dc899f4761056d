#include "pg_private.h"

#include <limits.h>
#include <stdlib.h>

static struct err check(const struct pg_stmt *stmt, const struct pg_value *values, size_t *out_bytes) {
    size_t bytes = 0;
    for (int i = 0; i < stmt->params; i++) {
        const struct pg_value *v = &values[i];
        if (v->p == NULL) {
            continue;
        }
        if (v->n >= INT_MAX || __builtin_add_overflow(bytes, v->n + 1, &bytes)) {
            return err_make(ERR_TOO_LARGE, "parameter $%d is too large", i + 1);
        }
        if (!v->binary && memchr(v->p, '\0', v->n) != NULL) {
            return err_make(ERR_INVALID, "parameter $%d holds a NUL byte", i + 1);
        }
    }
    *out_bytes = bytes;
    return OK;
}

static void copy_values(struct pg_call *c, size_t n, const struct pg_value *values) {
    char *room = (char *)(c + 1);
    c->values = (const char **)(void *)room;
    room += n * sizeof *c->values;
    c->lengths = (int *)(void *)room;
    c->formats = c->lengths + n;
    room += 2 * n * sizeof(int);
    for (size_t i = 0; i < n; i++) {
        if (values[i].p == NULL) {
            continue;
        }
        memcpy(room, values[i].p, values[i].n); /* calloc'ed: the NUL is there */
        c->values[i] = room;
        c->lengths[i] = (int)values[i].n;
        c->formats[i] = values[i].binary ? 1 : 0;
        room += values[i].n + 1;
    }
}

struct err pg_call_new(const struct pg_stmt *stmt, const struct pg_value *values, struct pg_call **out) {
    size_t bytes = 0;
    size_t n = values != NULL ? (size_t)stmt->params : 0;
    if (n > 0) {
        TRY(check(stmt, values, &bytes));
    }
    struct pg_call *c = calloc(1, sizeof *c + n * (sizeof(char *) + 2 * sizeof(int)) + bytes);
    if (c == NULL) {
        return err_make(ERR_NOMEM, "postgres statement");
    }
    c->stmt = stmt;
    copy_values(c, n, values);
    *out = c;
    return OK;
}

void pg_call_free(struct pg_call *c) {
    free(c->detail);
    PQclear(c->res);
    free(c);
}

const char *pg_calls_waits(const struct pg_call_list *calls, uint32_t owner) {
    const struct pg_call *c;
    STAILQ_FOREACH(c, calls, next) {
        if (c->owner == owner) {
            return c->stmt->name;
        }
    }
    return NULL;
}

void pg_call_fail(struct pg_call *c, enum err_code code, const char *detail) {
    c->failed = code;
    free(c->detail);
    c->detail = strdup(detail);
    PQclear(c->res);
    c->res = NULL;
}

void pg_call_run_callback(struct pg_call *c) {
    if (c->failed == ERR_NONE) {
        c->cb(c->arg, OK, c->res);
    } else {
        const char *detail = c->detail != NULL ? c->detail : err_name(c->failed);
        c->cb(c->arg, err_make(c->failed, "%s: %s", c->stmt->name, detail), NULL);
    }
}

void pg_call_end_span(const struct pg_call *c, const char *database) {
    struct span_scope *scope = span_mark_scope(&c->mark);
    if (scope == NULL) {
        return;
    }
    bool failed = c->failed != ERR_NONE;
    struct span s = {
        .kind = SPAN_CLIENT,
        .name = str_c(c->stmt->name),
        .error = failed ? err_name(c->failed) : NULL,
        .message = failed && c->detail != NULL ? arena_str(scope->arena, str_c(c->detail)) : STR(""),
        SPAN_ATTRS(SA_C("db.system.name", "postgresql"), SA_C("db.namespace", database), SA_C("db.query.summary", c->stmt->name)),
    };
    span_end(&c->mark, &s);
}

static enum err_code code_of(struct str sqlstate) {
    static const struct {
        struct str prefix;
        enum err_code code;
    } codes[] = {
        /* the first that fits */
        {STR("23505"), ERR_PG_UNIQUE},   {STR("23"), ERR_PG_CHECK}, {STR("40001"), ERR_PG_CONFLICT}, /* serialization failure */
        {STR("40P01"), ERR_PG_CONFLICT},                                                             /* deadlock */
        {STR("55P03"), ERR_PG_CONFLICT},                                                             /* lock not available */
        {STR("57014"), ERR_PG_SLOW},                                                                 /* statement_timeout */
        {STR("57P"), ERR_PG_DOWN},   /* shutting down, starting up, … */
        {STR("53"), ERR_PG_DOWN},    /* disk full, out of memory, too many connections */
        {STR("25006"), ERR_PG_DOWN}, /* read only: a standby, or about to be one */
        {STR("08"), ERR_PG_DOWN},    /* connection exceptions */
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (str_starts(sqlstate, codes[i].prefix)) {
            return codes[i].code;
        }
    }
    return ERR_PG_ERROR;
}

static struct str field(const PGresult *res, int which) { return str_c(PQresultErrorField(res, which)); }

struct err pg_result_err(const PGresult *res) {
    struct str sqlstate = field(res, PG_DIAG_SQLSTATE), message = field(res, PG_DIAG_MESSAGE_PRIMARY);
    if (message.n == 0) {
        message = str_trim(str_c(PQresultErrorMessage(res)));
    }
    return err_make(code_of(sqlstate), "%.*s %.*s", STR_ARG(sqlstate), STR_ARG(message));
}

bool pg_result_is(const PGresult *res, const char *sqlstate) { return str_is(field(res, PG_DIAG_SQLSTATE), sqlstate); }

bool pg_result_ends_session(const PGresult *res) {
    struct str severity = field(res, PG_DIAG_SEVERITY_NONLOCALIZED);
    return field(res, PG_DIAG_SQLSTATE).n == 0 || str_is(severity, "FATAL") || str_is(severity, "PANIC");
}
