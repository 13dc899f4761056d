#include <jobs/follow_up.h>

#include <jobs/journal.h>

struct err follow_up_id(const struct module_env *env, struct str queue, struct uuid parent, struct str step, struct uuid *out) {
    const struct queue_info *q = queue_table_find(env->queues, queue);
    if (q == NULL) {
        return err_make(ERR_BUSY, "queue %.*s is not known here yet", STR_ARG(queue));
    }
    unsigned shard = shard_pick(q->shards_n, str_of(parent.b, sizeof parent.b), STR_NONE);
    return id_derive(parent, step, (struct job_place){.queue_number = q->number, .shard = (uint8_t)shard}, out);
}
