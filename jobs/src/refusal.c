#include <jobs/refusal.h>

#include <base/json.h>
#include <base/limits.h>

struct str refusal_json(struct arena *a, const struct refusal *r) {
    struct buf b;
    struct str out = STR_NONE;
    buf_init(&b, LIMIT_RESULT_BYTES);
    buf_add_c(&b, "{\"type\":\"/problems/");
    for (const char *c = r->code; *c != '\0'; c++) {
        buf_add_char(&b, *c == '_' ? '-' : *c);
    }
    buf_addf(&b, "\",\"title\":");
    json_add_string(&b, str_c(r->title));
    buf_addf(&b, ",\"status\":%d,\"code\":\"%s\",\"detail\":", r->status, r->code);
    json_add_string(&b, r->detail);
    buf_add_c(&b, r->members != NULL ? r->members : "");
    buf_add_char(&b, '}');
    if (!err_is_set(buf_status(&b))) {
        out = arena_str(a, buf_str(&b));
    }
    buf_free(&b);
    return out;
}
