/* Between json.c, json_read.c and json_plain.c. */
#ifndef JSON_PRIVATE_H
#define JSON_PRIVATE_H

#include <base/str.h>
#include <jansson.h>

/* Puts the guard of json_read before jansson's allocation functions, if it is not there yet. */
void json_guard_install(void);

/* As json_read gives it. NULL: out of the ordinary, wrong, or out of memory. */
json_t *json_read_plain(struct str text);

/* Length of the UTF-8 sequence at the start of s (not empty); 0 when it is none. */
size_t json_utf8_length(struct str s);

/* How many bytes at the beginning are ASCII that stands for itself in a string: by eights, so what is behind may be as well. */
static inline size_t json_plain_bytes(const char *p, size_t n) {
    const uint64_t each = UINT64_C(0x0101010101010101), top = each << 7;
    size_t i = 0;
    for (uint64_t w; i + sizeof w <= n; i += sizeof w) {
        memcpy(&w, p + i, sizeof w);
        uint64_t quote = w ^ (each * '"'), backslash = w ^ (each * '\\');
        /* below 0x20, or zero, in a byte whose top bit is not set: a borrow into the next only comes from such a one */
        if (((w | (w - each * 0x20) | (quote - each) | (backslash - each)) & top) != 0) {
            break;
        }
    }
    return i;
}

#endif
