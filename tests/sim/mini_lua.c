/* The Functions: Lua 5.1 with what Redis adds to it. */
#include "mini_data.h"

#include <base/buf.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARGS_MAX = 8192 };

static struct mini *mini_of(lua_State *l) {
    lua_getfield(l, LUA_REGISTRYINDEX, "mini");
    struct mini *m = lua_touserdata(l, -1);
    lua_pop(l, 1);
    return m;
}

/* ---- between replies and Lua values ---- */

static void push_reply(lua_State *l, const struct reply *r) {
    switch (r->type) {
    case REPLY_INTEGER:
        lua_pushnumber(l, (lua_Number)r->integer);
        break;
    case REPLY_STRING:
        lua_pushlstring(l, r->str, r->len);
        break;
    case REPLY_STATUS:
        lua_createtable(l, 0, 1);
        lua_pushlstring(l, r->str, r->len);
        lua_setfield(l, -2, "ok");
        break;
    case REPLY_ARRAY:
        luaL_checkstack(l, 4, "reply");
        lua_createtable(l, (int)r->elements, 0);
        for (size_t i = 0; i < r->elements; i++) {
            push_reply(l, r->element[i]);
            lua_rawseti(l, -2, (int)i + 1);
        }
        break;
    default:
        lua_pushboolean(l, 0);
    }
}

static struct reply *read_value(lua_State *l, struct arena *a, int at);

static struct reply *read_table(lua_State *l, struct arena *a, int at) {
    lua_getfield(l, at, "err");
    if (lua_isstring(l, -1)) {
        struct reply *r = reply_text(a, REPLY_ERROR, lua_tostring(l, -1));
        lua_pop(l, 1);
        return r;
    }
    lua_getfield(l, at, "ok");
    if (lua_isstring(l, -1)) {
        struct reply *r = reply_text(a, REPLY_STATUS, lua_tostring(l, -1));
        lua_pop(l, 2);
        return r;
    }
    lua_pop(l, 2);
    size_t n = lua_objlen(l, at);
    struct reply *r = reply_array(a, n);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(l, at, (int)i + 1);
        if (lua_isnil(l, -1)) { /* a list ends at its first nil */
            lua_pop(l, 1);
            r->elements = i;
            break;
        }
        r->element[i] = read_value(l, a, lua_gettop(l));
        lua_pop(l, 1);
    }
    return r;
}

static struct reply *read_value(lua_State *l, struct arena *a, int at) {
    size_t n;
    switch (lua_type(l, at)) {
    case LUA_TNUMBER:
        return reply_integer(a, (long long)lua_tonumber(l, at));
    case LUA_TSTRING: {
        const char *p = lua_tolstring(l, at, &n);
        return reply_bytes(a, str_of(p, n));
    }
    case LUA_TBOOLEAN:
        return lua_toboolean(l, at) ? reply_integer(a, 1) : reply_new(a, REPLY_NIL);
    case LUA_TTABLE:
        luaL_checkstack(l, 4, "reply");
        return read_table(l, a, at);
    default:
        return reply_new(a, REPLY_NIL);
    }
}

/* ---- redis.* ---- */

static bool writes(struct str command) {
    static const char *const reading[] = {"TIME", "EXISTS",  "XINFO", "XRANGE", "XPENDING", "XLEN",   "HGET",  "HMGET", "HEXISTS",
                                          "HLEN", "HGETALL", "HSCAN", "ZCARD",  "ZSCORE",   "ZRANGE", "ZSCAN", "GET",   "TYPE"};
    for (size_t i = 0; i < sizeof reading / sizeof reading[0]; i++) {
        if (str_is(command, reading[i])) {
            return false;
        }
    }
    return true;
}

