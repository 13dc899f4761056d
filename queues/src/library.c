#include <queues/upkeep.h>

#include "call.h"

#include <queues/version.h>
#include <stdlib.h>

#define LIBRARY_PREFIX "penstock_"

/* Two lines, and the files of lua/, one after the other. */
static const char library[] =
    "#!lua name=" LIBRARY_PREFIX FUNCTIONS_TEXT(FUNCTIONS_VERSION) "\nlocal VERSION = '" FUNCTIONS_TEXT(FUNCTIONS_VERSION) "'\n"
#include "0_shared.lua.inc"
#include "1_enter.lua.inc"
#include "2_attempt.lua.inc"
#include "3_upkeep.lua.inc"
#include "4_calls.lua.inc"
    ;

struct load_call {
    queue_count_cb *cb;
    void *arg;
};

static void on_load(void *context, struct err err, const struct reply *r) {
    struct load_call *call = context;
    struct str name;
    if (!err_is_set(err) && !reply_read_str(r, &name)) {
        err = reply_unexpected("FUNCTION LOAD");
    }
    call->cb(call->arg, err, err_is_set(err) ? 0 : 1);
    free(call);
}

void queue_functions_load(const struct broker *b, queue_count_cb *cb, void *arg) {
    struct err why;
    struct load_call *call = call_context(1, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, 0);
        return;
    }
    *call = (struct load_call){cb, arg};
    struct call c;
    call_begin(&c, STR("FUNCTION"));
    call_add(&c, STR("LOAD"));
    call_add(&c, STR("REPLACE"));
    call_add(&c, str_of(library, sizeof library - 1));
    call_send(&c, b, 0, on_load, call);
}

/* ---- those that no process calls any more ---- */

struct drop_call {
    const struct broker *broker;
    queue_count_cb *cb;
    void *arg;
    int64_t dropped;
};

static void list(struct drop_call *call);

static void end_drop(struct drop_call *call, struct err err) {
    call->cb(call->arg, err, call->dropped);
    free(call);
}

static void on_dropped(void *context, struct err err, const struct reply *r) {
    struct drop_call *call = context;
    (void)r;
    if (err_is_set(err)) {
        end_drop(call, err);
        return;
    }
    call->dropped++;
    list(call);
}

/* One of ours, from before the release before this. Of one library: names and values in turn. */
static bool is_old(const struct reply *row, struct str *out_name) {
    int64_t version;
    for (size_t i = 0; i + 1 < reply_len(row); i += 2) {
        struct str name = reply_str(reply_at(row, i + 1));
        if (str_is(reply_str(reply_at(row, i)), "library_name") && str_starts(name, STR(LIBRARY_PREFIX)) &&
            str_to_i64(str_of(name.p + sizeof LIBRARY_PREFIX - 1, name.n - (sizeof LIBRARY_PREFIX - 1)), &version)) {
            *out_name = name;
            return version < FUNCTIONS_BEFORE;
        }
    }
    return false;
}

static void on_list(void *context, struct err err, const struct reply *r) {
    struct drop_call *call = context;
    struct str name = STR_NONE;
    size_t i = 0;
    while (i < reply_len(r) && !is_old(reply_at(r, i), &name)) {
        i++;
    }
    if (err_is_set(err) || i == reply_len(r)) {
        end_drop(call, err);
        return;
    }
    struct call c;
    call_begin(&c, STR("FUNCTION"));
    call_add(&c, STR("DELETE"));
    call_add(&c, name);
    call_send(&c, call->broker, 0, on_dropped, call);
}

static void list(struct drop_call *call) {
    struct call c;
    call_begin(&c, STR("FUNCTION"));
    call_add(&c, STR("LIST"));
    call_add(&c, STR("LIBRARYNAME"));
    call_add(&c, STR(LIBRARY_PREFIX "*"));
    call_send(&c, call->broker, 0, on_list, call);
}

void queue_functions_drop_old(const struct broker *b, queue_count_cb *cb, void *arg) {
    struct err why;
    struct drop_call *call = call_context(1, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, 0);
        return;
    }
    *call = (struct drop_call){.broker = b, .cb = cb, .arg = arg};
    list(call);
}
