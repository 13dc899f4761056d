/* penstock doctor: reads only. */
#include "doctor.h"
#include "client.h"

#include <base/crypto.h>
#include <base/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SKEW_MAX_MS = 500, JSON_MAX_BYTES = 1 << 20 };

static void add_json(struct buf *b, const char *state, const char *what, const char *detail, const char *advice) {
    buf_addf(b, "%s{\"name\":\"%s\",\"state\":\"%s\",\"detail\":", b->n > 0 ? "," : "", what, state);
    json_add_string(b, str_c(detail));
    if (advice != NULL) {
        buf_add_c(b, ",\"advice\":");
        json_add_string(b, str_c(advice));
    }
    buf_add_char(b, '}');
}

void doctor_say(struct doctor *d, enum doctor_level level, const char *what, const char *advice, const char *fmt, ...) {
    static const char *const states[] = {[DOCTOR_OK] = "ok", [DOCTOR_WARN] = "WARN", [DOCTOR_FAIL] = "FAIL"};
    char detail[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    for (char *c = detail; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' ? ' ' : *c; /* libpq's messages have several lines */
    }
    d->warned += level == DOCTOR_WARN;
    d->failed += level == DOCTOR_FAIL;
    if (d->o->json) {
        add_json(&d->json, states[level], what, detail, advice);
    } else if (level != DOCTOR_OK || !d->o->quiet) {
        (void)printf("%-4s  %-22s %s%s%s\n", states[level], what, detail, advice != NULL ? "; " : "",
                     advice != NULL ? advice : "");
        (void)fflush(stdout); /* a line when it is known: the next check may take its time */
    }
}

void doctor_clock(struct doctor *d, const char *what, struct wall before, struct wall theirs, struct wall after) {
    int64_t skew_ms = theirs.ms - (before.ms + after.ms) / 2;
    int64_t size_ms = skew_ms < 0 ? -skew_ms : skew_ms;
    bool good = size_ms - (after.ms - before.ms) < SKEW_MAX_MS; /* a slow answer proves nothing */
    doctor_say(d, good ? DOCTOR_OK : DOCTOR_FAIL, what,
               good ? NULL : "set the clocks of both machines (NTP): due times and leases go by them", "%lld ms %s ours",
               (long long)size_ms, skew_ms < 0 ? "behind" : "ahead of");
}

/* ---- settings ---- */

static bool check_settings(struct doctor *d) {
    const char *file = getenv("PENSTOCK_CONFIG");
    struct err e = conf_load(file, &d->conf);
    if (!err_is_set(e)) {
        e = conf_secret(d->conf.redis_password_file, &d->redis_password);
    }
    if (!err_is_set(e)) {
        e = conf_secret(d->conf.postgres_password_file, &d->postgres_password);
    }
    if (err_is_set(e)) {
        doctor_say(d, DOCTOR_FAIL, "settings", "penstock config prints every setting", "%s", e.detail);
    } else {
        doctor_say(d, DOCTOR_OK, "settings", NULL, "%s",
                   file != NULL ? file : "defaults and environment; PENSTOCK_CONFIG names no file");
    }
    return !err_is_set(e);
}

/* ---- API ---- */

static void say_ready(struct doctor *d, const struct client_answer *a) {
    struct str status = json_opt_str(a->json, "status", STR(""));
    const json_t *degraded = json_object_get(a->json, "degraded");
    if (str_is(status, "ready")) {
        doctor_say(d, DOCTOR_OK, "api.ready", NULL, "takes jobs of both classes");
    } else if (str_is(status, "degraded")) {
        const char *first = json_string_value(json_array_get(degraded, 0));
        const json_t *accepts = json_object_get(a->json, "accepts");
        bool both = json_opt_bool(accepts, "journal", false) && json_opt_bool(accepts, "stream", false);
        doctor_say(d, DOCTOR_WARN, "api.ready", "see the lines above", "takes %s, and %s does not work",
                   both ? "jobs of both classes" : "jobs of one class only", first != NULL ? first : "something");
    } else {
        doctor_say(d, DOCTOR_FAIL, "api.ready", "see the lines above, and the log of penstock api", "takes no jobs");
    }
}

static bool check_ready(struct doctor *d) {
    const struct client_request r = {.method = "GET", .path = {"/readyz"}, .timeout_ms = d->o->timeout_ms, .anonymous = true};
    struct client_answer a;
    struct buf why;
    buf_init(&why, CLI_LINE_BYTES);
    int code = client_ask(d->o, &r, &a, &why);
    bool ours = json_string_value(json_object_get(a.json, "status")) != NULL; /* a 503 of /readyz has the same shape */
    if (ours) {
        say_ready(d, &a);
    } else {
        doctor_say(d, DOCTOR_FAIL, "api.ready", NULL, "%.*s", STR_ARG(buf_str(&why)));
    }
    client_answer_free(&a);
    buf_free(&why);
    return ours || code == EXIT_SUCCESS;
}

static void check_key(struct doctor *d) {
    const struct client_request r = {.method = "GET", .path = {"/v1/health"}, .timeout_ms = d->o->timeout_ms};
    bool given = d->o->key != NULL;
    struct client_answer a;
    struct buf why;
    buf_init(&why, CLI_LINE_BYTES);
    int code = client_ask(d->o, &r, &a, &why);
    if (code == EXIT_SUCCESS) {
        doctor_say(d, DOCTOR_OK, "api.key", NULL, "%s", given ? "the key is taken" : "none is asked for here");
    } else if (code == EXIT_DENIED) {
        doctor_say(d, DOCTOR_WARN, "api.key", "penstock key create --scopes view,enqueue,operate,replay makes one", "%s is %s",
                   given ? d->o->key_from : "PENSTOCK_KEY", given ? "refused" : "not set, and the API asks for one");
    } else {
        doctor_say(d, DOCTOR_FAIL, "api.key", NULL, "%.*s", STR_ARG(buf_str(&why)));
    }
    client_answer_free(&a);
    buf_free(&why);
}

/* ---- the command ---- */

static void forget(char *secret) {
    if (secret != NULL) {
        crypto_wipe(secret, strlen(secret));
    }
    free(secret);
}

static int conclude(struct doctor *d, bool settings) {
    if (d->o->json) {
        (void)printf("{\"ok\":%s,\"items\":[%.*s]}\n", d->failed == 0 ? "true" : "false", STR_ARG(buf_str(&d->json)));
    }
    return !settings ? EXIT_CONFIG : d->failed > 0 ? EXIT_FAILED : EXIT_SUCCESS;
}

int cli_doctor(const struct options *o) {
    struct doctor d = {.o = o};
    buf_init(&d.json, JSON_MAX_BYTES);
    bool settings = check_settings(&d);
    if (settings) {
        doctor_postgres(&d);
        doctor_redis(&d);
        if (check_ready(&d)) {
            check_key(&d);
        }
    }
    int code = conclude(&d, settings);
    forget(d.redis_password);
    forget(d.postgres_password);
    conf_free(&d.conf);
    buf_free(&d.json);
    return code;
}