/* Its reply, or error, on the stack. True: an error. */
static bool run_command(lua_State *l) {
    static struct str argv[ARGS_MAX];
    static char numbers[64][32];
    struct mini *m = mini_of(l);
    struct arena a;
    size_t numbers_n = 0;
    struct command c = {.m = m, .a = &a, .argc = (size_t)lua_gettop(l), .argv = argv};
    for (size_t i = 0; i < c.argc; i++) {
        if (lua_type(l, (int)i + 1) == LUA_TNUMBER) {
            char *room = numbers[numbers_n++ % 64];
            int n = snprintf(room, sizeof numbers[0], "%.17g", lua_tonumber(l, (int)i + 1));
            argv[i] = str_of(room, (size_t)n);
        } else if (lua_type(l, (int)i + 1) == LUA_TSTRING) {
            argv[i].p = lua_tolstring(l, (int)i + 1, &argv[i].n);
        } else {
            sim_die("redis.call: argument %zu is neither a string nor a number", i);
        }
    }
    if (m->reads_only && writes(argv[0])) {
        sim_die("%.*s in a Function that only reads", STR_ARG(argv[0]));
    }
    arena_init(&a, 4096, 64 << 20);
    struct reply *r = command_run(&c);
    bool failed = r->type == REPLY_ERROR;
    if (failed) {
        lua_pushlstring(l, r->str, r->len);
    } else {
        push_reply(l, r);
    }
    arena_free(&a);
    return failed;
}

static int redis_call(lua_State *l) { return run_command(l) ? lua_error(l) : 1; }

static int redis_pcall(lua_State *l) {
    if (run_command(l)) {
        lua_createtable(l, 0, 1);
        lua_insert(l, -2);
        lua_setfield(l, -2, "err");
    }
    return 1;
}

static int error_reply(lua_State *l) {
    lua_createtable(l, 0, 1);
    lua_pushvalue(l, 1);
    lua_setfield(l, -2, "err");
    return 1;
}

static int register_function(lua_State *l) {
    lua_getfield(l, 1, "function_name");
    lua_getfield(l, 1, "callback");
    lua_getfield(l, LUA_REGISTRYINDEX, "functions");
    lua_insert(l, -3);
    lua_settable(l, -3);
    return 0;
}

/* ---- struct.*: H, I<n>, i<n>, one after the other, < or > in front ---- */

static bool next_number(const char **format, bool *out_signed, size_t *out_n) {
    char kind = *(*format)++;
    if (kind == 'H') {
        *out_signed = false;
        *out_n = 2;
        return true;
    }
    if (kind != 'I' && kind != 'i') {
        return false;
    }
    *out_signed = kind == 'i';
    *out_n = (size_t)(*(*format)++ - '0');
    return *out_n >= 1 && *out_n <= 8;
}

static int struct_pack(lua_State *l) {
    const char *format = luaL_checkstring(l, 1);
    bool little = *format++ == '<', is_signed;
    char out[64];
    size_t used = 0, n;
    for (int arg = 2; *format != '\0'; arg++) {
        if (!next_number(&format, &is_signed, &n)) {
            sim_die("struct.pack of another kind");
        }
        uint64_t v = (uint64_t)(int64_t)luaL_checknumber(l, arg);
        for (size_t i = 0; i < n; i++) {
            out[used++] = (char)(v >> 8 * (little ? i : n - 1 - i));
        }
    }
    lua_pushlstring(l, out, used);
    return 1;
}

static int struct_unpack(lua_State *l) {
    const char *format = luaL_checkstring(l, 1);
    size_t size, at = (size_t)luaL_optinteger(l, 3, 1) - 1, n;
    const char *p = luaL_checklstring(l, 2, &size);
    bool little = *format++ == '<', is_signed;
    int values = 0;
    while (*format != '\0') {
        uint64_t v = 0;
        if (!next_number(&format, &is_signed, &n) || at + n > size) {
            sim_die("struct.unpack of another kind");
        }
        for (size_t i = 0; i < n; i++) {
            v |= (uint64_t)(uint8_t)p[at + (little ? i : n - 1 - i)] << 8 * i;
        }
        at += n;
        lua_pushnumber(l, is_signed ? (lua_Number)(int64_t)v : (lua_Number)v);
        values++;
    }
    lua_pushnumber(l, (lua_Number)at + 1);
    return values + 1;
}

/* ---- the library ---- */

