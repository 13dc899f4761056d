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

#endif
