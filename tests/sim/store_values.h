/* What goes into the store's statements and comes out of them: parameters, and libpq's results. */
#ifndef SIM_STORE_VALUES_H
#define SIM_STORE_VALUES_H

#include <base/limits.h>
#include <io/pg.h>

PGresult *res_new(int columns);
void res_set(PGresult *r, int row, int column, struct str s); /* p NULL: NULL */
void res_set_c(PGresult *r, int row, int column, const char *text);
void res_set_int(PGresult *r, int row, int column, int64_t v);
void res_set_uuid(PGresult *r, int row, int column, struct uuid u);
void res_set_bool(PGresult *r, int row, int column, bool v);

int64_t param_int(struct pg_value v); /* 0 for what is none */
struct uuid param_uuid(struct pg_value v);
size_t param_list(struct pg_value v, struct str out[LIMIT_BATCH]);
size_t param_uuids(struct pg_value v, struct uuid out[LIMIT_BATCH]);
void param_ints(struct pg_value v, int64_t out[LIMIT_BATCH]);

#endif
