#include <base/err.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { RING_SLOTS = 32, SLOT_BYTES = 256 };

static _Thread_local char ring[RING_SLOTS][SLOT_BYTES];
static _Thread_local unsigned ring_next;

static const struct {
    enum err_class class;
    const char *name;
} codes[] = {
#define X(name, class, text) [ERR_##name] = {ERR_CLASS_##class, text},
#include <base/err.def>
#undef X
};
_Static_assert(sizeof codes / sizeof codes[0] == ERR_MAX, "one row per error code");

static char *slot(void) { return ring[ring_next++ % RING_SLOTS]; }

struct err err_make(enum err_code code, const char *fmt, ...) {
    char *s = slot();
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(s, SLOT_BYTES, fmt, ap);
    va_end(ap);
    return (struct err){code, s};
}

struct err err_wrap(struct err e, const char *context) {
    char *s = slot();
    (void)snprintf(s, SLOT_BYTES, "%s: %s", context, e.detail);
    return (struct err){e.code, s};
}

struct err err_errno(int errnum, const char *what) {
    char text[96];
    return err_make(ERR_SYSTEM, "%s: %s", what, strerror_r(errnum, text, sizeof text));
}

enum err_class err_class(enum err_code code) { return (unsigned)code < ERR_MAX ? codes[code].class : ERR_CLASS_PERMANENT; }

const char *err_name(enum err_code code) { return (unsigned)code < ERR_MAX ? codes[code].name : "?"; }
