/* What Redis says of itself and for others, asked once a second: does it write, how full is it, what have workers found down. */
#ifndef API_REDIS_WATCH_H
#define API_REDIS_WATCH_H

#include <stdbool.h>

struct api;

struct redis_watch {
    bool full;      /* it is up, and refused the latest small write */
    bool mail_down; /* as workers have found it */
    double fill;    /* of the memory that it may use, or of the machine's where it has no limit; 0: not known, or full */
};
void redis_watch_look(struct api *api); /* while the loop is there */

#endif
