#include <jobs/deeds.h>
#include <jobs/module_sql.h>

/* ---- what was asked of servers outside ---- */

static void ask_calls(struct deeds *d);

static void on_calls(void *arg, struct err err, const PGresult *res) {
    struct deeds *d = arg;
    if (err_is_set(err)) {
        d->done(d, err);
        return;
    }
    for (int row = 0; row < PQntuples(res); row++) {
        struct str state = pg_col(res, row, 1);
        d->acted |= !str_is(state, "init") && !str_is(state, "canceled");
        if (d->on_call != NULL) {
            d->on_call(d, res, row);
        }
    }
    ask_calls(d);
}

/* Of the next module that has any; done behind the last one. */
static void ask_calls(struct deeds *d) {
    const struct registry *r = d->rt->registry;
    while (d->next < r->modules_n && r->modules[d->next]->calls == NULL) {
        d->next++;
    }
    if (d->next >= r->modules_n) {
        d->done(d, OK);
        return;
    }
    const struct module *m = r->modules[d->next++];
    const struct pg_value values[] = {pg_text(str_c(d->root))};
    pg_exec(runtime_module(d->rt, m)->db, m->calls, values, 0, 0, on_calls, d);
}

/* ---- effects ---- */

static void on_effects(void *arg, struct err err, const PGresult *res) {
    struct deeds *d = arg;
    if (err_is_set(err)) {
        d->done(d, err);
        return;
    }
    for (int row = 0; row < PQntuples(res); row++) {
        d->acted |= pg_col(res, row, 0).n > 0 || !str_is(pg_col(res, row, 1), "dead");
        if (d->on_effect != NULL) {
            d->on_effect(d, res, row);
        }
    }
    ask_calls(d);
}

void deeds_read(struct deeds *d) {
    const struct pg_value values[] = {pg_text(str_c(d->root))};
    d->acted = false;
    d->next = 0;
    if (d->module != NULL) {
        pg_exec(runtime_module(d->rt, d->module)->db, &d->module->sql->effects, values, 0, 0, on_effects, d);
    } else {
        ask_calls(d);
    }
}
