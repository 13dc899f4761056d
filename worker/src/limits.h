/* What one worker process may take of the machine. */
#ifndef WORKER_LIMITS_H
#define WORKER_LIMITS_H

#include <base/conf.h>

void limits_set(const struct conf *conf);  /* of memory and stack: once, at its start */
void limits_beat(const struct conf *conf); /* once a second: so much processor time until the next beat, and no more */

#endif
