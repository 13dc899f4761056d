/* Where the modules are put together, and the roles started. */
#include "cli.h"

#include <api/api.h>
#include <base/fault.h>
#include <base/json.h>
#include <base/log.h>
#include <jobs/runtime.h>
#include <scheduler/scheduler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <worker/worker.h>

#define MODULE(name) extern const struct module name##_module;
#include <jobs/modules.def>
#undef MODULE

static const struct module *const modules[] = {
#define MODULE(name) &name##_module,
#include <jobs/modules.def>
#undef MODULE
};
_Static_assert(sizeof modules / sizeof modules[0] <= RUNTIME_MODULES_MAX, "a process has room for every module");
struct registry cli_registry = {.modules = modules, .modules_n = sizeof modules / sizeof modules[0]};

bool cli_conf(struct conf *out) {
    struct err e = conf_load(getenv("PENSTOCK_CONFIG"), out);
    if (err_is_set(e)) {
        (void)fprintf(stderr, "penstock: %s\n", e.detail);
        return false;
    }
    return true;
}

/* Settings and log of a role. False: exit with EXIT_CONFIG. */
static bool begin(const char *role, struct conf *out) {
    enum log_level level;
    if (!cli_conf(out)) {
        return false;
    }
    if (!log_level_parse(str_c(out->log_level), &level)) {
        (void)fprintf(stderr, "penstock: log.level \"%s\": must be debug, info, warn or error\n", out->log_level);
        conf_free(out);
        return false;
    }
    log_setup(role, level);
    return true;
}

/* The types of a file, for the roles that check or run jobs. False: printed why; exit with EXIT_CONFIG. */
static bool declare(const char *path) {
    json_setup();
    struct err e = registry_declare(&cli_registry, path, &cli_registry.declared);
    if (err_is_set(e)) {
        (void)fprintf(stderr, "penstock: %s\n", e.detail);
    }
    return !err_is_set(e);
}

static void end(struct conf *conf) {
    type_set_release(cli_registry.declared);
    cli_registry.declared = NULL;
    conf_free(conf);
}

int cli_api(int argc, char **argv) {
    struct conf conf;
    (void)argv;
    if (argc > 0) {
        return cli_usage("api takes no arguments");
    }
    if (!begin("api", &conf)) {
        return EXIT_CONFIG;
    }
    const struct api_options o = {.conf = &conf, .registry = &cli_registry};
    int status = declare(conf.handler_types) ? api_main(&o) : EXIT_CONFIG;
    end(&conf);
    return status;
}

int cli_scheduler(int argc, char **argv) {
    struct conf conf;
    (void)argv;
    if (argc > 0) {
        return cli_usage("scheduler takes no arguments");
    }
    if (!begin("scheduler", &conf)) {
        return EXIT_CONFIG;
    }
    const struct scheduler_options o = {.conf = &conf, .registry = &cli_registry};
    int status = scheduler_main(&o);
    conf_free(&conf);
    return status;
}

int cli_worker(int argc, char **argv) {
    struct conf conf;
    (void)argv;
    if (argc > 0) {
        return cli_usage("worker takes no arguments: penstock scale sets how many processes serve a queue");
    }
    if (!begin("supervisor", &conf)) {
        return EXIT_CONFIG;
    }
    const struct worker_options o = {.conf = &conf, .registry = &cli_registry, .table_fd = -1};
    int status = declare(conf.handler_types) ? supervisor_main(&o) : EXIT_CONFIG;
    end(&conf);
    return status;
}

static bool read_int(const char *text, int *out) {
    int64_t v;
    if (text == NULL || !str_to_i64(str_c(text), &v) || v < 0 || v > 100000) {
        return false;
    }
    *out = (int)v;
    return true;
}

static bool read_process_options(int argc, char **argv, struct worker_options *o, const char **types) {
    for (int i = 0; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool ok = true, flag = false;
        if (strcmp(name, "--quarantine") == 0) {
            o->quarantine = flag = true;
        } else if (strcmp(name, "--queue") == 0) {
            o->queue = value;
        } else if (strcmp(name, "--slot") == 0) {
            ok = read_int(value, &o->slot);
        } else if (strcmp(name, "--table-fd") == 0) {
            ok = read_int(value, &o->table_fd);
        } else if (strcmp(name, "--types") == 0) {
            *types = value;
        } else {
            ok = false;
        }
        if (!ok || (!flag && value == NULL)) {
            return false;
        }
        i += !flag;
    }
    return true;
}

int cli_worker_process(int argc, char **argv) {
    struct conf conf;
    struct worker_options o = {.conf = &conf, .registry = &cli_registry, .table_fd = -1};
    const char *types = NULL;
    if (!read_process_options(argc, argv, &o, &types)) {
        return cli_usage("worker-process takes --queue Q --slot N --quarantine");
    }
    if (o.queue == NULL) {
        return cli_usage("worker-process needs --queue");
    }
    if (!begin("worker", &conf)) {
        return EXIT_CONFIG;
    }
    int status = declare(types != NULL ? types : conf.handler_types) ? worker_process_main(&o) : EXIT_CONFIG;
    end(&conf);
    return status;
}

int cli_config(int argc, char **argv) {
    struct buf text;
    (void)argc;
    (void)argv;
    buf_init(&text, 1 << 20);
    conf_describe(&text);
    (void)fwrite(text.p, 1, text.n, stdout);
    buf_free(&text);
    return EXIT_SUCCESS;
}

int cli_failpoints(int argc, char **argv) {
    (void)argc;
    (void)argv;
#ifdef PENSTOCK_FAULTS
    fault_list();
#endif
    return EXIT_SUCCESS;
}
