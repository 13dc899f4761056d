/* Schedules as rows and as answers, shared by the handlers. */
#ifndef API_SCHEDULES_H
#define API_SCHEDULES_H

#include <base/cron.h>

#include "handlers.h"

/* payload: an expression; NULL leaves it out. */
#define SCHEDULE_COLUMNS_WITH(payload)                                                                                \
    "id, name, cron, timezone, missed, queue, type, type_version, " payload ", paused, "                              \
    "floor(extract(epoch FROM next_at) * 1000)::bigint, floor(extract(epoch FROM last_at) * 1000)::bigint, version, " \
    "floor(extract(epoch FROM created_at) * 1000)::bigint"

#define SCHEDULE_COLUMNS SCHEDULE_COLUMNS_WITH("convert_from(payload, 'UTF8')")

/* 200 with the first row, 404 when there is none. */
void schedule_answer(struct call *c, const PGresult *res);

/* The schedule of the path, by id or name, as the first three parameters of a statement. */
#define SCHEDULE_OF_PATH "tenant = $1 AND (id = $2::uuid OR name = $3)"
enum { SCHEDULE_PATH_VALUES = 3 };
void schedule_path_values(struct call *c, struct pg_value out[SCHEDULE_PATH_VALUES]); /* valid as long as the call */

#endif
