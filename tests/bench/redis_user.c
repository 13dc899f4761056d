#include "redis_user.h"

#include "tool.h"

#include <signal.h>
#include <stdio.h>

enum { COMMAND_MS = 30000 };

static struct {
    void (*run)(void *arg);
    void *arg;
} on_up;

static void on_state(void *arg, bool up, struct err why) {
    (void)arg;
    if (!up && why.code != ERR_CLOSED) {
        die("redis", why.detail);
    }
    if (up) {
        on_up.run(on_up.arg);
    }
}

struct redis *redis_user_open(struct loop *l, int argc, char **argv, void (*run)(void *arg), void *arg) {
    char url[64];
    struct redis *out;
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%ld", option_long(argc, argv, "--port", 6379));
    const struct redis_options o = {.url = url,
                                    .user = option(argc, argv, "--user"),
                                    .password = option(argc, argv, "--password"),
                                    .name = "bench",
                                    .connect_ms = COMMAND_MS,
                                    .command_ms = COMMAND_MS,
                                    .on_state = on_state};
    on_up.run = run;
    on_up.arg = arg;
    (void)signal(SIGPIPE, SIG_IGN);
    struct err e = redis_new(l, &o, &out);
    if (err_is_set(e)) {
        die("redis", e.detail);
    }
    return out;
}
