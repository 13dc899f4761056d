/* The whole of it: what the type is, and its handler, which asks, and ends with one statement: the effect together with a row of ours. */
#include <checksum/checksum.h>

#include <base/crypto.h>
#include <base/json.h>
#include <jobs/attempt.h>
#include <jobs/module_sql.h>

enum { ANSWER_BYTES_MAX = 4 << 20 };

static const struct pg_stmt found_stmt = {
    "checksum.found",
    EFFECT_GATE("checksum") ", f AS (INSERT INTO checksum.found (root_id, tenant, url, sha256, bytes) "
                            "SELECT root_id, $7::text, $8::text, $9::text, $10::bigint FROM g)" EFFECT_ANSWER("checksum"),
    EFFECT_PARAMS + 4,
};

static void commit(struct attempt *a, struct str body) {
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES], bytes[PG_INT_BYTES];
    struct err e = sha256(body, digest);
    if (err_is_set(e)) {
        attempt_fail(a, e);
        return;
    }
    hex_encode(digest, sizeof digest, hex);
    const struct str *url = a->state;
    const struct pg_value values[] = {
        pg_text(a->job.tenant),
        pg_text(*url),
        pg_text(str_c(hex)),
        pg_int((int64_t)body.n, bytes),
    };
    const struct attempt_effect effect = {
        .stmt = &found_stmt,
        .values = values,
        .values_n = sizeof values / sizeof values[0],
        .outcome = OUTCOME_DONE,
        .status = 200,
        .result = arena_printf(a->arena, "{\"sha256\":\"%s\",\"bytes\":%zu}", hex, body.n),
    };
    attempt_commit(a, &effect);
}

/* The error's class decides what follows (base/err.def): transient is tried again, refused is dead. */
static void on_answer(void *arg, struct err err, const struct http_reply *reply) {
    struct attempt *a = arg;
    if (err_is_set(err)) {
        attempt_fail(a, err);
    } else if (reply->status == 408 || reply->status == 429 || reply->status >= 500) {
        const struct attempt_end again = {
            .kind = END_FAILED,
            .err = err_make(ERR_TRANSIENT, "it answered %d", reply->status),
            .delay_ms = retry_after_parse(reply->retry_after.p, reply->retry_after.n, loop_wall(a->env->loop).ms),
        };
        attempt_end(a, &again);
    } else if (reply->status != 200) {
        attempt_fail(a, err_make(ERR_REFUSED, "it answered %d", reply->status));
    } else if (reply->body.n > ANSWER_BYTES_MAX) {
        attempt_fail(a, err_make(ERR_TOO_LARGE, "it has more than %d bytes", ANSWER_BYTES_MAX));
    } else {
        commit(a, reply->body);
    }
}

static void start(struct attempt *a) {
    json_t *payload;
    struct str *url = ARENA_NEW(a->arena, struct str);
    if (!attempt_parse(a, &payload)) {
        return;
    }
    struct str text = arena_str(a->arena, json_opt_str(payload, "url", STR("")));
    json_decref(payload);
    if (url == NULL || text.p == NULL) {
        attempt_fail(a, err_make(ERR_NOMEM, "url"));
        return;
    }
    *url = text;
    a->state = url;
    const struct http_spec spec = {
        .method = "GET",
        .url = text,
        .deadline_ms = attempt_call_ms(a),
        .max_answer_bytes = ANSWER_BYTES_MAX + 1,
        .vetted = true,
    };
    if (http_send(a->env->http, &spec, on_answer, a) == NULL) {
        attempt_fail(a, err_make(ERR_NOMEM, "request"));
    }
}

static const char ddl[] = MODULE_DDL("checksum")
#include "checksum.sql.inc"
    ;
static const char schema[] =
#include "checksum.url.v1.json.inc"
    ;
static const struct module_sql sql = MODULE_SQL("checksum");

static const struct job_type types[] = {
    {.name = "checksum.url",
     .version = 1,
     .queue = "default",
     .class = CLASS_JOURNAL,
     .schema = schema,
     .timeout_ms = 30000,
     .retry = {.base_ms = 1000, .cap_ms = 600000, .max_attempts = 10},
     .key_required = true,
     .start = start},
};

const struct module checksum_module = {
    .name = "checksum",
    .ddl = ddl,
    .sql = &sql,
    .types = types,
    .types_n = sizeof types / sizeof types[0],
};
