/* A full-screen terminal: the other screen of the terminal, keys as they are typed. The sequences are those of the VT100 and xterm that
 * every terminal of today knows, so that nothing has to be looked up. However the process ends, if it is not by SIGKILL, the
 * terminal is as it was before. One at a time. */
#ifndef OPS_CLI_SCREEN_H
#define OPS_CLI_SCREEN_H

#include <base/str.h>

/* False: standard input or output is no terminal. */
bool screen_enter(void);
void screen_leave(void);

enum screen_key {
    SCREEN_NOTHING = 0, /* the time is up, or the size has changed */
    SCREEN_END = 256,   /* there is no terminal any more */
    SCREEN_UP,
    SCREEN_DOWN,
    SCREEN_OTHER,
}; /* else the character */
int screen_key(int64_t ms);

struct screen_size {
    int rows, columns;
};
struct screen_size screen_size(void);

/* Draws over what is there. text: lines that fit; the end of each is cleared, and what is below the last. */
void screen_draw(struct str text);

#endif
