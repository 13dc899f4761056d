#include "custom.h"
#include "types_conf.h"

#include <jobs/module_sql.h>
#include <jobs/signature.h>

static const char ddl[] = MODULE_DDL("custom")
#include "custom.sql.inc"
    ;

static const struct module_sql sql = MODULE_SQL("custom");

#define ANY_OBJECT "{\"type\":\"object\"}"
#define MS_OR_FAIL \
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"ms\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":60000},\"fail\":{\"type\":\"boolean\"}}}"
#define QUICK \
    { .base_ms = 1000, .cap_ms = 60000, .max_attempts = 5 }

static const struct job_type types[] = {
    {.name = "demo.noop",
     .version = 1,
     .queue = "default",
     .class = CLASS_STREAM,
     .schema = ANY_OBJECT,
     .timeout_ms = 30000,
     .retry = QUICK,
     .start = demo_noop},
    {.name = "demo.echo",
     .version = 1,
     .queue = "default",
     .class = CLASS_STREAM,
     .schema = ANY_OBJECT,
     .timeout_ms = 30000,
     .retry = QUICK,
     .keep_outcome = true,
     .start = demo_echo},
    {.name = "demo.note",
     .version = 1,
     .queue = "default",
     .class = CLASS_JOURNAL,
     .schema =
         "{\"type\":\"object\",\"required\":[\"text\"],\"additionalProperties\":false,\"properties\":{\"text\":{\"type\":\"string\",\"maxLength\":10000}}}",
     .timeout_ms = 30000,
     .retry = QUICK,
     .key_required = true,
     .start = demo_note},
    {.name = "demo.fail",
     .version = 1,
     .queue = "default",
     .class = CLASS_JOURNAL,
     .schema =
         "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"until\":{\"type\":\"integer\",\"minimum\":0},\"permanent\":{\"type\":\"boolean\"}}}",
     .timeout_ms = 30000,
     .retry = {.base_ms = 100, .cap_ms = 2000, .max_attempts = 5},
     .key_required = true,
     .start = demo_fail},
    {.name = "demo.sleep",
     .version = 1,
     .queue = "default",
     .class = CLASS_STREAM,
     .schema = MS_OR_FAIL,
     .timeout_ms = 60000,
     .retry = QUICK,
     .keep_outcome = true,
     .start = demo_sleep},
    {.name = "demo.tally",
     .version = 1,
     .queue = "default",
     .class = CLASS_STREAM,
     .schema = MS_OR_FAIL,
     .timeout_ms = 60000,
     .retry = QUICK,
     .start = demo_tally},
#ifdef PENSTOCK_FAULTS
    {.name = "demo.crash",
     .version = 1,
     .queue = "default",
     .class = CLASS_STREAM,
     .schema = ANY_OBJECT,
     .timeout_ms = 2000,
     .retry = {.base_ms = 100, .cap_ms = 100, .max_attempts = 2},
     .start = demo_crash},
    {.name = "demo.crash_journal",
     .version = 1,
     .queue = "default",
     .class = CLASS_JOURNAL,
     .schema = ANY_OBJECT,
     .timeout_ms = 2000,
     .retry = {.base_ms = 100, .cap_ms = 100, .max_attempts = 2},
     .key_required = true,
     .start = demo_crash},
#endif
    {.name = "event.deliver",
     .version = 1,
     .queue = "default",
     .class = CLASS_JOURNAL,
     .schema = ANY_OBJECT,
     .timeout_ms = 30000,
     .retry = {.base_ms = 1000, .cap_ms = 600000, .max_attempts = 20},
     .internal = true,
     .start = event_deliver},
};

static struct err declare(const char *path, struct type_set **out) {
    return types_conf_read(path, &custom_module, handler_post, out);
}

static struct err open_module(struct module_env *env, struct services *services) {
    (void)services;
    return signature_check(env->conf->handler_secret, "handler.secret");
}

const struct module custom_module = {
    .name = "custom",
    .ddl = ddl,
    .sql = &sql,
    .types = types,
    .types_n = sizeof types / sizeof types[0],
    .declare = declare,
    .open = open_module,
};
