/* What a worker process runs, told to whoever asks by CHANNEL_ASK: one command of Redis, and none while nobody does. */
#ifndef WORKER_DUMP_H
#define WORKER_DUMP_H

#include <base/str.h>

struct process;

/* A message of that channel, which every worker process gets; those that mean another one are passed over. */
void dump_asked(struct process *p, struct str message);

#endif
