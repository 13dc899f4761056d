#include <queues/upkeep.h>

#include "call.h"

#include <stdlib.h>

/* The files of lua/, one after the other. */
static const char library[] =
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