static void open_state(struct mini *m) {
    static const luaL_Reg redis[] = {
        {"call", redis_call}, {"pcall", redis_pcall}, {"error_reply", error_reply}, {"register_function", register_function},
        {NULL, NULL},
    };
    static const luaL_Reg structs[] = {{"pack", struct_pack}, {"unpack", struct_unpack}, {NULL, NULL}};
    lua_State *l = m->lua = luaL_newstate();
    if (l == NULL) {
        sim_die("no Lua");
    }
    luaL_openlibs(l);
    luaL_register(l, "redis", redis);
    luaL_register(l, "struct", structs);
    lua_settop(l, 0);
    lua_pushlightuserdata(l, m);
    lua_setfield(l, LUA_REGISTRYINDEX, "mini");
    lua_newtable(l);
    lua_setfield(l, LUA_REGISTRYINDEX, "functions");
}

/* The text with the bug in it. */
static struct str with_bug(const struct mini *m, struct str text, struct buf *b) {
    struct str from = str_c(m->options.lua_from), to = str_c(m->options.lua_to);
    if (from.p == NULL) {
        return text;
    }
    const char *at = memmem(text.p, text.n, from.p, from.n);
    if (at == NULL || memmem(at + 1, text.n - (size_t)(at + 1 - text.p), from.p, from.n) != NULL) {
        sim_die("this is not once in the Functions: %s", from.p);
    }
    buf_add(b, str_of(text.p, (size_t)(at - text.p)));
    buf_add(b, to);
    buf_add(b, str_of(at + from.n, text.n - (size_t)(at - text.p) - from.n));
    return buf_str(b);
}

static void open_library(struct mini *m) {
    struct buf b;
    open_state(m);
    buf_init(&b, 1 << 20);
    struct str text = with_bug(m, m->library, &b), line;
    (void)str_cut(&text, '\n', &line); /* the shebang */
    if (luaL_loadbuffer(m->lua, text.p, text.n, "=functions") != 0 || lua_pcall(m->lua, 0, 0, 0) != 0) {
        sim_die("the Functions do not load: %s", lua_tostring(m->lua, -1));
    }
    buf_free(&b);
}

void functions_forget(struct mini *m) {
    if (m->lua != NULL) {
        lua_close(m->lua);
        m->lua = NULL;
    }
}

void functions_open(struct mini *m, struct str library) {
    if (m->library.p == NULL) { /* there is one library */
        m->library = sim_copy(&m->log_bytes, library);
    }
    functions_forget(m);
}

static void push_list(lua_State *l, const struct str *items, size_t n) {
    lua_createtable(l, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushlstring(l, items[i].p != NULL ? items[i].p : "", items[i].n);
        lua_rawseti(l, -2, (int)i + 1);
    }
}

struct reply *functions_call(struct command *c) {
    size_t keys = (size_t)arg_int(c, 2);
    if (!c->m->functions) {
        return reply_text(c->a, REPLY_ERROR, "ERR Function not found");
    }
    if (c->m->lua == NULL) {
        open_library(c->m);
    }
    lua_State *l = c->m->lua;
    lua_settop(l, 0);
    lua_getfield(l, LUA_REGISTRYINDEX, "functions");
    lua_pushlstring(l, c->argv[1].p, c->argv[1].n);
    lua_gettable(l, -2);
    if (!lua_isfunction(l, -1)) {
        sim_die("no Function %.*s", STR_ARG(c->argv[1]));
    }
    push_list(l, c->argv + 3, keys);
    push_list(l, c->argv + 3 + keys, c->argc - 3 - keys);
    c->m->reads_only = str_is(c->argv[0], "FCALL_RO");
    int status = lua_pcall(l, 2, 1, 0);
    c->m->reads_only = false;
    if (status != 0) {
        return reply_text(c->a, REPLY_ERROR, lua_tostring(l, -1));
    }
    return read_value(l, c->a, lua_gettop(l));
}

void mini_free(struct mini *m) {
    mini_wipe(m);
    free(m->log);
    arena_free(&m->log_bytes);
    free(m);
}
