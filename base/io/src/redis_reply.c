/* Replies in an arena, and the errors behind error replies. */
#include "redis_private.h"

_Static_assert(sizeof(struct reply) == sizeof(redisReply), "struct reply has hiredis' layout");
_Static_assert(offsetof(struct reply, type) == offsetof(redisReply, type), "type");
_Static_assert(offsetof(struct reply, integer) == offsetof(redisReply, integer), "integer");
_Static_assert(offsetof(struct reply, len) == offsetof(redisReply, len), "len");
_Static_assert(offsetof(struct reply, str) == offsetof(redisReply, str), "str");
_Static_assert(offsetof(struct reply, elements) == offsetof(redisReply, elements), "elements");
_Static_assert(offsetof(struct reply, element) == offsetof(redisReply, element), "element");
_Static_assert(REPLY_STRING == (int)REDIS_REPLY_STRING && REPLY_ARRAY == (int)REDIS_REPLY_ARRAY &&
                   REPLY_INTEGER == (int)REDIS_REPLY_INTEGER && REPLY_NIL == (int)REDIS_REPLY_NIL &&
                   REPLY_STATUS == (int)REDIS_REPLY_STATUS && REPLY_ERROR == (int)REDIS_REPLY_ERROR,
               "and hiredis' types");

static void attach(const redisReadTask *task, struct reply *r) {
    if (task->parent != NULL) {
        struct reply *parent = task->parent->obj;
        parent->element[task->idx] = r;
    }
}

static void *create(const redisReadTask *task, int type, long long integer) {
    struct reply *r = ARENA_NEW(task->privdata, struct reply);
    if (r != NULL) {
        r->type = type;
        r->integer = integer;
        attach(task, r);
    }
    return r;
}

static void *create_string(const redisReadTask *task, char *p, size_t n) {
    struct str copy = arena_str(task->privdata, str_of(p, n));
    struct reply *r = copy.p != NULL ? create(task, task->type, 0) : NULL;
    if (r != NULL) {
        r->str = (char *)copy.p;
        r->len = n;
    }
    return r;
}

static void *create_array(const redisReadTask *task, int n) {
    struct reply **element = NULL;
    if (n > 0) {
        element = ARENA_ARRAY(task->privdata, struct reply *, (size_t)n);
        if (element == NULL) {
            return NULL;
        }
    }
    struct reply *r = create(task, REPLY_ARRAY, 0);
    if (r != NULL) {
        r->elements = (size_t)n;
        r->element = element;
    }
    return r;
}

static void *create_integer(const redisReadTask *task, long long v) { return create(task, REPLY_INTEGER, v); }
static void *create_nil(const redisReadTask *task) { return create(task, REPLY_NIL, 0); }
static void free_nothing(void *reply) { (void)reply; } /* the arena is reset by whoever read the reply */

redisReplyObjectFunctions redis_reply_functions = {create_string, create_array, create_integer, create_nil, free_nothing};

struct err redis_reply_err(struct str message) {
    static const struct {
        struct str word;
        enum err_code code;
    } words[] = {
        {STR("OOM"), ERR_REDIS_FULL},        {STR("MISCONF"), ERR_REDIS_FULL},    {STR("READONLY"), ERR_REDIS_FULL},
        {STR("LOADING"), ERR_REDIS_FULL},    {STR("BUSY"), ERR_REDIS_FULL},       {STR("MASTERDOWN"), ERR_REDIS_FULL},
        {STR("NOREPLICAS"), ERR_REDIS_FULL}, {STR("NOGROUP"), ERR_REDIS_NOGROUP},
    };
    enum err_code code = ERR_REDIS_REPLY;
    struct str rest = message, first = STR_NONE;
    (void)str_cut(&rest, ' ', &first);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (str_eq(first, words[i].word)) {
            code = words[i].code;
        }
    }
    if (str_starts(message, STR("ERR Function not found"))) {
        code = ERR_REDIS_NOFUNC;
    }
    return err_make(code, "%.*s", message.n < 200 ? (int)message.n : 200, message.p != NULL ? message.p : "");
}
