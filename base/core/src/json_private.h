/* Between json.c and json_read.c. */
#ifndef JSON_PRIVATE_H
#define JSON_PRIVATE_H

/* Puts the guard of json_read before jansson's allocation functions, if it is not there yet. */
void json_guard_install(void);

#endif
